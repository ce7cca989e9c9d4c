use proptest::prelude::*;

use super::*;
use crate::attribution::WEIGHT;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn points(points: u16) -> BasisPoints {
    BasisPoints::new(points).unwrap()
}

fn credit(member: &str, weight: u64) -> Credit {
    Credit { member: member.to_owned(), tokens: weight / 1000, weight }
}

fn adapter() -> Digest {
    Digest::of(b"adapter")
}

/// The sketch's treasury: 5 % reserve, then 90 % by works, 5 % dues, 5 % to grant.
fn books(earnings: &[&str]) -> Books {
    Books {
        decimals: Decimals::new(2).unwrap(),
        members: ["grant", "lincoln", "taft"].map(str::to_owned).into(),
        earnings: earnings
            .iter()
            .map(|text| Earning { adapter: Some(adapter()), amount: amount(text) })
            .collect(),
        attributions: [(adapter(), vec![credit("lincoln", 750_000_000), credit("grant", 250_000_000)])]
            .into(),
        costs: Amount::ZERO,
        recover_costs: true,
        unrecovered: Amount::ZERO,
        reserve: points(500),
        rules: vec![
            Rule { basis_points: points(9000), by: By::Contribution },
            Rule { basis_points: points(500), by: By::Membership },
            Rule { basis_points: points(500), by: By::Fixed([("grant".to_owned(), 1)].into()) },
        ],
        carries: BTreeMap::new(),
    }
}

fn paid(settlement: &Settlement) -> Vec<(&str, String)> {
    settlement.payments.iter().map(|payment| (&*payment.member, payment.amount.to_string())).collect()
}

fn balanced(settlement: &Settlement) -> bool {
    let payments = settlement.payments.iter().map(|payment| payment.amount);
    let out =
        [settlement.recovered, settlement.reserve, settlement.suspense_after].into_iter().chain(payments);
    Amount::sum(out) == settlement.suspense_before.plus(settlement.gross)
}

#[test]
fn a_period_is_split_by_its_rules() {
    let settlement = settle(&books(&["100"])).unwrap();
    assert_eq!(settlement.reserve, amount("5"));
    assert_eq!(
        paid(&settlement),
        [("grant", "27.7".into()), ("lincoln", "65.7".into()), ("taft", "1.58".into())]
    );
    assert_eq!(settlement.suspense_after, amount("0.02"));
    assert!(balanced(&settlement));
    let told: Vec<_> = settlement.payments.iter().map(|p| (p.tokens, p.basis_points.get())).collect();
    assert_eq!(told, [(250_000, 2917), (750_000, 6917), (0, 166)]);
}

#[test]
fn cost_comes_off_first_and_the_rest_of_it_waits() {
    let settlement = settle(&Books { costs: amount("130.505"), ..books(&["60", "40"]) }).unwrap();
    assert_eq!((settlement.recovered, settlement.unrecovered), (amount("100"), amount("30.505")));
    assert!(settlement.payments.iter().all(|payment| payment.amount == Amount::ZERO));
    let next = Books { unrecovered: settlement.unrecovered, carries: settlement.carries, ..books(&["100"]) };
    let settlement = settle(&next).unwrap();
    assert_eq!((settlement.recovered, settlement.unrecovered), (amount("30.5"), Amount::ZERO));
    assert!(balanced(&settlement));
}

#[test]
fn without_cost_recovery_no_debt_grows_and_none_is_forgotten() {
    let books =
        Books { costs: amount("9"), unrecovered: amount("1"), recover_costs: false, ..books(&["100"]) };
    let settlement = settle(&books).unwrap();
    assert_eq!((settlement.recovered, settlement.unrecovered), (Amount::ZERO, amount("1")));
}

#[test]
fn an_adapter_of_nobodys_work_is_split_equally() {
    let mut books = books(&["3"]);
    books.reserve = BasisPoints::ZERO;
    books.rules = vec![Rule { basis_points: BasisPoints::FULL, by: By::Contribution }];
    books.earnings[0].adapter = None;
    let alone = settle(&books).unwrap();
    books.earnings[0].adapter = Some(adapter());
    books.attributions = [(adapter(), vec![])].into();
    let empty = settle(&books).unwrap();
    assert_eq!(alone, empty);
    // The ninth digit of a third goes to the first by name; the rest stays below a cent.
    assert_eq!(paid(&alone), [("grant", "1".into()), ("lincoln", "0.99".into()), ("taft", "0.99".into())]);
    assert!(balanced(&alone));
}

#[test]
fn no_revenue_pays_nothing_and_keeps_the_carries() {
    let first = settle(&books(&["0.019"])).unwrap();
    let second = settle(&Books { carries: first.carries.clone(), ..books(&[]) }).unwrap();
    assert_eq!(second.carries, first.carries);
    assert!(second.payments.iter().all(|p| p.amount == Amount::ZERO && p.basis_points == BasisPoints::ZERO));
    assert!(balanced(&second));
}

#[test]
fn who_has_left_is_still_paid_for_the_work_in_the_weights() {
    let mut books = books(&["100"]);
    books.members.remove("lincoln");
    let settlement = settle(&books).unwrap();
    assert_eq!(paid(&settlement)[1], ("lincoln", "64.12".to_owned()));
}

