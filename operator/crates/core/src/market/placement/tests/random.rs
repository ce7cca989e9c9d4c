//! Small markets from a seed, full of near ties, with every kind of bound.

use jiff::SignedDuration;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

const MODELS: [&str; 3] = ["rtx-4090", "h100-sxm", "a100"];

/// All that a decision takes.
pub(super) struct Case {
    pub(super) offers: Vec<Offer>,
    pub(super) job: Job,
    pub(super) bounds: Bounds,
    pub(super) known: Throughput,
    pub(super) now: Timestamp,
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn of<T: Clone>(&mut self, few: &[T]) -> T {
        few.choose(&mut self.0).unwrap().clone()
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.random_range(0..count) == 0
    }

    fn maybe<T>(&mut self, one_in: u32, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(one_in) { Some(value(self)) } else { None }
    }

    /// One of few prices, or a micro-unit beside it.
    fn price(&mut self) -> PricePerHour {
        PricePerHour::from_micros(self.of(&[0, 200_000, 400_000, 400_000, 800_000]) + self.of(&[0, 0, 1]))
    }
}

/// The market of this seed.
pub(super) fn case(seed: u64) -> Case {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let now = Timestamp::from_millisecond(1_700_000_000_500).unwrap();
    let count = dice.0.random_range(1..=40);
    let mut offers: Vec<Offer> = Vec::new();
    for _ in 0..count {
        let fresh = offer(&mut dice, now);
        let near = offers.choose(&mut dice.0).filter(|_| !seed.is_multiple_of(3)).cloned();
        offers.push(
            near.filter(|_| dice.one_in(2)).map_or(fresh.clone(), |near| beside(&mut dice, near, fresh)),
        );
    }
    let (job, bounds, known) = (job(&mut dice), bounds(&mut dice), known(&mut dice));
    Case { offers, job, bounds, known, now }
}

fn offer(dice: &mut Dice, now: Timestamp) -> Offer {
    let gpus = dice.of(&[true, true, false]).then(|| Gpus {
        model: dice.of(&MODELS).into(),
        count: dice.of(&[1, 1, 2, 4]),
        memory_mib: dice.of(&[16_384, 24_564, 81_559]),
    });
    Offer {
        provider: dice.of(&["a", "a", "b", "c", "nobody"]).into(),
        id: dice.of(&["1", "2", "3", "4", "5", "6"]).into(),
        host: dice.maybe(2, |dice| dice.of(&["h1", "h2", "h3"]).into()),
        region: dice.of(&["", "SE", "US"]).into(),
        shape: dice.of(&[Shape::Machine, Shape::Machine, Shape::Container]),
        capacity_type: dice.of(&[CapacityType::OnDemand, CapacityType::OnDemand, CapacityType::Spot]),
        cpu_millis: dice.of(&[500, 4000, 8000, 8000, 16_000]),
        memory_mib: dice.of(&[8000, 32_000, 64_000]),
        disk_gib: dice.of(&[20, 100, 500]),
        gigaflops: dice.maybe(2, |dice| dice.of(&[0, 80_000, 160_000, 900_000])),
        gpus,
        reliability: dice.maybe(2, |dice| BasisPoints::new(dice.of(&[0, 9000, 9900, 9990, 10_000])).unwrap()),
        until: dice.maybe(6, |dice| {
            now.checked_add(SignedDuration::from_secs(dice.of(&[-5, 0, 3600, 4200, 90_000]))).unwrap()
        }),
        terms: Terms {
            hourly: dice.price(),
            disk_month_micros: dice.of(&[0, 72_000, 100_001]),
            traffic: Traffic { up_micros: dice.of(&[0, 10_000]), down_micros: dice.of(&[0, 0, 20_001]) },
            granularity: dice.of(&[Granularity::Second, Granularity::Minute, Granularity::Hour]),
        },
    }
}

/// `near` with one thing of `fresh`.
fn beside(dice: &mut Dice, near: Offer, fresh: Offer) -> Offer {
    match dice.0.random_range(0..6) {
        0 => Offer { provider: fresh.provider, ..near },
        1 => Offer { id: fresh.id, ..near },
        2 => Offer { capacity_type: fresh.capacity_type, ..near },
        3 => Offer { reliability: fresh.reliability, ..near },
        4 => Offer { host: fresh.host, ..near },
        _ => near,
    }
}

