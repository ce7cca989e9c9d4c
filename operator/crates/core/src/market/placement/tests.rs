use super::*;
use crate::basis_points::BasisPoints;
use crate::market::requirement::{Operator, Requirement};
use crate::market::throughput::{Basis, Row};
use crate::market::{
    CapacityType, Gpus, Granularity, Needs, Requirements, Seller, Shape, Spot, Terms, Traffic, Work,
};

mod brute_force;
mod random;
mod refusals;

/// A machine without a fault at 1 an hour, that trains a token in a second.
fn offer(id: &str) -> Offer {
    Offer {
        provider: "a".into(),
        id: id.into(),
        host: None,
        region: String::new(),
        shape: Shape::Machine,
        capacity_type: CapacityType::OnDemand,
        cpu_millis: 8000,
        memory_mib: 32_000,
        disk_gib: 100,
        gpus: None,
        gigaflops: None,
        reliability: Some(BasisPoints::FULL),
        until: None,
        terms: Terms { hourly: "1".parse().unwrap(), ..Terms::default() },
    }
}

fn priced(id: &str, hourly: &str) -> Offer {
    Offer { terms: Terms { hourly: hourly.parse().unwrap(), ..Terms::default() }, ..offer(id) }
}

fn spot(id: &str, hourly: &str) -> Offer {
    Offer { capacity_type: CapacityType::Spot, ..priced(id, hourly) }
}

/// An hour's work.
fn job() -> Job {
    Job {
        needs: Needs { cpu_millis: 4000, memory_mib: 16_000, disk_gib: 40, ..Needs::default() },
        work: Work { tokens: 3600, flops_per_token: 0 },
        base_model: "sha256:a".into(),
        ..Job::default()
    }
}

fn bounds() -> Bounds {
    let seller = |kind: &str| Seller { kind: kind.into(), weight: 1, ..Seller::default() };
    let sellers = [("a".to_owned(), seller("Vast")), ("b".to_owned(), seller("Hetzner"))].into();
    Bounds { sellers, ..Bounds::default() }
}

fn known() -> Throughput {
    let row = |machine: &str, milli_tokens_per_second| Row {
        base_model: "sha256:a".into(),
        machine: machine.parse().unwrap(),
        milli_tokens_per_second,
        runs: 1,
        gigaflops: None,
    };
    Throughput::from_rows(vec![row("8 cpu", 1000), row("16 cpu", 4000), row("1x rtx-4090", 36_000)])
}

fn decide(offers: &[Offer], job: &Job, bounds: &Bounds) -> Result<Vec<Choice>, NoOffer> {
    choose(offers, job, bounds, &known(), Timestamp::UNIX_EPOCH)
}

/// Ids of the ranking.
fn ranked(offers: &[Offer], job: &Job, bounds: &Bounds) -> String {
    let choices = decide(offers, job, bounds).unwrap();
    choices.iter().map(|choice| offers[choice.offer].id.to_string()).collect::<Vec<_>>().join(" ")
}

fn one(offer: Offer, job: &Job, bounds: &Bounds) -> Choice {
    let mut choices = decide(&[offer], job, bounds).unwrap();
    assert_eq!(choices.len(), 1);
    choices.remove(0)
}

fn times(job: Job, work: u64) -> Job {
    Job { work: Work { tokens: job.work.tokens * work, ..job.work }, ..job }
}

#[test]
fn the_dearer_hour_is_taken_when_the_job_costs_less_there() {
    let fast = Offer { cpu_millis: 16_000, ..priced("fast", "2") };
    assert_eq!(ranked(&[priced("slow", "1"), fast.clone()], &job(), &bounds()), "fast slow");
    let choice = one(fast, &job(), &bounds());
    assert_eq!((choice.expected.to_string().as_str(), choice.seconds), ("0.5", 900));
    assert_eq!(
        (choice.hourly.to_string().as_str(), choice.bid, choice.rate.basis),
        ("2", None, Basis::Measured)
    );
}

