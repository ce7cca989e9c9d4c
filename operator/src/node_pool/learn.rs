//! Pure: how fast machines of a pool have trained, from what the FineTunes of the namespace tell. Worked out anew each time,
//! so that no run counts twice; what was learnt from FineTunes that are gone stays as it was.

use std::collections::BTreeMap;

use cooperator_api::fine_tune::{FineTune, RentedMachine};
use cooperator_api::node_pool::Throughput as Row;
use cooperator_core::market::throughput::Run;
use cooperator_core::market::{MachineClass, Throughput};

/// Rows that a status holds at most.
const MOST: usize = 256;

/// What the pool knows now. `before`: what it knew.
pub fn throughput(before: Vec<Row>, pool: &str, tunes: &[FineTune]) -> Vec<Row> {
    let mut runs: Vec<(&str, &RentedMachine)> = tunes
        .iter()
        .filter_map(|tune| tune.status.as_ref())
        .filter_map(|status| Some((status.base_model_digest.as_deref()?, &status.machines)))
        .flat_map(|(model, machines)| machines.iter().map(move |machine| (model, machine)))
        .filter(|(_, machine)| machine.node_pool == pool && machine.ended_at.is_some())
        .collect();
    runs.sort_by(|(_, one), (_, other)| (&one.ended_at, &one.uid).cmp(&(&other.ended_at, &other.uid)));
    let mut known = Throughput::default();
    runs.iter().filter_map(|(model, machine)| run(model, machine)).for_each(|run| known.learn(run));
    let mut rows: BTreeMap<(String, String), Row> =
        before.into_iter().map(|row| ((row.base_model.clone(), row.machine.clone()), row)).collect();
    for row in known.rows() {
        let key = (row.base_model.clone(), row.machine.to_string());
        let runs = i32::try_from(row.runs).unwrap_or(i32::MAX);
        if rows.get(&key).is_some_and(|known| known.runs > runs) {
            continue;
        }
        let tokens = i64::try_from(row.milli_tokens_per_second / 1000).unwrap_or(i64::MAX).max(1);
        rows.insert(key.clone(), Row { base_model: key.0, machine: key.1, tokens_per_second: tokens, runs });
    }
    rows.into_values().take(MOST).collect()
}

fn run(base_model: &str, machine: &RentedMachine) -> Option<Run> {
    /// Of a rate alone, a run of an hour: the mean weighs runs, not their length.
    const SECONDS: u64 = 3600;
    let rate = machine.tokens_per_second.and_then(|rate| u64::try_from(rate).ok())?;
    Some(Run {
        base_model: base_model.to_owned(),
        machine: machine.machine.parse::<MachineClass>().ok()?,
        gigaflops: None,
        tokens: rate.saturating_mul(SECONDS),
        seconds: SECONDS,
    })
}
