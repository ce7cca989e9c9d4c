//! The sweep: stories without harm teach every call; then the story is told again and again, with one harm in each.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cooperator_cluster::Progress;
use futures::future::try_join_all;
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::Programs;
use crate::call::{Call, Point, When};
use crate::fault;
use crate::stage::Stage;
use crate::table::{Row, Table};
use crate::telling::{self, Harm, Outcome, Unharmed};

/// Tellings of a point that is not reached: calls of several objects interleave, so it may be the next time.
const TRIES: u32 = 3;

/// Which deaths.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Every one.
    All,
    /// So many, drawn by a seed.
    Sample {
        /// How many.
        count: usize,
        /// Draws them.
        seed: u64,
    },
    /// This one.
    One(Point),
}

/// Tells the story without harm on so many stages side by side, then once for each death.
///
/// # Errors
/// When a stage cannot be set, or the stories without harm do not come to one end.
pub async fn deaths(programs: &Programs, choice: &Choice, side_by_side: usize) -> Result<Table> {
    sweep(programs, side_by_side, false, "deaths", |calls| {
        chosen(calls, choice).into_iter().map(Harm::Death).collect()
    })
    .await
}

/// Tells the story without harm, then so many times with faults of the network, those of each telling drawn by a seed
/// of its own: `seed` and those after it.
///
/// # Errors
/// As [`deaths`].
pub async fn bad_networks(programs: &Programs, runs: u64, seed: u64, side_by_side: usize) -> Result<Table> {
    sweep(programs, side_by_side, true, "bad networks", |calls| {
        let calls: Vec<Call> = calls.iter().map(|(call, _)| call.clone()).collect();
        (seed..seed.saturating_add(runs))
            .map(|seed| Harm::Network { seed, faults: fault::draw(&calls, seed) })
            .collect()
    })
    .await
}

async fn sweep(
    programs: &Programs,
    side_by_side: usize,
    network: bool,
    what: &'static str,
    harms: impl FnOnce(&[(Call, u32)]) -> Vec<Harm>,
) -> Result<Table> {
    let (began, progress) = (Instant::now(), Progress::new());
    let folder = tempfile::tempdir()?;
    let step = progress.step("Setting the stages", None);
    let stages = (0..side_by_side).map(|index| stage(folder.path(), index, network));
    let stages = try_join_all(stages).await?;
    step.done();
    let step = progress.step("The story without harm", None);
    let told = try_join_all(stages.iter().map(|stage| telling::unharmed(stage, programs))).await?;
    let unharmed = learned(told)?;
    step.done();
    let harms = harms(&unharmed.calls);
    let rows = tell_all(&stages, programs, &unharmed, &harms, &progress).await?;
    Ok(Table { what, calls: unharmed.calls.len(), rows, took: began.elapsed() })
}

async fn stage(folder: &Path, index: usize, network: bool) -> Result<Stage> {
    let stage = Stage::set(&folder.join(index.to_string())).await?;
    if network { stage.behind_network().await } else { Ok(stage) }
}

/// What several tellings without harm have taught: one end, and every call that any of them made.
fn learned(told: Vec<Unharmed>) -> Result<Unharmed> {
    let mut told = told.into_iter();
    let mut all = told.next().context("at least one story is told")?;
    for other in told {
        let lines = all.end.differences(&other.end);
        ensure!(lines.is_empty(), "two stories without harm end differently: {}", lines.join("; "));
        for call in other.calls {
            if !all.calls.contains(&call) {
                all.calls.push(call);
            }
        }
    }
    Ok(all)
}

/// Tells the story with each harm; every stage takes the next that is left.
async fn tell_all(
    stages: &[Stage],
    programs: &Programs,
    unharmed: &Unharmed,
    harms: &[Harm],
    progress: &Progress,
) -> Result<Vec<Row>> {
    let step = progress.step("Stories with harm", None);
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let on_stage = async |stage: &Stage| {
        while let Some((index, harm)) = taken(&next, harms) {
            let row = tell(stage, programs, unharmed, harm).await?;
            progress.say(&row.to_string());
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.push((index, row));
            step.at(rows.len() as u64, harms.len() as u64);
        }
        anyhow::Ok(())
    };
    try_join_all(stages.iter().map(on_stage)).await?;
    step.done();
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(index, _)| *index);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn taken<'a>(next: &AtomicUsize, harms: &'a [Harm]) -> Option<(usize, &'a Harm)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    Some((index, harms.get(index)?))
}

async fn tell(stage: &Stage, programs: &Programs, unharmed: &Unharmed, harm: &Harm) -> Result<Row> {
    let began = Instant::now();
    let mut outcome = Outcome::NotReached;
    for _ in 0..TRIES {
        outcome = telling::harmed(stage, programs, &unharmed.end, harm).await?;
        if outcome != Outcome::NotReached {
            break;
        }
    }
    Ok(Row { harm: harm.clone(), outcome, took: began.elapsed() })
}

fn chosen(calls: &[(Call, u32)], choice: &Choice) -> Vec<Point> {
    let both = |(call, time): &(Call, u32)| {
        [When::Before, When::After].map(|when| Point { call: call.clone(), time: *time, when })
    };
    let all: Vec<Point> = calls.iter().flat_map(both).collect();
    match choice {
        Choice::All => all,
        Choice::One(point) => vec![point.clone()],
        Choice::Sample { count, seed } => {
            all.choose_multiple(&mut ChaCha8Rng::seed_from_u64(*seed), *count).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_sample_again() {
        let calls: Vec<(Call, u32)> = (1..50).map(|time| ("POST jobs/a".to_owned(), time)).collect();
        let draw = |seed| chosen(&calls, &Choice::Sample { count: 20, seed });
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).len(), 20);
        assert_eq!(chosen(&calls, &Choice::All).len(), 98);
    }
}
