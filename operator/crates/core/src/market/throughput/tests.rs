use super::*;
use crate::market::{CapacityType, Gpus, Job, Needs, Shape, Terms, Work};

fn offer(gpus: Option<(&str, u32)>, gigaflops: Option<u64>) -> Offer {
    Offer {
        provider: "vast".into(),
        id: "1".into(),
        host: None,
        region: String::new(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 8000,
        memory_mib: 32_000,
        disk_gib: 100,
        gpus: gpus.map(|(model, count)| Gpus { model: model.into(), count, memory_mib: 24_576 }),
        gigaflops,
        reliability: None,
        until: None,
        terms: Terms::default(),
    }
}

fn job(gpus: u32) -> Job {
    Job {
        needs: Needs { gpus, ..Needs::default() },
        work: Work { tokens: 1000, flops_per_token: 3_000_000_000 },
        base_model: "sha256:a".into(),
        ..Job::default()
    }
}

fn run(machine: &str, gigaflops: Option<u64>, tokens: u64, seconds: u64) -> Run {
    Run { base_model: "sha256:a".into(), machine: machine.parse().unwrap(), gigaflops, tokens, seconds }
}

fn learnt(runs: impl IntoIterator<Item = Run>) -> Throughput {
    let mut known = Throughput::default();
    runs.into_iter().for_each(|run| known.learn(run));
    known
}

fn rate(known: &Throughput, offer: &Offer, gpus: u32) -> (u64, Basis) {
    let rate = known.rate(offer, &job(gpus));
    (rate.milli_tokens_per_second, rate.basis)
}

#[test]
fn a_class_is_named_by_what_the_job_uses() {
    let two = offer(Some(("rtx-4090", 2)), Some(160_000));
    for (gpus, class, claim) in
        [(4, "2x rtx-4090", Some(160_000)), (1, "1x rtx-4090", Some(80_000)), (0, "8 cpu", None)]
    {
        assert_eq!(MachineClass::of(&two, gpus).to_string(), class);
        assert_eq!(MachineClass::claim(&two, gpus), claim);
        assert_eq!(class.parse(), Ok(MachineClass::of(&two, gpus)));
    }
    assert_eq!(MachineClass::of(&Offer { cpu_millis: 500, ..offer(None, None) }, 1).to_string(), "1 cpu");
    for text in ["", "cpu", "2x ", "x rtx-4090", "-1 cpu", "two cpu"] {
        assert!(text.parse::<MachineClass>().is_err(), "{text}");
    }
}

#[test]
fn what_was_measured_comes_before_what_is_claimed() {
    let known = learnt([run("1x rtx-4090", Some(80_000), 5000, 10)]);
    let claims = offer(Some(("rtx-4090", 1)), Some(1_000_000));
    assert_eq!(rate(&known, &claims, 1), (500_000, Basis::Measured));
}

#[test]
fn newer_runs_count_more_and_an_old_mean_never_outweighs_them() {
    let mut known = learnt([run("8 cpu", None, 100, 10)]);
    known.learn(run("8 cpu", None, 200, 10));
    assert_eq!(rate(&known, &offer(None, None), 0), (15_000, Basis::Measured));
    for _ in 0..1000 {
        known.learn(run("8 cpu", None, 200, 10));
    }
    known.learn(run("8 cpu", None, 1000, 10));
    // A thousand runs of 20 a second, then one of 100: an eighth of the way.
    // It is rounded to thousandths each time.
    let (pace, basis) = rate(&known, &offer(None, None), 0);
    assert!((29_990..=30_000).contains(&pace) && basis == Basis::Measured, "{pace}");
    assert_eq!(known.rows()[0].runs, 1003);
}

#[test]
fn a_run_of_no_tokens_or_no_time_teaches_nothing() {
    let known = learnt([run("8 cpu", None, 0, 10), run("8 cpu", None, 10, 0)]);
    assert_eq!(known, Throughput::default());
}

#[test]
fn another_number_of_the_same_is_in_proportion() {
    let known = learnt([
        run("1x rtx-4090", None, 100, 10),
        run("4x rtx-4090", None, 360, 10),
        run("4 cpu", None, 8, 10),
    ]);
    let gpus = |count| offer(Some(("rtx-4090", count)), Some(1));
    assert_eq!(rate(&known, &gpus(2), 8), (20_000, Basis::Claimed));
    assert_eq!(rate(&known, &gpus(8), 8), (72_000, Basis::Claimed));
    assert_eq!(rate(&known, &offer(None, None), 0), (1600, Basis::Claimed));
    // The job uses one of the eight: that was measured.
    assert_eq!(rate(&known, &gpus(8), 1), (10_000, Basis::Measured));
}

#[test]
fn a_claim_is_worth_what_others_kept_of_theirs() {
    let known = learnt([run("1x a", Some(1000), 300, 1), run("1x b", Some(3000), 100, 1)]);
    let unmeasured = offer(Some(("c", 1)), Some(2000));
    // 400 tokens a second for 4000 claimed.
    assert_eq!(rate(&known, &unmeasured, 1), (200_000, Basis::Claimed));
    // Nothing learnt of another base model says anything about this one.
    let other = Job { base_model: "sha256:b".into(), ..job(1) };
    // 2000 * 10^9 * 30 % / (3 * 10^9) a token.
    let rate = known.rate(&unmeasured, &other);
    assert_eq!(rate, Rate { milli_tokens_per_second: 200_000, basis: Basis::Claimed });
}

#[test]
fn what_nobody_knows_is_a_low_guess() {
    let none = Throughput::default();
    // 24 GiB * 250 * 10^9 * 30 % / (3 * 10^9)
    assert_eq!(rate(&none, &offer(Some(("x", 1)), None), 1), (600_000, Basis::Unknown));
    // 8 CPUs * 20 * 10^9 * 30 % / (3 * 10^9)
    assert_eq!(rate(&none, &offer(None, None), 0), (16_000, Basis::Unknown));
    let mut unknown = job(1);
    unknown.work.flops_per_token = 0;
    let rate = none.rate(&offer(Some(("x", 1)), Some(80_000)), &unknown);
    assert_eq!(rate, Rate { milli_tokens_per_second: 300_000, basis: Basis::Unknown });
}

#[test]
fn a_rate_is_never_zero_and_seconds_are_rounded_up() {
    let known = learnt([run("8 cpu", None, 1, u64::MAX)]);
    assert_eq!(rate(&known, &offer(None, None), 0), (1, Basis::Measured));
    let rate = Rate { milli_tokens_per_second: 1500, basis: Basis::Unknown };
    assert_eq!((rate.seconds(0), rate.seconds(1), rate.seconds(3), rate.seconds(4)), (0, 1, 2, 3));
    let slow = Rate { milli_tokens_per_second: 1, basis: Basis::Unknown };
    assert_eq!(slow.seconds(u64::MAX), u64::MAX);
    let most = Offer { gigaflops: Some(u64::MAX), ..offer(Some(("x", u32::MAX)), None) };
    assert!(known.rate(&most, &job(u32::MAX)).milli_tokens_per_second > 1);
}

#[test]
fn rows_live_in_a_status_and_those_learnt_from_longest_ago_go_first() {
    let mut known = learnt((1..=257).map(|count| run(&format!("{count} cpu"), None, count, 1)));
    assert_eq!((known.rows().len(), known.rows()[0].machine.to_string()), (MOST_ROWS, "2 cpu".to_owned()));
    known.learn(run("2 cpu", None, 2, 1));
    known.learn(run("999 cpu", None, 2, 1));
    assert!(known.rows().iter().any(|row| row.machine == MachineClass::Cpus(2)));
    assert!(known.rows().iter().all(|row| row.machine != MachineClass::Cpus(3)));
    let json = serde_json::to_string(&learnt([run("1x a", Some(7), 3, 2)])).unwrap();
    let row =
        r#"{"baseModel":"sha256:a","machine":"1x a","milliTokensPerSecond":1500,"runs":1,"gigaflops":7}"#;
    assert_eq!(json, format!("[{row}]"));
    assert_eq!(serde_json::from_str::<Throughput>(&json).unwrap(), learnt([run("1x a", Some(7), 3, 2)]));
    assert!(serde_json::from_str::<Throughput>(&json.replace("1x a", "a")).is_err());
}

#[test]
fn of_two_rows_of_one_class_the_last_counts() {
    let row = |pace, claim| Row {
        base_model: "sha256:a".into(),
        machine: "1x a".parse().unwrap(),
        milli_tokens_per_second: pace,
        runs: 1,
        gigaflops: Some(claim),
    };
    let known = Throughput::from_rows(vec![row(5, 1), row(70, 10)]);
    assert_eq!(rate(&known, &offer(Some(("a", 1)), None), 1), (70, Basis::Measured));
    assert_eq!(rate(&known, &offer(Some(("b", 1)), Some(10)), 1), (70, Basis::Claimed));
}
