//! Counts of usage by what it is billed as. Small whatever the log's size: one line a Deployment, adapter and price.

use std::collections::BTreeMap;

use cooperator_contract::settle::Period;
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_core::digest::Digest;

/// What a row is billed as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Billing {
    /// Name of the Deployment.
    pub deployment: String,
    /// The adapter; none: the base model alone.
    pub adapter: Option<Digest>,
    /// The price.
    pub price: PriceTag,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests billed.
    pub requests: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Generated tokens.
    pub output_tokens: u64,
}

/// More tokens than can be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("usage of Deployment `{0}` has more than 2^64 tokens in a period; settle shorter periods")]
pub struct TooMany(String);

/// All usage of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows of the period.
    pub revenue: BTreeMap<Billing, Count>,
    /// Late rows of earlier periods.
    pub corrections: BTreeMap<Billing, Count>,
    /// All rows counted, also those that cost nothing.
    pub rows: u64,
}

impl Tally {
    /// Counts a row that belongs to `period` or, not counted before, to an earlier one.
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn add(&mut self, row: UsageRow, period: &Period) -> Result<(), TooMany> {
        self.rows += 1;
        if row.status == UsageStatus::Failed {
            return Ok(());
        }
        let lines = if row.time < period.start { &mut self.corrections } else { &mut self.revenue };
        let count = Count { requests: 1, input_tokens: row.input_tokens, output_tokens: row.output_tokens };
        let billing = Billing { deployment: row.deployment, adapter: row.adapter, price: row.price };
        add(lines, billing, count)
    }

    /// Takes in what was counted of another gateway.
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn merge(&mut self, other: Self) -> Result<(), TooMany> {
        self.rows += other.rows;
        for (lines, more) in [(&mut self.revenue, other.revenue), (&mut self.corrections, other.corrections)]
        {
            for (billing, count) in more {
                add(lines, billing, count)?;
            }
        }
        Ok(())
    }
}

fn add(lines: &mut BTreeMap<Billing, Count>, billing: Billing, more: Count) -> Result<(), TooMany> {
    let too_many = TooMany(billing.deployment.clone());
    let count = lines.entry(billing).or_default();
    let sum = || {
        Some(Count {
            requests: count.requests.checked_add(more.requests)?,
            input_tokens: count.input_tokens.checked_add(more.input_tokens)?,
            output_tokens: count.output_tokens.checked_add(more.output_tokens)?,
        })
    };
    *count = sum().ok_or(too_many)?;
    Ok(())
}
