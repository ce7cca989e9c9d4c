//! What is said when no offer will do.

use super::*;

fn why(offers: &[Offer], job: &Job, bounds: &Bounds) -> String {
    let why = decide(offers, job, bounds).unwrap_err().to_string();
    assert!(!why.contains('\n') && why.len() < 400, "{why}");
    why
}

fn required(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Requirement { key: key.into(), operator, values }
}

fn requiring(written: &[Requirement]) -> Bounds {
    Bounds { requirements: Requirements::parse(written).unwrap(), ..bounds() }
}

fn gpu(id: &str, memory_mib: u64) -> Offer {
    let gpus = Gpus { model: "rtx-4090".into(), count: 1, memory_mib };
    Offer { gpus: Some(gpus), ..offer(id) }
}

#[test]
fn an_empty_market_is_called_one() {
    assert_eq!(decide(&[], &job(), &bounds()), Err(NoOffer::Empty));
}

#[test]
fn the_requirement_that_excludes_all_is_named_with_the_most_there_is() {
    let bounds = requiring(&[
        required("cooperator.dev/cpu", Operator::Gte, &["4"]),
        required("cooperator.dev/gpu-memory", Operator::Gt, &["80000"]),
    ]);
    let offers = [gpu("1", 24_564), gpu("2", 49_140), offer("3")];
    assert_eq!(
        why(&offers, &job(), &bounds),
        "no offer of 3 has `cooperator.dev/gpu-memory` Gt 80000; the most is 49140"
    );
    assert_eq!(
        why(&[offer("3")], &job(), &bounds),
        "no offer of 1 has `cooperator.dev/gpu-memory` Gt 80000; none tells it"
    );
    let models = requiring(&[required("cooperator.dev/gpu-model", Operator::In, &["H100"])]);
    assert_eq!(
        why(&offers, &job(), &models),
        "no offer of 3 has `cooperator.dev/gpu-model` In H100; they have `rtx-4090`"
    );
}

#[test]
fn a_price_below_the_market_is_told_the_cheapest_that_would_do() {
    let mut small = priced("small", "0.1");
    small.cpu_millis = 1000;
    let bounds = Bounds { most_per_hour: Some("0.4".parse().unwrap()), ..bounds() };
    assert_eq!(
        why(&[priced("1", "0.5"), priced("2", "0.42"), small], &job(), &bounds),
        "the cheapest that would do costs 0.42 an hour with its disk; at most 0.4 is allowed (2 of 3 offers were left)"
    );
}

#[test]
fn a_budget_of_nothing_is_told_what_the_job_would_cost() {
    let bounds = Bounds { budget_left: Some(Amount::ZERO), ..bounds() };
    assert_eq!(
        why(&[priced("1", "0.5"), priced("2", "0.42")], &job(), &bounds),
        "the cheapest that would do is expected to cost 0.42 in all; 0 of the budget is left (2 of 2 offers were left)"
    );
}

#[test]
fn what_is_too_dear_by_the_hour_and_in_all_is_told_by_the_hour() {
    let mut bounds = requiring(&[required("cooperator.dev/cpu", Operator::Gt, &["4"])]);
    bounds.budget_left = Some(Amount::ZERO);
    bounds.most_per_hour = Some("0.1".parse().unwrap());
    let small = Offer { cpu_millis: 4000, ..priced("small", "0.2") };
    let text = why(&[small, priced("1", "0.5")], &job(), &bounds);
    // Not 0.2: that machine is too small.
    assert!(text.starts_with("the cheapest that would do costs 0.5 an hour"), "{text}");
}

#[test]
fn closed_and_blocked_and_unlisted_providers_are_said() {
    let mut paused = bounds();
    for (name, why) in [("a", "paused until 12:00"), ("b", "out of machines")] {
        paused.sellers.get_mut(name).unwrap().closed = Some(why.into());
    }
    let there = Offer { provider: "b".into(), ..offer("2") };
    assert_eq!(
        why(&[offer("1"), there.clone()], &job(), &paused),
        "no offer of 2 can be rented now: `a` is paused until 12:00, `b` is out of machines"
    );
    let mut blocked = bounds();
    blocked.sellers.get_mut("a").unwrap().blocked_offers.insert("1".into());
    assert!(why(&[offer("1")], &job(), &blocked).starts_with("no offer of 1 is still to be tried"));
    let mut unlisted = bounds();
    unlisted.sellers.remove("b");
    assert!(
        why(&[there], &job(), &unlisted).starts_with("no offer of 1 is of a provider that the pool names")
    );
}