#[test]
fn a_refund_is_owed_back_by_the_same_weights() {
    let settlement = settle(&books(&["-100"])).unwrap();
    assert!(settlement.payments.iter().all(|payment| payment.amount.is_negative()));
    assert!(settlement.carries.values().all(|carry| *carry >= 0));
    assert!(balanced(&settlement));
}

#[test]
fn books_that_are_not_whole_are_refused() {
    let with = |change: fn(&mut Books)| {
        let mut books = books(&["1"]);
        change(&mut books);
        settle(&books).unwrap_err()
    };
    assert!(matches!(with(|b| b.rules.truncate(1)), SettlementError::Rules(BasisPointsError::Sum(9000))));
    assert_eq!(with(|b| b.members.clear()), SettlementError::NoMembers);
    assert_eq!(
        with(|b| b.rules[2].by = By::Fixed([("grant".to_owned(), 0)].into())),
        SettlementError::NoParts
    );
    assert_eq!(with(|b| b.attributions.clear()), SettlementError::NoAttribution(adapter()));
    let short = with(|b| drop(b.attributions.get_mut(&adapter()).map(|credits| credits.pop())));
    assert_eq!(short, SettlementError::Weights { adapter: adapter(), sum: 750_000_000 });
}

#[test]
fn a_payee_reads_as_it_is_written() {
    for payee in [Payee::Costs, Payee::Reserve, Payee::Member("costs".to_owned())] {
        assert_eq!(payee.to_string().parse::<Payee>().unwrap(), payee);
    }
    assert!("<other>".parse::<Payee>().is_err() && "".parse::<Payee>().is_err());
}

const NAMES: [&str; 7] = ["ada", "bea", "cyd", "dot", "eve", "fay", "gus"];

prop_compose! {
    fn any_credits()(parts in prop::collection::vec(0u128..1000, 1..7)) -> Vec<Credit> {
        let parts: BTreeMap<_, _> = NAMES.iter().zip(parts).filter(|(_, part)| *part > 0).collect();
        let weights = apportion(&parts, u128::from(WEIGHT));
        parts.keys().zip(weights).map(|(name, weight)| credit(name, u64::try_from(weight).unwrap())).collect()
    }
}

prop_compose! {
    fn any_books()(
        credits in prop::collection::vec(any_credits(), 3),
        lines in prop::collection::vec((0usize..4, -1_000_000_000_000_i128..900_000_000_000_000_000_000_000), 0..6),
        members in prop::collection::btree_set(prop::sample::select(NAMES.to_vec()), 1..7),
        cut in 0u16..=10_000, reserve in 0u16..=10_000, places in 0u8..=12, recover_costs: bool,
        costs in 0i128..500_000_000_000_000,
    ) -> Books {
        let adapters = [b"a", b"b", b"c"].map(|name| Digest::of(name));
        Books {
            decimals: Decimals::new(places).unwrap(),
            members: members.into_iter().map(str::to_owned).collect(),
            earnings: lines.into_iter()
                .map(|(index, pico)| Earning { adapter: adapters.get(index).copied(), amount: Amount::from_pico(pico) })
                .collect(),
            attributions: adapters.into_iter().zip(credits).collect(),
            costs: Amount::from_pico(costs),
            recover_costs,
            unrecovered: Amount::ZERO,
            reserve: points(reserve),
            rules: vec![
                Rule { basis_points: points(cut), by: By::Contribution },
                Rule { basis_points: points(10_000 - cut), by: By::Membership },
            ],
            carries: BTreeMap::new(),
        }
    }
}

proptest! {
    #[test]
    fn sums_are_exact_over_many_successive_periods(periods in prop::collection::vec(any_books(), 1..10)) {
        let (mut gross, mut out) = (Amount::ZERO, Amount::ZERO);
        let (mut carries, mut unrecovered) = (BTreeMap::new(), Amount::ZERO);
        for period in periods {
            let decimals = period.decimals;
            let done = settle(&Books { carries, unrecovered, ..period }).unwrap();
            prop_assert!(balanced(&done));
            prop_assert!(!done.unrecovered.is_negative());
            let payments = done.payments.iter().map(|payment| payment.amount);
            for payment in payments.clone().chain([done.recovered, done.reserve]) {
                prop_assert_eq!(payment.pico() % decimals.unit().pico(), 0);
            }
            gross = gross.plus(done.gross).unwrap();
            out = Amount::sum(payments.chain([out, done.recovered, done.reserve])).unwrap();
            prop_assert_eq!(out.plus(done.suspense_after).unwrap(), gross);
            (carries, unrecovered) = (done.carries, done.unrecovered);
        }
    }

    #[test]
    fn the_order_of_lines_and_members_is_irrelevant(books in any_books(), seed: u64) {
        let mut shuffled = books.clone();
        let by = |index: usize| (index as u64 + 1).wrapping_mul(seed | 1);
        shuffled.earnings = shuffle(books.earnings.clone(), by);
        shuffled.rules = shuffle(books.rules.clone(), by);
        for credits in shuffled.attributions.values_mut() {
            *credits = shuffle(std::mem::take(credits), by);
        }
        prop_assert_eq!(settle(&shuffled).unwrap(), settle(&books).unwrap());
    }
}

fn shuffle<T>(list: Vec<T>, by: impl Fn(usize) -> u64) -> Vec<T> {
    let mut keyed: Vec<_> = list.into_iter().enumerate().map(|(index, item)| (by(index), item)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}
