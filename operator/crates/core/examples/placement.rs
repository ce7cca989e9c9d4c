//! How long a decision takes: `cargo run --release -p cooperator-core --example placement [OFFERS [RUNS [SEED]]]`.

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use cooperator_core::basis_points::BasisPoints;
use cooperator_core::market::requirement::{Operator, Requirement};
use cooperator_core::market::throughput::Run;
use cooperator_core::market::{
    Bounds, CapacityType, Gpus, Job, MachineClass, Needs, NoOffer, Offer, Requirements, Seller, Shape, Spot,
    Terms, Throughput, Traffic, Work, choose,
};
use cooperator_core::money::PricePerHour;
use cooperator_core::time::Timestamp;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Name, memory in MiB, claimed 10^9 operations a second, price in micro-units.
const MODELS: [(&str, u64, u64, u64); 6] = [
    ("rtx-3090", 24_576, 35_600, 180_000),
    ("rtx-4090", 24_564, 82_600, 340_000),
    ("a100-sxm4", 81_920, 156_000, 900_000),
    ("h100-sxm", 81_559, 494_000, 2_100_000),
    ("l40s", 46_068, 91_600, 700_000),
    ("t4", 16_384, 8_100, 120_000),
];
const BASE_MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (offers, runs, seed) = (next(5000)?, next(200)?.max(1), next(1)?);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let offers = (0..offers).map(|at| offer(at, &mut random)).collect::<Result<Vec<_>, _>>()?;
    let (job, bounds, known) = (job(), bounds()?, known()?);
    let hopeless = Bounds { most_per_hour: Some(PricePerHour::from_micros(1)), ..bounds.clone() };
    let mut out = std::io::stdout().lock();
    for (name, bounds) in [("a decision", &bounds), ("a refusal", &hopeless)] {
        let decide = || choose(&offers, &job, bounds, &known, Timestamp::UNIX_EPOCH);
        let mut times: Vec<Duration> = (0..runs).map(|_| timed(&decide)).collect();
        times.sort_unstable();
        let at = |part: usize| times.get((times.len() - 1) * part / 2).copied().unwrap_or_default();
        let said = decide().map(|choices| format!("{} offers would do", choices.len()));
        writeln!(
            out,
            "{name} over {} offers: {:.3?} least, {:.3?} median, {:.3?} most of {runs} ({})",
            offers.len(),
            at(0),
            at(1),
            at(2),
            said.unwrap_or_else(|none: NoOffer| none.to_string()),
        )?;
    }
    Ok(())
}

fn timed<T>(work: &impl Fn() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn offer(at: u64, random: &mut ChaCha8Rng) -> Result<Offer, Box<dyn Error>> {
    let (model, memory_mib, gigaflops, micros) = MODELS[random.random_range(0..MODELS.len())];
    let count = [1, 1, 1, 2, 4, 8][random.random_range(0..6)];
    let spot = random.random_bool(0.4);
    let hourly = micros * u64::from(count) * random.random_range(80..130) / if spot { 200 } else { 100 };
    Ok(Offer {
        provider: ["vast", "vast", "vast", "runpod", "lambda"][random.random_range(0..5)].to_owned(),
        id: format!("{}", 20_000_000 + at).as_str().into(),
        host: random.random_bool(0.6).then(|| format!("{}", random.random_range(0..2000)).as_str().into()),
        region: ["US", "SE", "DE", ""][random.random_range(0..4)].to_owned(),
        shape: if random.random_bool(0.5) { Shape::Machine } else { Shape::Container },
        capacity_type: if spot { CapacityType::Spot } else { CapacityType::OnDemand },
        cpu_millis: 8000 * u64::from(count),
        memory_mib: 32_000 * u64::from(count),
        disk_gib: random.random_range(20..2000),
        gpus: Some(Gpus { model: model.to_owned(), count, memory_mib }),
        gigaflops: random.random_bool(0.8).then_some(gigaflops * u64::from(count)),
        reliability: random
            .random_bool(0.8)
            .then(|| BasisPoints::new(random.random_range(9000..=10_000)))
            .transpose()?,
        until: None,
        terms: Terms {
            hourly: PricePerHour::from_micros(hourly),
            disk_month_micros: random.random_range(50_000..200_000),
            traffic: Traffic { up_micros: 10_000, down_micros: 5_000 },
            ..Terms::default()
        },
    })
}

fn job() -> Job {
    Job {
        needs: Needs {
            cpu_millis: 4000,
            memory_mib: 16_000,
            disk_gib: 40,
            gpus: 1,
            gpu_memory_mib: Some(16_000),
        },
        work: Work { tokens: 50_000_000, flops_per_token: 48_000_000_000 },
        base_model: BASE_MODEL.to_owned(),
        setup_seconds: 240,
        checkpoint_seconds: 600,
        up_bytes: 2_000_000_000,
        down_bytes: 18_000_000_000,
    }
}

fn bounds() -> Result<Bounds, Box<dyn Error>> {
    let requirement = |key: &str, operator, value: &str| Requirement {
        key: key.to_owned(),
        operator,
        values: vec![value.to_owned()],
    };
    let requirements = [
        requirement("cooperator.dev/gpu-memory", Operator::Gte, "16000"),
        requirement("cooperator.dev/reliability", Operator::Gte, "9000"),
        requirement("topology.kubernetes.io/region", Operator::NotIn, "DE"),
        requirement("cooperator.dev/gpu-model", Operator::NotIn, "T4"),
    ];
    let seller = |kind: &str, exchange: &str| -> Result<Seller, Box<dyn Error>> {
        Ok(Seller { kind: kind.to_owned(), weight: 1, exchange: exchange.parse()?, ..Seller::default() })
    };
    Ok(Bounds {
        spot: Spot::Prefer,
        bid_headroom: BasisPoints::new(2000)?,
        requirements: Requirements::parse(&requirements)?,
        sellers: [
            ("vast".to_owned(), seller("Vast", "0.92")?),
            ("runpod".to_owned(), seller("RunPod", "0.92")?),
            ("lambda".to_owned(), seller("Lambda", "0.92")?),
        ]
        .into(),
        ..Bounds::default()
    })
}

fn known() -> Result<Throughput, Box<dyn Error>> {
    let mut known = Throughput::default();
    for (at, (model, _, gigaflops, _)) in MODELS.iter().enumerate().take(3) {
        for base_model in [BASE_MODEL.to_owned(), format!("sha256:{at:064x}")] {
            known.learn(Run {
                base_model,
                machine: format!("1x {model}").parse::<MachineClass>()?,
                gigaflops: Some(*gigaflops),
                tokens: gigaflops * 4,
                seconds: 600,
            });
        }
    }
    Ok(known)
}
