//! The exact split. Money is divided by integer shares; what is below a payable unit is carried by the payee it
//! belongs to, so nothing is lost, nobody gains by rounding, and small shares are paid in the end.
//!
//! With `SCALE` shares to a whole and `M` pico-units to a payable unit, for each payee
//! `x = carry + sum(pool * shares)`, `payment = x div (SCALE * M)` payable units, `carry' = x mod (SCALE * M)`.
//! Division is Euclidean, so that refunds (pools below zero) leave carries at zero or more. Then
//! `sum(payments) + suspense' = suspense + sum(pools)` exactly, where `suspense = sum(carries) / SCALE`, and each
//! payee is always less than one payable unit short of its exact share.

use std::collections::BTreeMap;
use std::fmt::Display;

use num_bigint::BigInt;
use num_integer::Integer;

use crate::money::{Amount, Decimals, MoneyError};

/// Shares of a whole pool: 10^4 * 10^4 * 10^9, so that reserve, rule (basis points each) and weight (10^-9) multiply
/// without a remainder. A carry counts in 10^-12 of the currency / `SCALE`.
pub const SCALE: u64 = 100_000_000_000_000_000;

/// A split that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Shares that are not a whole.
    #[error("shares of a pool add up to {0}; they must add up to {SCALE}")]
    Shares(u128),
    /// Carries that no split left behind.
    #[error("carry of `{payee}` is {carry}; a carry is zero or more")]
    Carry {
        /// Whose.
        payee: String,
        /// The numerator.
        carry: i128,
    },
    /// Carries that no split left behind.
    #[error(
        "carries add up to {0}, which is not a whole number of 10^-12 units; take them from the statement before, unchanged"
    )]
    Carries(BigInt),
    /// Out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Money to divide, and how: payee to shares of [`SCALE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool<P> {
    /// What there is; below zero for a refund.
    pub amount: Amount,
    /// Add up to [`SCALE`].
    pub shares: BTreeMap<P, u64>,
}

/// A finished split. All three maps have the same payees: those of any pool and of any carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<P> {
    /// Whole payable units; below zero where refunds exceed what was earned.
    pub payments: BTreeMap<P, Amount>,
    /// What the pools gave each, without carries, rounded down to a pico-unit. For people.
    pub earned: BTreeMap<P, Amount>,
    /// Numerators over [`SCALE`], from 0 to less than a payable unit.
    pub carries: BTreeMap<P, i128>,
    /// What all carries amount to.
    pub suspense: Amount,
}

/// Splits `pools`, going on from the carries of the split before.
///
/// # Errors
/// [`SplitError`]: shares that are no whole, carries that no split made, or amounts beyond [`MoneyError::Overflow`].
pub fn split<P: Ord + Clone + Display>(
    pools: &[Pool<P>],
    carries: &BTreeMap<P, i128>,
    decimals: Decimals,
) -> Result<Split<P>, SplitError> {
    suspense(carries)?;
    let mut earned: BTreeMap<P, BigInt> = carries.keys().map(|payee| (payee.clone(), BigInt::ZERO)).collect();
    for Pool { amount, shares } in pools {
        let sum = shares.values().map(|share| u128::from(*share)).sum();
        if sum != u128::from(SCALE) {
            return Err(SplitError::Shares(sum));
        }
        for (payee, share) in shares {
            *earned.entry(payee.clone()).or_default() += BigInt::from(amount.pico()) * share;
        }
    }
    let unit = BigInt::from(decimals.unit().pico()) * SCALE;
    let mut split = Split {
        payments: BTreeMap::new(),
        earned: BTreeMap::new(),
        carries: BTreeMap::new(),
        suspense: Amount::ZERO,
    };
    for (payee, numerator) in earned {
        let (units, carry) = (&numerator + carries.get(&payee).copied().unwrap_or(0)).div_mod_floor(&unit);
        split.payments.insert(payee.clone(), decimals.unit().times(narrow(units)?)?);
        split.carries.insert(payee.clone(), narrow(carry)?);
        split.earned.insert(payee, Amount::from_pico(narrow(numerator.div_floor(&BigInt::from(SCALE)))?));
    }
    split.suspense = suspense(&split.carries)?;
    Ok(split)
}

/// What carries amount to: money that came in and is not yet payable.
///
/// # Errors
/// [`SplitError::Carry`] or [`SplitError::Carries`] if no split can have left them.
pub fn suspense<P: Display>(carries: &BTreeMap<P, i128>) -> Result<Amount, SplitError> {
    if let Some((payee, carry)) = carries.iter().find(|(_, carry)| **carry < 0) {
        return Err(SplitError::Carry { payee: payee.to_string(), carry: *carry });
    }
    let sum: BigInt = carries.values().copied().map(BigInt::from).sum();
    let (suspense, rest) = sum.div_mod_floor(&BigInt::from(SCALE));
    if rest == BigInt::ZERO {
        Ok(Amount::from_pico(narrow(suspense)?))
    } else {
        Err(SplitError::Carries(sum))
    }
}

