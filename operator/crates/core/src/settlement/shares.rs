//! From rules to shares of [`SCALE`] for one earning.

use std::collections::BTreeMap;

use super::{Books, Credit, Payee, SettlementError};
use crate::attribution::{WEIGHT, apportion};
use crate::basis_points::BasisPoints;
use crate::digest::Digest;
use crate::split::SCALE;

/// A rule of the split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Part of the net after the reserve; all rules' add up to 10,000.
    pub basis_points: BasisPoints,
    /// How that part is divided.
    pub by: By,
}

/// How a rule divides its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// By the weights of the adapter that earned; equally among the members where it has none.
    Contribution,
    /// Equally among the members.
    Membership,
    /// By fixed parts per member.
    Fixed(BTreeMap<String, u32>),
}

/// The credits of the adapter that earned.
pub(super) fn credits(books: &Books, adapter: Option<Digest>) -> Result<&[Credit], SettlementError> {
    let Some(adapter) = adapter else { return Ok(&[]) };
    let credits = books.attributions.get(&adapter).ok_or(SettlementError::NoAttribution(adapter))?;
    let sum = credits.iter().fold(0_u64, |sum, credit| sum.saturating_add(credit.weight));
    if credits.is_empty() || sum == WEIGHT {
        Ok(credits)
    } else {
        Err(SettlementError::Weights { adapter, sum })
    }
}

/// Shares of an earning: reserve, then each rule's part by its weights. They add up to [`SCALE`] because
/// `SCALE = 10^4 (reserve) * 10^4 (rules) * WEIGHT` and each factor is divided without a remainder.
pub(super) fn of(books: &Books, credits: &[Credit]) -> Result<BTreeMap<Payee, u64>, SettlementError> {
    let whole = u64::from(BasisPoints::FULL.get());
    let mut shares = BTreeMap::new();
    let mut give = |payee, share: u64| {
        if share > 0 {
            *shares.entry(payee).or_insert(0) += share;
        }
    };
    give(Payee::Reserve, u64::from(books.reserve.get()) * (SCALE / whole));
    let rest = u64::from(books.reserve.rest().get());
    for Rule { basis_points, by } in books.rules.iter().filter(|rule| rule.basis_points > BasisPoints::ZERO) {
        let part = rest * u64::from(basis_points.get());
        let weights = match by {
            By::Contribution if !credits.is_empty() => {
                credits.iter().map(|credit| (credit.member.as_str(), credit.weight)).collect()
            }
            By::Contribution | By::Membership => {
                weigh(books.members.iter().map(|member| (member.as_str(), 1)), SettlementError::NoMembers)?
            }
            By::Fixed(parts) => weigh(
                parts.iter().map(|(member, parts)| (member.as_str(), *parts)),
                SettlementError::NoParts,
            )?,
        };
        for (member, weight) in weights {
            give(Payee::Member(member.to_owned()), part * weight);
        }
    }
    Ok(shares)
}

/// Parts as weights that add up to [`WEIGHT`]; `nobody` where there is no part.
fn weigh<'a>(
    parts: impl Iterator<Item = (&'a str, u32)>,
    nobody: SettlementError,
) -> Result<Vec<(&'a str, u64)>, SettlementError> {
    let parts: BTreeMap<_, _> = parts.map(|(member, part)| (member, u128::from(part))).collect();
    if parts.values().all(|part| *part == 0) {
        return Err(nobody);
    }
    let weights = apportion(&parts, u128::from(WEIGHT));
    // A weight is at most WEIGHT, so it fits.
    Ok(parts
        .into_keys()
        .zip(weights.into_iter().map(|weight| u64::try_from(weight).unwrap_or(WEIGHT)))
        .collect())
}