#[test]
fn every_need_that_no_machine_meets_is_said_with_the_most_there_is() {
    type Need = fn(&mut Needs);
    let cases: [(Need, &str); 5] = [
        (|needs| needs.cpu_millis = 9000, "9000 thousandths of a CPU; the most is 8000"),
        (|needs| needs.memory_mib = 64_000, "64000 MiB of memory; the most is 32000"),
        (|needs| needs.disk_gib = 101, "101 GiB of disk; the most is 100"),
        (|needs| needs.gpus = 2, "2 GPUs; the most is 1"),
        (
            |needs| (needs.gpus, needs.gpu_memory_mib) = (1, Some(80_000)),
            "80000 MiB of memory a GPU; the most is 24564",
        ),
    ];
    for (need, part) in cases {
        let mut job = job();
        need(&mut job.needs);
        let text = why(&[gpu("1", 24_564), gpu("2", 16_000)], &job, &bounds());
        assert_eq!(text, format!("no offer of 2 has {part}: ask for less"));
    }
}

#[test]
fn shape_and_spot_are_said() {
    let container = Bounds { shape: Some(Shape::Container), ..bounds() };
    assert!(why(&[offer("1")], &job(), &container).starts_with("no offer of 1 is a container"));
    let only = Bounds { spot: Spot::Only, ..bounds() };
    assert_eq!(why(&[offer("1")], &job(), &only), "no offer of 1 is spot; `spot: Prefer` takes either");
    assert!(why(&[spot("1", "1")], &job(), &bounds()).starts_with("no offer of 1 is on demand"));
    let dear = Bounds { spot: Spot::Only, most_per_hour: Some("2".parse().unwrap()), ..bounds() };
    let (firm, bid) = (priced("1", "3"), spot("2", "3.1"));
    let cheaper = Offer { capacity_type: CapacityType::Spot, provider: "b".into(), ..priced("3", "2.1") };
    assert!(
        why(&[firm, bid, cheaper], &job(), &dear).starts_with("the cheapest that would do costs 2.1 an hour")
    );
    let above =
        [Offer { cpu_millis: 16_000, ..spot("1", "1.1") }, Offer { cpu_millis: 16_000, ..offer("2") }];
    let small = Job { needs: Needs { cpu_millis: 16_000, ..Needs::default() }, ..job() };
    let only = requiring(&[required("cooperator.dev/capacity-type", Operator::In, &["spot"])]);
    let only = Bounds { spot: Spot::Prefer, most_per_hour: None, ..only };
    let text = why(&above, &small, &only);
    assert_eq!(
        text,
        "no offer of 1 left of 2 has `cooperator.dev/capacity-type` In spot; they have `on-demand`"
    );
}

#[test]
fn time_is_said_where_it_is_too_short() {
    let hurried = Bounds { deadline_seconds: Some(60), ..bounds() };
    assert_eq!(
        why(&[offer("1")], &job(), &hurried),
        "no offer of 1 ends the job within 60 s; the fastest is expected to take 3600 s"
    );
    let until = |id, second| Offer { until: Some(Timestamp::from_second(second).unwrap()), ..offer(id) };
    assert_eq!(
        why(&[until("1", 60), until("2", 120)], &job(), &bounds()),
        "no offer of 2 can be kept until the job's end; the longest ends 1970-01-01T00:02:00Z, the job takes 3600 s there"
    );
}

#[test]
fn of_several_bounds_the_one_is_said_without_which_most_would_do() {
    let mut bounds = requiring(&[required("cooperator.dev/reliability", Operator::Gte, &["9900"])]);
    bounds.most_per_hour = Some("0.4".parse().unwrap());
    let cheap = |id| Offer { reliability: None, ..priced(id, "0.3") };
    let text = why(&[cheap("1"), cheap("2"), priced("3", "0.5")], &job(), &bounds);
    assert_eq!(text, "no offer of 2 left of 3 has `cooperator.dev/reliability` Gte 9900; none tells it");
    let text = why(&[cheap("1"), priced("2", "0.6"), priced("3", "0.5")], &job(), &bounds);
    assert!(text.starts_with("the cheapest that would do costs 0.5 an hour"), "{text}");
}

#[test]
fn where_no_single_bound_is_to_blame_the_one_that_took_the_last_is_said() {
    // Each offer breaks two of three bounds.
    let mut bounds = requiring(&[required("cooperator.dev/reliability", Operator::Gte, &["9900"])]);
    bounds.most_per_hour = Some("0.4".parse().unwrap());
    let small = Offer { cpu_millis: 1000, ..priced("small", "0.5") };
    let shaky = Offer { reliability: None, ..priced("shaky", "0.5") };
    let both = Offer { cpu_millis: 1000, reliability: None, ..priced("both", "0.3") };
    let text = why(&[small, shaky, both], &job(), &bounds);
    assert_eq!(text, "no offer of 1 left of 3 has `cooperator.dev/reliability` Gte 9900; none tells it");
}