fn job(dice: &mut Dice) -> Job {
    let gpus = dice.of(&[0, 1, 1, 2]);
    Job {
        needs: Needs {
            cpu_millis: dice.of(&[0, 4000, 8000]),
            memory_mib: dice.of(&[0, 16_000, 33_000]),
            disk_gib: dice.of(&[8, 40, 101]),
            gpus,
            gpu_memory_mib: dice.maybe(4, |dice| dice.of(&[16_384, 24_000, 48_000])),
        },
        work: Work {
            tokens: dice.of(&[0, 1, 100_000, 1_000_000, 50_000_000]),
            flops_per_token: dice.of(&[0, 3_000_000_000, 48_000_000_001]),
        },
        base_model: dice.of(&["sha256:a", "sha256:b"]).into(),
        setup_seconds: dice.of(&[0, 60, 601]),
        checkpoint_seconds: dice.of(&[0, 300, 3600]),
        up_bytes: dice.of(&[0, 1_000_000_001]),
        down_bytes: dice.of(&[0, 5_000_000_000, 7_777_777_777]),
    }
}

fn requirement(dice: &mut Dice) -> Requirement {
    use Operator::{DoesNotExist, Exists, Gt, Gte, In, Lt, Lte, NotIn};
    let (key, value) = dice.of(&[
        ("cooperator.dev/provider", "a"),
        ("cooperator.dev/provider-type", "Vast"),
        ("cooperator.dev/capacity-type", "spot"),
        ("cooperator.dev/shape", "machine"),
        ("topology.kubernetes.io/region", "SE"),
        ("cooperator.dev/gpu-model", "rtx-4090"),
        ("cooperator.dev/host", "h1"),
        ("cooperator.dev/gpu-count", "2"),
        ("cooperator.dev/gpu-memory", "24564"),
        ("cooperator.dev/cpu", "8"),
        ("cooperator.dev/memory", "32000"),
        ("cooperator.dev/disk", "100"),
        ("cooperator.dev/reliability", "9900"),
    ]);
    let ordered = value.bytes().all(|byte| byte.is_ascii_digit());
    let operators: &[Operator] =
        if ordered { &[In, NotIn, Exists, Gt, Lt, Gte, Lte] } else { &[In, NotIn, Exists, DoesNotExist] };
    let operator = dice.of(operators);
    let values = if matches!(operator, Exists | DoesNotExist) { vec![] } else { vec![value.to_owned()] };
    Requirement { key: key.into(), operator, values }
}

fn seller(dice: &mut Dice, kind: &str) -> Seller {
    Seller {
        kind: kind.into(),
        weight: dice.of(&[1, 1, 2]),
        exchange: dice.of(&["1", "1", "1.080001", "0.5", "0.333333"]).parse().unwrap(),
        closed: dice.maybe(8, |_| "paused".into()),
        most_per_hour: dice.maybe(6, Dice::price),
        blocked_hosts: dice.maybe(3, |dice| dice.of(&["h1", "h2"]).into()).into_iter().collect(),
        blocked_offers: dice.maybe(3, |dice| dice.of(&["1", "2", "3"]).into()).into_iter().collect(),
    }
}

fn bounds(dice: &mut Dice) -> Bounds {
    let requirements: Vec<Requirement> = match dice.of(&[0, 0, 0, 1, 2]) {
        0 => vec![],
        count => (0..count).map(|_| requirement(dice)).collect(),
    };
    Bounds {
        most_per_hour: dice.maybe(5, Dice::price),
        budget_left: dice.maybe(5, |dice| {
            Amount::from_pico(dice.of(&[0, 100_000_000_000, 1_000_000_000_000, 20_000_000_000_000]))
        }),
        deadline_seconds: dice.maybe(6, |dice| dice.of(&[60, 4000, 100_000])),
        spot: dice.of(&[Spot::Never, Spot::Prefer, Spot::Prefer, Spot::Prefer, Spot::Only]),
        bid_headroom: BasisPoints::new(dice.of(&[0, 1, 2000, 10_000])).unwrap(),
        requirements: Requirements::parse(&requirements).unwrap(),
        shape: dice.maybe(8, |dice| dice.of(&[Shape::Machine, Shape::Container])),
        sellers: [("a", "Vast"), ("b", "Hetzner"), ("c", "Vast")]
            .map(|(name, kind)| (name.to_owned(), seller(dice, kind)))
            .into(),
    }
}

fn known(dice: &mut Dice) -> Throughput {
    let rows = dice.of(&[0, 2, 6]);
    let row = |dice: &mut Dice| Row {
        base_model: dice.of(&["sha256:a", "sha256:b"]).into(),
        machine: dice
            .of(&["1x rtx-4090", "2x rtx-4090", "1x a100", "4x a100", "4 cpu", "8 cpu"])
            .parse()
            .unwrap(),
        milli_tokens_per_second: dice.of(&[1, 9_999, 100_000, 200_000]),
        runs: 1,
        gigaflops: dice.maybe(2, |dice| dice.of(&[80_000, 160_000])),
    };
    Throughput::from_rows((0..rows).map(|_| row(dice)).collect())
}