#[test]
fn an_hour_begun_is_paid_for_where_the_vendor_counts_so() {
    let mut hours = Offer { cpu_millis: 16_000, ..priced("hours", "1.5") };
    hours.terms.granularity = Granularity::Hour;
    assert_eq!(ranked(&[priced("slow", "1"), hours.clone()], &job(), &bounds()), "slow hours");
    assert_eq!(one(hours.clone(), &job(), &bounds()).expected.to_string(), "1.5");
    assert_eq!(ranked(&[priced("slow", "1"), hours], &times(job(), 4), &bounds()), "hours slow");
}

#[test]
fn setup_disk_and_traffic_are_part_of_the_cost() {
    let mut dear = priced("dear", "0.9");
    dear.terms.disk_month_micros = 720_000; // 0.001 a GiB and hour: 0.04 an hour
    dear.terms.traffic = Traffic { up_micros: 10_000, down_micros: 50_000 };
    let traffic = Job { up_bytes: 1_000_000_000, down_bytes: 2_000_000_000, ..job() };
    let choice = one(dear.clone(), &traffic, &bounds());
    assert_eq!((choice.expected.to_string().as_str(), choice.hourly.to_string().as_str()), ("1.05", "0.94"));
    assert_eq!(ranked(&[dear, priced("plain", "1")], &traffic, &bounds()), "plain dear");
    let setup = Job { setup_seconds: 1800, ..job() };
    let choice = one(offer("x"), &setup, &bounds());
    assert_eq!((choice.expected.to_string().as_str(), choice.seconds), ("1.5", 5400));
}

#[test]
fn a_host_that_breaks_its_word_is_expected_to_do_work_twice() {
    // A day's work, interrupted half a time, each loses an hour and needs half an hour of setup.
    let day =
        Job { checkpoint_seconds: 3600, setup_seconds: 1800, down_bytes: 4_000_000_000, ..times(job(), 24) };
    let points = |points| Some(BasisPoints::new(points).unwrap());
    let mut shaky = Offer { reliability: points(5000), ..priced("shaky", "0.99") };
    shaky.terms.traffic.down_micros = 100_000;
    let choice = one(shaky.clone(), &day, &bounds());
    // 24.5 hours at half an interruption a day are 0.5104166 of them, 5400 s and 4 GB each.
    assert_eq!(choice.seconds, 24 * 3600 + 1800 + 2757);
    assert_eq!(choice.expected.to_string(), "25.6173416667");
    assert_eq!(ranked(&[shaky, offer("firm")], &day, &bounds()), "firm shaky");
    // Nothing told: 99 days of 100.
    let untold = Offer { reliability: None, ..offer("untold") };
    let told = Offer { reliability: points(9900), ..offer("told") };
    assert_eq!(one(untold, &day, &bounds()), one(told, &day, &bounds()));
}

#[test]
fn no_more_is_lost_than_was_done() {
    let rare = Job { checkpoint_seconds: 1_000_000, ..job() };
    let often = Job { checkpoint_seconds: 3600, ..job() };
    let shaky = || Offer { reliability: Some(BasisPoints::ZERO), ..offer("x") };
    assert_eq!(one(shaky(), &rare, &bounds()), one(shaky(), &often, &bounds()));
}

#[test]
fn spot_is_taken_where_it_pays_with_its_interruptions() {
    let job = Job { setup_seconds: 600, checkpoint_seconds: 600, ..times(job(), 10) };
    let prefer = Bounds { spot: Spot::Prefer, ..bounds() };
    // About one interruption in ten hours, which costs twenty minutes: three per cent.
    assert_eq!(ranked(&[offer("firm"), spot("spot", "0.9")], &job, &prefer), "spot firm");
    assert_eq!(ranked(&[offer("firm"), spot("spot", "0.99")], &job, &prefer), "firm spot");
    assert_eq!(ranked(&[offer("firm"), spot("spot", "0.5")], &job, &bounds()), "firm");
    let only = Bounds { spot: Spot::Only, ..prefer };
    assert_eq!(ranked(&[offer("firm"), spot("spot", "0.99")], &job, &only), "spot");
}

