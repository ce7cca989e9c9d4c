//! Money and times as statuses hold them.

use cooperator_core::money::Amount;
use cooperator_core::period::Period;

use super::parse_time;

/// An amount that a status holds. What is none counts for nothing.
pub fn amount(told: &str) -> Amount {
    told.parse().unwrap_or(Amount::ZERO)
}

/// What amounts come to. One that would lead beyond all numbers is left out.
pub fn sum(amounts: impl IntoIterator<Item = Amount>) -> Amount {
    amounts.into_iter().fold(Amount::ZERO, |sum, amount| sum.plus(amount).unwrap_or(sum))
}

/// Whether a time that a status holds lies in a period; in none, all do.
pub fn falls_in(period: Option<&Period>, time: &str) -> bool {
    period.is_none_or(|period| parse_time(time).is_some_and(|at| period.contains(at)))
}
