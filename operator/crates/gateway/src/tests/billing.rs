//! What is billed, as tables: whatever a server says or does, a row holds no more than was reserved, and the money
//! spent is what the rows cost.

mod leaving;
mod races;
mod shapes;
mod usage;

use std::collections::BTreeMap;

use cooperator_contract::usage::{UsageRow, UsageStatus};
use cooperator_core::money::Amount;

use super::harness::World;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    pub status: UsageStatus,
    pub input: u64,
    pub output: u64,
}

pub const fn completed(input: u64, output: u64) -> Billed {
    Billed { status: UsageStatus::Completed, input, output }
}

/// A call that the server failed.
pub const FAILED: Billed = Billed { status: UsageStatus::Failed, input: 0, output: 0 };

pub fn billed(row: &UsageRow) -> Billed {
    Billed { status: row.status, input: row.input_tokens, output: row.output_tokens }
}

/// Sum of what rows cost at the prices of [`super::harness::route`]: 1 and 2 a million.
pub fn cost(rows: &[UsageRow]) -> Amount {
    let micros: u64 = rows.iter().map(|row| row.input_tokens + 2 * row.output_tokens).sum();
    Amount::from_pico(i128::from(micros) * 1_000_000)
}

/// The only row that a call has left behind, and that the ledger agrees with the log.
pub async fn only_row(world: &World, before: usize, name: &str) -> Billed {
    let rows = world.rows_when(before + 1).await;
    assert_eq!(world.spent_when(cost(&rows)).await, cost(&rows), "{name}");
    billed(&rows[before])
}

/// Prints how many cases of each class there were.
pub fn report(classes: &BTreeMap<&'static str, usize>) {
    eprintln!("{} billing cases: {classes:?}", classes.values().sum::<usize>());
}
