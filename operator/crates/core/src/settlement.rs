//! The settlement of one period, pure: what came in, what comes off, who is paid what. Every unit is accounted for:
//! `suspense before + gross = recovered + reserve + payments + suspense after`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::attribution::apportion;
use crate::basis_points::{BasisPoints, BasisPointsError};
use crate::digest::Digest;
use crate::money::{Amount, Decimals, MoneyError};
use crate::split::{self, Pool, SCALE, Split, SplitError};

mod shares;
#[cfg(test)]
mod tests;

pub use shares::{By, Rule};

/// A settlement that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// Split rules are not a whole.
    #[error("split rules: {0}")]
    Rules(#[from] BasisPointsError),
    /// Nobody to divide among.
    #[error("the Collective has no members to split among; add one to `spec.members`")]
    NoMembers,
    /// A fixed rule without a part above zero.
    #[error("a Fixed split rule has no part above zero; give at least one member a part")]
    NoParts,
    /// An adapter earned whose attribution was not given.
    #[error("attribution of adapter {0} is missing; its manifest must be in object storage")]
    NoAttribution(Digest),
    /// Weights of an adapter are not a whole.
    #[error("weights of adapter {adapter} add up to {sum}; they must add up to 1000000000")]
    Weights {
        /// The adapter.
        adapter: Digest,
        /// What they add up to.
        sum: u64,
    },
    /// Not a payee of a carry.
    #[error("`{0}` is no payee; a payee is a member, `<costs>` or `<reserve>`")]
    Payee(String),
    /// The split itself.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Who money goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payee {
    /// Who paid for compute.
    Costs,
    /// The Collective's reserve.
    Reserve,
    /// A member.
    Member(String),
}

impl fmt::Display for Payee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Costs => "<costs>",
            Self::Reserve => "<reserve>",
            Self::Member(name) => name,
        })
    }
}

impl FromStr for Payee {
    type Err = SettlementError;

    fn from_str(text: &str) -> Result<Self, SettlementError> {
        match text {
            "<costs>" => Ok(Self::Costs),
            "<reserve>" => Ok(Self::Reserve),
            "" => Err(SettlementError::Payee(String::new())),
            _ if text.starts_with('<') => Err(SettlementError::Payee(text.chars().take(40).collect())),
            _ => Ok(Self::Member(text.to_owned())),
        }
    }
}

/// A member's part in an adapter, frozen with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Member name.
    pub member: String,
    /// Training tokens credited.
    pub tokens: u64,
    /// Of [`crate::attribution::WEIGHT`].
    pub weight: u64,
}

/// What one adapter earned, in this period or (late) in an earlier one; below zero for a refund. A late line is
/// divided by the same weights as it would have been in time: they are the adapter's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Earning {
    /// The adapter; none: the base model alone.
    pub adapter: Option<Digest>,
    /// Exact amount.
    pub amount: Amount,
}

/// All that a settlement depends on. The order of no list matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// Of the smallest unit that is paid out.
    pub decimals: Decimals,
    /// Members at the close of the period.
    pub members: BTreeSet<String>,
    /// Revenue and corrections.
    pub earnings: Vec<Earning>,
    /// Per adapter who gave what; empty for an adapter that nobody's work went into.
    pub attributions: BTreeMap<Digest, Vec<Credit>>,
    /// Compute cost of the period.
    pub costs: Amount,
    /// Whether cost comes off before the split. If not, the cost of this period is nobody's debt.
    pub recover_costs: bool,
    /// Cost of earlier periods still to recover.
    pub unrecovered: Amount,
    /// Part of the net that is put aside.
    pub reserve: BasisPoints,
    /// How the rest is divided; adds up to a whole.
    pub rules: Vec<Rule>,
    /// Carries of the period before.
    pub carries: BTreeMap<Payee, i128>,
}

/// What one member gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Member name.
    pub member: String,
    /// Training tokens credited, over the adapters that earned.
    pub tokens: u64,
    /// Part of what the members earned in this period, for people; zero where that is not above zero.
    pub basis_points: BasisPoints,
    /// Whole payable units; below zero: owed back.
    pub amount: Amount,
}