fn narrow(number: BigInt) -> Result<i128, MoneyError> {
    i128::try_from(number).map_err(|_| MoneyError::Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cents() -> Decimals {
        Decimals::new(2).unwrap()
    }

    fn thirds() -> BTreeMap<&'static str, u64> {
        [("a", SCALE / 3 + 1), ("b", SCALE / 3), ("c", SCALE / 3)].into()
    }

    fn pool(amount: &str) -> Pool<&'static str> {
        Pool { amount: amount.parse().unwrap(), shares: thirds() }
    }

    #[test]
    fn what_is_below_a_cent_is_carried_until_it_is_one() {
        let first = split(&[pool("0.02")], &BTreeMap::new(), cents()).unwrap();
        assert!(first.payments.values().all(|payment| *payment == Amount::ZERO));
        assert_eq!(first.suspense.to_string(), "0.02");
        let second = split(&[pool("0.02")], &first.carries, cents()).unwrap();
        assert!(second.payments.values().all(|payment| payment.to_string() == "0.01"));
        assert_eq!(second.suspense.to_string(), "0.01");
    }

    #[test]
    fn a_refund_takes_from_the_carry_first() {
        let first = split(&[pool("0.02")], &BTreeMap::new(), cents()).unwrap();
        let refund = split(&[pool("-0.01")], &first.carries, cents()).unwrap();
        assert!(refund.payments.values().all(|payment| *payment == Amount::ZERO));
        let more = split(&[pool("-0.02")], &refund.carries, cents()).unwrap();
        assert!(more.carries.values().all(|carry| *carry >= 0));
        assert!(more.payments.values().any(|payment| payment.is_negative()));
    }

    #[test]
    fn shares_that_are_no_whole_and_carries_of_no_split_are_refused() {
        let mut broken = pool("1");
        broken.shares.remove("c");
        assert!(matches!(split(&[broken], &BTreeMap::new(), cents()), Err(SplitError::Shares(_))));
        let odd = BTreeMap::from([("a", 1)]);
        assert!(matches!(split(&[pool("1")], &odd, cents()), Err(SplitError::Carries(_))));
        let below = BTreeMap::from([("a", -i128::from(SCALE))]);
        assert!(matches!(split(&[pool("1")], &below, cents()), Err(SplitError::Carry { .. })));
    }

    #[test]
    fn the_largest_amounts_are_split_or_refused_never_wrapped() {
        let most = Pool { amount: Amount::from_pico(i128::MAX), shares: thirds() };
        let done = split(std::slice::from_ref(&most), &BTreeMap::new(), cents()).unwrap();
        let paid = Amount::sum(done.payments.values().copied()).unwrap();
        assert_eq!(paid.plus(done.suspense).unwrap(), most.amount);
        let whole = |payee| Pool { amount: most.amount, shares: [(payee, SCALE)].into() };
        let twice = split(&[whole("a"), whole("a")], &BTreeMap::new(), cents());
        assert_eq!(twice, Err(SplitError::Money(MoneyError::Overflow)));
    }

    prop_compose! {
        fn any_pool()(
            pico in -1_000_000_000_000_000_000_000_i128..1_000_000_000_000_000_000_000_000_000,
            cuts in prop::collection::vec(0..=SCALE, 4),
        ) -> Pool<u8> {
            let mut cuts = cuts;
            cuts.extend([0, SCALE]);
            cuts.sort_unstable();
            let shares = cuts.windows(2).zip(0..).map(|(pair, payee)| (payee, pair[1] - pair[0])).collect();
            Pool { amount: Amount::from_pico(pico), shares }
        }
    }

    proptest! {
        #[test]
        fn sums_are_exact_and_nobody_is_a_unit_short_over_many_periods(
            periods in prop::collection::vec(prop::collection::vec(any_pool(), 0..4), 1..12),
            places in 0u8..=12,
        ) {
            let decimals = Decimals::new(places).unwrap();
            let mut carries = BTreeMap::new();
            let mut exact = BTreeMap::<u8, BigInt>::new();
            let mut paid = BTreeMap::<u8, BigInt>::new();
            for pools in &periods {
                let before = suspense(&carries).unwrap();
                let done = split(pools, &carries, decimals).unwrap();
                let into = Amount::sum(pools.iter().map(|pool| pool.amount)).unwrap();
                let out = Amount::sum(done.payments.values().copied()).unwrap();
                prop_assert_eq!(out.plus(done.suspense).unwrap(), before.plus(into).unwrap());
                for pool in pools {
                    for (payee, share) in &pool.shares {
                        *exact.entry(*payee).or_default() += BigInt::from(pool.amount.pico()) * share;
                    }
                }
                for (payee, payment) in &done.payments {
                    prop_assert_eq!(payment.pico() % decimals.unit().pico(), 0);
                    *paid.entry(*payee).or_default() += payment.pico();
                }
                carries = done.carries;
            }
            for (payee, exact) in exact {
                let short = exact - &paid[&payee] * SCALE;
                prop_assert!(short >= BigInt::ZERO && short < BigInt::from(decimals.unit().pico()) * SCALE);
            }
        }
    }
}