#[test]
fn a_bid_has_headroom_and_the_job_is_counted_at_the_bid() {
    let headroom = BasisPoints::new(2000).unwrap();
    let bounds = Bounds { spot: Spot::Only, bid_headroom: headroom, ..bounds() };
    let bid = |offers: &[Offer], bounds: &Bounds| {
        let choice = decide(offers, &job(), bounds).unwrap().remove(0);
        (choice.bid.unwrap().to_string(), choice.hourly.to_string())
    };
    let at = |bid: &str, hourly: &str| (bid.to_owned(), hourly.to_owned());
    assert_eq!(bid(&[spot("s", "0.5")], &bounds), at("0.6", "0.6"));
    // Not above what such a machine costs on demand.
    assert_eq!(bid(&[spot("s", "0.5"), priced("firm", "0.55")], &bounds), at("0.55", "0.55"));
    let other = Offer { cpu_millis: 16_000, ..priced("other", "0.55") };
    assert_eq!(bid(&[spot("s", "0.5"), other], &bounds), at("0.6", "0.6"));
    let there = Offer { provider: "b".into(), ..priced("there", "0.55") };
    assert_eq!(bid(&[spot("s", "0.5"), there], &bounds), at("0.6", "0.6"));
    // Nor above the bound on the hour with its disk, in the treasury's currency.
    let mut abroad = Bounds { most_per_hour: Some("1.18".parse().unwrap()), ..bounds };
    abroad.sellers.get_mut("a").unwrap().exchange = "2".parse().unwrap();
    let mut disk = spot("s", "0.5");
    disk.terms.disk_month_micros = 720_000;
    assert_eq!(bid(&[disk], &abroad), at("0.55", "1.18"));
}

#[test]
fn the_price_on_demand_of_the_same_host_says_more_than_that_of_others() {
    let headroom = BasisPoints::FULL;
    let bounds = Bounds { spot: Spot::Only, bid_headroom: headroom, ..bounds() };
    let on = |offer: Offer, host: &str| Offer { host: Some(host.into()), ..offer };
    let offers =
        [on(spot("s", "0.5"), "h1"), on(priced("same", "0.9"), "h1"), on(priced("near", "0.7"), "h2")];
    let bid = |offers: &[Offer]| decide(offers, &job(), &bounds).unwrap()[0].bid.unwrap().to_string();
    assert_eq!(bid(&offers), "0.9");
    assert_eq!(bid(&[offers[0].clone(), offers[2].clone()]), "0.7");
}

#[test]
fn prices_are_compared_in_the_treasurys_currency() {
    let mut bounds = bounds();
    bounds.sellers.get_mut("b").unwrap().exchange = "1.1".parse().unwrap();
    let abroad = Offer { provider: "b".into(), ..priced("abroad", "0.95") };
    assert_eq!(ranked(&[abroad.clone(), offer("home")], &job(), &bounds), "home abroad");
    let choice = one(abroad, &job(), &bounds);
    assert_eq!((choice.expected.to_string(), choice.hourly.to_string()), ("1.045".into(), "1.045".into()));
}

#[test]
fn of_equals_the_sooner_then_the_weightier_then_the_first_by_name() {
    // Twice as fast at twice the price.
    let sooner = Offer { cpu_millis: 16_000, ..priced("sooner", "4") };
    assert_eq!(ranked(&[offer("later"), sooner], &job(), &bounds()), "sooner later");
    let of = |provider: &str, id| Offer { provider: provider.into(), ..offer(id) };
    let offers = [of("b", "1"), of("a", "3"), of("a", "2"), of("b", "0")];
    assert_eq!(ranked(&offers, &job(), &bounds()), "2 3 0 1");
    let mut weighty = bounds();
    weighty.sellers.get_mut("b").unwrap().weight = 2;
    assert_eq!(ranked(&offers, &job(), &weighty), "0 1 2 3");
}