/// A settled period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Sum of the earnings.
    pub gross: Amount,
    /// Paid now to who paid for compute, whole payable units.
    pub recovered: Amount,
    /// Cost still to recover in later periods.
    pub unrecovered: Amount,
    /// Put aside now, whole payable units.
    pub reserve: Amount,
    /// Every member at the close, and everyone else with a weight or a carry; sorted by name.
    pub payments: Vec<Payment>,
    /// What was carried into the period.
    pub suspense_before: Amount,
    /// What is carried out of it.
    pub suspense_after: Amount,
    /// Per payee, numerators over [`SCALE`].
    pub carries: BTreeMap<Payee, i128>,
}

/// Settles a period. Cost comes off first, up to what came in, spread over the earnings above zero in proportion (to
/// a pico-unit, by largest remainder); of each earning's rest the reserve takes its part and the rules divide what is
/// left. A `Contribution` rule divides by the weights of the adapter that earned; where an adapter has none, or the
/// base model alone earned, equally among the members.
///
/// # Errors
/// [`SettlementError`]: rules or weights that are no whole, nobody to pay, or amounts out of range.
pub fn settle(books: &Books) -> Result<Settlement, SettlementError> {
    BasisPoints::whole(books.rules.iter().map(|rule| rule.basis_points))?;
    let mut earnings = books.earnings.clone();
    earnings.sort_unstable();
    let gross = Amount::sum(earnings.iter().map(|earning| earning.amount))?;
    let due = if books.recover_costs { books.unrecovered.plus(books.costs)? } else { books.unrecovered };
    let taken = if books.recover_costs { due.min(gross).max(Amount::ZERO) } else { Amount::ZERO };

    let mut pools = vec![Pool { amount: taken, shares: [(Payee::Costs, SCALE)].into() }];
    let mut tokens: BTreeMap<&str, u64> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for (earning, amount) in earnings.iter().zip(without_costs(&earnings, taken)?) {
        let credits = shares::credits(books, earning.adapter)?;
        if earning.adapter.is_some_and(|adapter| counted.insert(adapter)) {
            for credit in credits {
                let sum = tokens.entry(&credit.member).or_default();
                *sum = sum.saturating_add(credit.tokens);
            }
        }
        pools.push(Pool { amount, shares: shares::of(books, credits)? });
    }
    let split = split::split(&pools, &books.carries, books.decimals)?;
    let paid = |payee: &Payee| split.payments.get(payee).copied().unwrap_or_default();
    Ok(Settlement {
        gross,
        recovered: paid(&Payee::Costs),
        unrecovered: due.minus(taken)?,
        reserve: paid(&Payee::Reserve),
        payments: payments(books, &split, &tokens),
        suspense_before: split::suspense(&books.carries)?,
        suspense_after: split.suspense,
        carries: split.carries.into_iter().filter(|(_, carry)| *carry != 0).collect(),
    })
}

/// Each earning less its part of the cost.
fn without_costs(earnings: &[Earning], taken: Amount) -> Result<Vec<Amount>, MoneyError> {
    let weights: BTreeMap<usize, u128> = earnings
        .iter()
        .map(|earning| u128::try_from(earning.amount.pico()).unwrap_or(0))
        .enumerate()
        .collect();
    let costs = apportion(&weights, taken.pico().unsigned_abs());
    let cost = |part: u128| i128::try_from(part).map(Amount::from_pico).map_err(|_| MoneyError::Overflow);
    earnings.iter().zip(costs).map(|(earning, part)| earning.amount.minus(cost(part)?)).collect()
}

/// One line a member, with what people want to see beside the amount.
fn payments(books: &Books, split: &Split<Payee>, tokens: &BTreeMap<&str, u64>) -> Vec<Payment> {
    let named = split.payments.keys().filter_map(|payee| match payee {
        Payee::Member(name) => Some(name),
        Payee::Costs | Payee::Reserve => None,
    });
    let members: BTreeSet<&String> = books.members.iter().chain(named).collect();
    let earned = |member: &str| {
        let payee = Payee::Member(member.to_owned());
        split.earned.get(&payee).map_or(0, |amount| u128::try_from(amount.pico()).unwrap_or(0))
    };
    let parts = members.iter().map(|member| (*member, earned(member))).collect();
    let points = apportion(&parts, u128::from(BasisPoints::FULL.get()));
    (members.iter().zip(points))
        .map(|(member, points)| Payment {
            member: (*member).clone(),
            tokens: tokens.get(member.as_str()).copied().unwrap_or(0),
            basis_points: u16::try_from(points)
                .ok()
                .and_then(|p| BasisPoints::new(p).ok())
                .unwrap_or_default(),
            amount: split.payments.get(&Payee::Member((*member).clone())).copied().unwrap_or_default(),
        })
        .collect()
}
