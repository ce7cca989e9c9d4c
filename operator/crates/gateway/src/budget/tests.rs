use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cooperator_core::api_key;
use cooperator_core::money::Amount;
use proptest::prelude::*;

use super::lease::{Claim, Lease, LeaseState, exchange};
use super::*;
use crate::snapshot::Key;

/// One ApiKey, kept in memory, that refuses every third write as if somebody had written meanwhile.
#[derive(Default)]
struct OneKey {
    state: Mutex<(LeaseState, u64)>,
    writes: AtomicU64,
    conflicts: bool,
}

#[async_trait]
impl LeaseStore for OneKey {
    async fn read(&self, _: &str, _: &str) -> Result<(LeaseState, String), StoreError> {
        let (state, version) = self.state.lock().unwrap().clone();
        tokio::task::yield_now().await;
        Ok((state, version.to_string()))
    }

    async fn write(
        &self,
        _: &str,
        next: &LeaseState,
        _: &str,
        version: String,
    ) -> Result<Written, StoreError> {
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let mut state = self.state.lock().unwrap();
        if state.1.to_string() != version || (self.conflicts && count.is_multiple_of(3)) {
            return Ok(Written::Conflict);
        }
        *state = (next.clone(), state.1 + 1);
        Ok(Written::Done)
    }
}

fn pico(amount: i128) -> Amount {
    Amount::from_pico(amount)
}

fn key(budget: Option<i128>) -> Key {
    Key {
        uid: "uid".into(),
        name: "reader".into(),
        consumer: "library".into(),
        hash: api_key::Key::mint([1; 20]).hash(),
        deployments: Default::default(),
        requests_per_minute: None,
        tokens_per_minute: None,
        budget: budget.map(pico),
        expires_at: None,
    }
}

fn one_key(budget: i128, conflicts: bool) -> Arc<OneKey> {
    let state = LeaseState { budget: Some(pico(budget)), ..LeaseState::default() };
    Arc::new(OneKey { state: Mutex::new((state, 0)), writes: AtomicU64::new(0), conflicts })
}

fn funds(store: &Arc<OneKey>, gateway: &str) -> Arc<Funds> {
    Arc::new(Funds::new(Arc::new(Ledger::default()), store.clone(), gateway))
}