#[test]
fn what_failed_is_passed_over_at_its_provider_and_the_next() {
    let mut bounds = bounds();
    let host = |offer: Offer, host: &str| Offer { host: Some(host.into()), ..offer };
    let next = Offer { provider: "b".into(), ..priced("1", "1.3") };
    let offers = [priced("1", "1"), host(priced("2", "1.1"), "h"), host(priced("3", "1.2"), "h"), next];
    assert_eq!(ranked(&offers, &job(), &bounds), "1 2 3 1");
    bounds.sellers.get_mut("a").unwrap().blocked_offers.insert("1".into());
    assert_eq!(ranked(&offers, &job(), &bounds), "2 3 1");
    bounds.sellers.get_mut("a").unwrap().blocked_hosts.insert("h".into());
    assert_eq!(ranked(&offers, &job(), &bounds), "1");
    assert_eq!(decide(&offers, &job(), &bounds).unwrap()[0].offer, 3);
}

#[test]
fn every_bound_may_be_reached_and_none_passed() {
    let cases: [fn(&mut Bounds, u64); 4] = [
        |bounds, less| bounds.most_per_hour = Some(PricePerHour::from_micros(1_000_000 - less)),
        |bounds, less| bounds.budget_left = Some(Amount::from_pico(1_000_000_000_000 - i128::from(less))),
        |bounds, less| bounds.deadline_seconds = Some(3600 - less),
        |bounds, less| {
            let seller = bounds.sellers.get_mut("a").unwrap();
            seller.most_per_hour = Some(PricePerHour::from_micros(1_000_000 - less));
        },
    ];
    for bound in cases {
        let mut bounds = bounds();
        bound(&mut bounds, 0);
        assert!(decide(&[offer("x")], &job(), &bounds).is_ok());
        bound(&mut bounds, 1);
        assert!(decide(&[offer("x")], &job(), &bounds).is_err());
    }
    let until = |nanosecond: i128| Offer {
        until: Some(Timestamp::from_nanosecond(3_600_000_000_000 - nanosecond).unwrap()),
        ..offer("x")
    };
    assert!(decide(&[until(0)], &job(), &bounds()).is_ok());
    assert!(decide(&[until(1)], &job(), &bounds()).is_err());
}

#[test]
fn a_machine_that_costs_nothing_needs_no_budget() {
    let broke =
        Bounds { budget_left: Some(Amount::ZERO), most_per_hour: Some("0".parse().unwrap()), ..bounds() };
    assert_eq!(ranked(&[offer("dear"), priced("own", "0")], &job(), &broke), "own");
}

#[test]
fn the_largest_numbers_are_refused_and_never_wrap() {
    let most = PricePerHour::from_micros(u64::MAX);
    let traffic = Traffic { up_micros: u64::MAX, down_micros: u64::MAX };
    let terms = Terms { hourly: most, disk_month_micros: u64::MAX, traffic, granularity: Granularity::Hour };
    let offers = [CapacityType::OnDemand, CapacityType::Spot].map(|capacity_type| Offer {
        capacity_type,
        disk_gib: u64::MAX,
        reliability: Some(BasisPoints::ZERO),
        terms: terms.clone(),
        ..offer("x")
    });
    let job = Job {
        needs: Needs { disk_gib: u64::MAX, ..Needs::default() },
        work: Work { tokens: u64::MAX, flops_per_token: u64::MAX },
        base_model: String::new(),
        setup_seconds: u64::MAX,
        checkpoint_seconds: u64::MAX,
        up_bytes: u64::MAX,
        down_bytes: u64::MAX,
    };
    let mut bounds = Bounds { spot: Spot::Prefer, bid_headroom: BasisPoints::FULL, ..bounds() };
    bounds.sellers.get_mut("a").unwrap().exchange = "1000000".parse().unwrap();
    assert!(matches!(decide(&offers, &job, &bounds), Err(NoOffer::Range { .. })));
}
