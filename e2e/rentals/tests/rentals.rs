//! A sample of the simulation; `cooperator-rentals` tells as many worlds as one has time for.

use cooperator_rentals::tell;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rentals_under_faults_leak_nothing_double_nothing_and_cost_what_is_billed() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let worlds: Vec<_> = (1..=8).map(|seed| tokio::spawn(tell(seed, 25))).collect();
    let mut deaths = 0;
    for world in worlds {
        let told = world.await.unwrap().unwrap();
        let nothing: [String; 0] = [];
        assert_eq!(told.audit.leaked, nothing, "world {}", told.seed);
        assert_eq!(told.audit.doubled, nothing, "world {}", told.seed);
        assert_eq!(told.audit.late, nothing, "world {}", told.seed);
        assert_eq!(told.audit.drift, nothing, "world {}", told.seed);
        assert!(told.audit.machines > 20 && told.faults.len() > 5);
        deaths += told.counts.deaths;
    }
    assert!(deaths > 8, "the operator died {deaths} times");
}
