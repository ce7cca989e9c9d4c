//! The sweep: a story without faults teaches every call; then the story is told again, with one death in each.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cooperator_cluster::Progress;
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::Programs;
use crate::call::{Point, When};
use crate::end::{End, end};
use crate::hands::Hands;
use crate::operator::Operator;
use crate::stage::Stage;
use crate::story;

/// How long nothing may be written before the story counts as over.
const SILENCE: Duration = Duration::from_secs(2);
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which points.
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

/// What a death led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same end.
    Same,
    /// Another end, and where.
    Differs(Vec<String>),
    /// The story did not come to its end.
    Stuck(String),
    /// The operator did not make that call this time: calls of several objects interleave.
    NotReached,
}

/// Every point and what it led to.
pub struct Report {
    /// Calls of the story without faults.
    pub calls: usize,
    /// In the order told.
    pub points: Vec<(Point, Outcome)>,
    took: Duration,
}

impl Report {
    /// Whether every death that came led to the same end.
    pub fn is_clean(&self) -> bool {
        self.points.iter().all(|(_, outcome)| matches!(outcome, Outcome::Same | Outcome::NotReached))
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.points.iter().filter(|(_, outcome)| wanted(outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (point, outcome) in &self.points {
            let word = match outcome {
                Outcome::Same => "same end",
                Outcome::Differs(_) => "DIFFERS",
                Outcome::Stuck(_) => "STUCK",
                Outcome::NotReached => "not reached",
            };
            writeln!(f, "{word:<12} {point}")?;
            match outcome {
                Outcome::Differs(lines) => lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?,
                Outcome::Stuck(why) => writeln!(f, "    {why}")?,
                Outcome::Same | Outcome::NotReached => {}
            }
        }
        write!(
            f,
            "{} calls in the story; {} deaths: {} led to the same end, {} to another, {} to none; {} not reached; {} s",
            self.calls,
            self.points.len() - self.count(|outcome| *outcome == Outcome::NotReached),
            self.count(|outcome| *outcome == Outcome::Same),
            self.count(|outcome| matches!(outcome, Outcome::Differs(_))),
            self.count(|outcome| matches!(outcome, Outcome::Stuck(_))),
            self.count(|outcome| *outcome == Outcome::NotReached),
            self.took.as_secs()
        )
    }
}

/// Tells the story without faults, then once for each point.
///
/// # Errors
/// When the stage cannot be set, or the story without faults does not come to its end.
pub async fn sweep(programs: &Programs, choice: &Choice) -> Result<Report> {
    let began = Instant::now();
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::set(folder.path()).await?;
    let step = progress.step("The story without faults", None);
    let (unharmed, deaths) = telling(&stage, programs, None).await.context("the story without faults")?;
    ensure!(deaths == 0, "the operator died {deaths} times by itself: see {}", folder.keep().display());
    step.done();
    let calls = stage.gate.calls();
    let points = chosen(&calls, choice);
    let step = progress.step("Deaths", None);
    let mut told = Vec::new();
    for (index, point) in points.iter().enumerate() {
        step.at(index as u64, points.len() as u64);
        stage.clear().await?;
        let outcome = match telling(&stage, programs, Some(point)).await {
            Err(error) => Outcome::Stuck(format!("{error:#}")),
            Ok(_) if !stage.gate.reached() => Outcome::NotReached,
            Ok((end, _)) => match unharmed.differences(&end) {
                lines if lines.is_empty() => Outcome::Same,
                lines => Outcome::Differs(lines),
            },
        };
        told.push((point.clone(), outcome));
    }
    step.done();
    Ok(Report { calls: calls.len(), points: told, took: began.elapsed() })
}

/// Tells the story once, with a death at `point`; its end, and how often the operator died.
async fn telling(stage: &Stage, programs: &Programs, point: Option<&Point>) -> Result<(End, u32)> {
    stage.gate.arm(None);
    let operator = Operator::start(&programs.operator, &stage.reach()?, &stage.folder)?;
    if let Some(point) = point {
        stage.gate.arm(Some((point.clone(), operator.kill())));
    }
    let s3 = format!("http://{}", stage.s3);
    let _hands = Hands::work(stage.client.clone(), programs, s3, &stage.folder);
    story::tell(stage).await?;
    silence(stage).await?;
    Ok((end(stage, &story::store(stage).await?).await?, operator.deaths()))
}

/// Waits until nothing has been written for a while: settled means silent.
async fn silence(stage: &Stage) -> Result<()> {
    let began = Instant::now();
    while stage.gate.last().is_some_and(|last| last.elapsed() < SILENCE) {
        ensure!(
            began.elapsed() < PATIENCE,
            "the operator still writes {} s after the end",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

fn chosen(calls: &[(String, u32)], choice: &Choice) -> Vec<Point> {
    let both = |(call, time): &(String, u32)| {
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
        let calls: Vec<(String, u32)> = (1..50).map(|time| ("POST jobs/a".to_owned(), time)).collect();
        let draw = |seed| chosen(&calls, &Choice::Sample { count: 20, seed });
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).len(), 20);
        assert_eq!(chosen(&calls, &Choice::All).len(), 98);
    }
}