#[tokio::test]
async fn two_racing_calls_never_spend_the_same_money() {
    let store = one_key(100, true);
    let (a, b, key) = (funds(&store, "a"), funds(&store, "b"), key(Some(100)));
    let (first, second) = tokio::join!(a.reserve(&key, pico(70)), b.reserve(&key, pico(70)));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn many_racing_calls_spend_at_most_the_budget_and_all_of_it_that_fits() {
    let store = one_key(1000, true);
    let gateways = [funds(&store, "a"), funds(&store, "b"), funds(&store, "c")];
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..300_usize {
        let (funds, key) = (gateways[call % 3].clone(), key(Some(1000)));
        calls.spawn(async move {
            let Ok(hold) = funds.reserve(&key, pico(10)).await else { return 0 };
            tokio::task::yield_now().await;
            hold.settle(pico(7));
            7
        });
    }
    let spent: i128 = calls.join_all().await.into_iter().sum();
    assert!(spent > 0 && spent <= 1000, "{spent}");
    for gateway in &gateways {
        gateway.report("reader", "uid", true).await.unwrap();
    }
    let state = store.state.lock().unwrap().0.clone();
    assert_eq!(state.spent, pico(spent));
    assert!(state.leases.iter().all(|lease| lease.granted == lease.spent), "{state:?}");
}

#[tokio::test]
async fn what_a_call_did_not_use_can_be_spent_by_the_next() {
    let store = one_key(10, false);
    let (funds, key) = (funds(&store, "a"), key(Some(10)));
    for _ in 0..10 {
        funds.reserve(&key, pico(1)).await.unwrap().settle(pico(1));
    }
    assert_eq!(funds.reserve(&key, pico(1)).await.unwrap_err(), FundsError::Short);
}

#[tokio::test]
async fn a_dropped_promise_goes_back() {
    let store = one_key(10, false);
    let (funds, key) = (funds(&store, "a"), key(Some(10)));
    drop(funds.reserve(&key, pico(10)).await.unwrap());
    assert!(funds.reserve(&key, pico(10)).await.is_ok());
}

#[tokio::test]
async fn a_gateway_that_starts_again_reports_what_its_log_says_and_nothing_twice() {
    let store = one_key(100, false);
    let key = key(Some(100));
    let before = funds(&store, "a");
    before.reserve(&key, pico(5)).await.unwrap().settle(pico(5));
    before.report("reader", "uid", false).await.unwrap();
    before.reserve(&key, pico(5)).await.unwrap().settle(pico(5));
    // Killed here: the last five are in its log, but were not reported.
    let ledger = Arc::new(Ledger::recovered([("uid".to_owned(), pico(10))]));
    let after = Funds::new(ledger, store.clone(), "a");
    after.report("reader", "uid", false).await.unwrap();
    assert_eq!(store.state.lock().unwrap().0.spent, pico(10));
}

#[tokio::test]
async fn a_key_without_a_budget_only_reports() {
    let store = Arc::new(OneKey::default());
    let (funds, key) = (funds(&store, "a"), key(None));
    funds.reserve(&key, pico(1_000_000)).await.unwrap().settle(pico(5));
    funds.report("reader", "uid", false).await.unwrap();
    let state = store.state.lock().unwrap().0.clone();
    assert_eq!((state.spent, state.leases[0].granted), (pico(5), pico(5)));
    assert_eq!(funds.ledger().unreported(), Vec::<String>::new());
}

#[tokio::test]
async fn an_exchange_that_changes_nothing_writes_nothing() {
    let store = one_key(100, false);
    let funds = funds(&store, "a");
    funds.reserve(&key(Some(100)), pico(5)).await.unwrap().settle(pico(5));
    funds.report("reader", "uid", false).await.unwrap();
    let writes = store.writes.load(Ordering::Relaxed);
    funds.report("reader", "uid", false).await.unwrap();
    assert_eq!(store.writes.load(Ordering::Relaxed), writes);
}

#[test]
fn a_lowered_budget_takes_back_what_is_not_promised() {
    let lease = Lease { gateway: "a".into(), granted: pico(50), spent: pico(0) };
    let state = LeaseState { budget: Some(pico(20)), spent: pico(0), leases: vec![lease] };
    let claim = Claim {
        gateway: "a",
        spent: pico(5),
        reported: pico(0),
        reserved: pico(18),
        need: pico(0),
        release: false,
    };
    let (next, lease) = exchange(&state, &claim).unwrap();
    assert_eq!((next.spent, lease.granted), (pico(5), pico(23)));
}

/// One exchange: budget, spent of all, own entry (granted, spent), what another holds, and what this gateway brings
/// (spent, last reported, reserved, needed, whether it gives back). Then what all have spent, and what is granted.
type Exchange = (&'static str, Option<i128>, i128, Option<(i128, i128)>, i128, [i128; 4], bool, (i128, i128));

#[test]
fn an_exchange_gives_no_more_than_is_free_and_takes_no_report_twice() {
    let cases: [Exchange; 18] = [
        ("the first", Some(100), 0, None, 0, [0, 0, 0, 10], false, (0, 25)),
        ("all that is left", Some(100), 90, Some((0, 0)), 0, [0, 0, 0, 10], false, (90, 10)),
        ("one more than is left", Some(100), 91, Some((0, 0)), 0, [0, 0, 0, 10], false, (91, 9)),
        ("nothing left", Some(100), 100, None, 0, [0, 0, 0, 1], false, (100, 0)),
        ("a budget of nothing", Some(0), 0, None, 0, [0, 0, 0, 1], false, (0, 0)),
        ("a budget below what was spent", Some(50), 80, None, 0, [0, 0, 0, 1], false, (80, 0)),
        ("what another holds", Some(100), 0, None, 95, [0, 0, 0, 10], false, (0, 5)),
        ("all held by another", Some(100), 0, None, 100, [0, 0, 0, 1], false, (0, 0)),
        ("no bound", None, 5, None, 0, [7, 0, 0, 1000], false, (12, 7)),
        ("a report", Some(100), 10, Some((40, 10)), 0, [30, 10, 0, 0], false, (30, 40)),
        ("a report, and all given back", Some(100), 10, Some((40, 10)), 0, [30, 10, 5, 0], true, (30, 35)),
        ("the same report again", Some(100), 30, Some((40, 30)), 0, [30, 30, 0, 0], false, (30, 40)),
        ("a report that goes back", Some(100), 30, Some((40, 30)), 0, [20, 30, 0, 0], false, (30, 40)),
        ("an entry that was removed", Some(100), 30, None, 0, [30, 30, 0, 10], false, (30, 47)),
        ("removed, with news", Some(100), 30, None, 0, [35, 30, 0, 10], false, (35, 51)),
        ("removed, with calls under way", Some(100), 100, None, 0, [30, 30, 20, 0], false, (100, 50)),
        ("lowered, with calls under way", Some(20), 0, Some((50, 0)), 0, [5, 0, 18, 0], false, (5, 23)),
        ("more than was granted", Some(100), 0, Some((10, 0)), 0, [60, 0, 0, 10], false, (60, 70)),
    ];
    for (name, budget, spent, own, held, [mine, reported, reserved, need], release, (all, granted)) in cases {
        let lease = |gateway: &str, (granted, spent)| Lease {
            gateway: gateway.into(),
            granted: pico(granted),
            spent: pico(spent),
        };
        let mut leases: Vec<Lease> = own.map(|own| lease("a", own)).into_iter().collect();
        leases.push(lease("b", (held, 0)));
        let state = LeaseState { budget: budget.map(pico), spent: pico(spent), leases };
        let claim = Claim {
            gateway: "a",
            spent: pico(mine),
            reported: pico(reported),
            reserved: pico(reserved),
            need: pico(need),
            release,
        };
        let (next, lease) = exchange(&state, &claim).unwrap();
        assert_eq!((next.spent.pico(), lease.granted.pico()), (all, granted), "{name}");
    }
    eprintln!("{} exchanges of budgets", cases.len());
}

#[test]
fn amounts_out_of_range_are_an_error_and_change_nothing() {
    let state = LeaseState { budget: Some(pico(i128::MAX)), spent: pico(i128::MAX - 1), leases: vec![] };
    let claim = |spent, need| Claim {
        gateway: "a",
        spent: pico(spent),
        reported: pico(0),
        reserved: pico(0),
        need: pico(need),
        release: false,
    };
    assert!(exchange(&state, &claim(2, 0)).is_err());
    assert_eq!(exchange(&state, &claim(0, 1)).unwrap().1.granted, pico(1));
    let ledger = Arc::new(Ledger::recovered([("uid".to_owned(), pico(i128::MAX - 1))]));
    assert!(ledger.reserve("uid", pico(2), true).is_none());
    let held = ledger.reserve("uid", pico(i128::MAX), false);
    assert!(ledger.reserve("uid", pico(1), false).is_none(), "a promise beyond all money");
    drop(held);
    assert_eq!(ledger.spent("uid"), pico(i128::MAX - 1));
}

proptest! {
    #[test]
    fn whatever_gateways_ask_for_the_parts_stay_within_the_budget(
        budget in 0..10_000_i128,
        steps in prop::collection::vec((0..4_usize, 0..500_i128, 0..500_i128, any::<bool>()), 1..60),
    ) {
        let names = ["a", "b", "c", "d"];
        let mut state = LeaseState { budget: Some(pico(budget)), ..LeaseState::default() };
        let mut own = [(0_i128, 0_i128); 4];
        for (who, spend, need, release) in steps {
            let (granted, spent) = &mut own[who];
            *spent += spend.min(*granted - *spent);
            let claim = Claim { gateway: names[who], spent: pico(*spent), reported: pico(0), reserved: pico(0), need: pico(need), release };
            let (next, lease) = exchange(&state, &claim).unwrap();
            *granted = lease.granted.pico();
            state = next;
            let held: i128 = state.leases.iter().map(|lease| (lease.granted.pico() - lease.spent.pico()).max(0)).sum();
            prop_assert!(state.spent.pico() + held <= budget, "{state:?}");
            prop_assert_eq!(state.spent.pico(), state.leases.iter().map(|lease| lease.spent.pico()).sum::<i128>());
        }
        prop_assert!(own.iter().map(|(_, spent)| spent).sum::<i128>() <= budget);
    }
}
