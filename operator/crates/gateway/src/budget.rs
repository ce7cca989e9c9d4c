//! Prepaid money: reserved before a call, settled after it.
//!
//! A key's budget lies in its ApiKey. A gateway takes parts of it by compare-and-swap ([`lease`]) and reserves and
//! settles within its part in memory ([`Ledger`]); [`Funds`] joins the two. Of one key, at any moment,
//! `spent + what all gateways still hold <= budget`, so that two calls can never spend the same money.
//!
//! A part is never taken from a gateway by another one: one that is gone without a farewell keeps what it held (at
//! most a quarter of what was free when it asked) until somebody removes its entry from `status.leases`.

mod funds;
pub mod lease;
mod ledger;
#[cfg(test)]
mod tests;

pub use funds::{Funds, FundsError, LeaseStore, StoreError, Written};
pub use ledger::{Hold, Ledger};
