//! One telling of the story, whatever happens in it, and how it ended beside one in which nothing did.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cooperator_cluster::{files, paths};
use tokio_util::task::TaskTracker;

use crate::Programs;
use crate::call::{Call, Point};
use crate::end::{End, end};
use crate::fault::Fault;
use crate::gate::{Strike, Trap};
use crate::hands::Hands;
use crate::network::Control;
use crate::operator::Operator;
use crate::stage::Stage;
use crate::story;

/// How long nothing may be written before an unharmed story counts as over.
const SETTLED: Duration = Duration::from_secs(3);
/// How long that is where the end is known and has come.
const SILENT: Duration = Duration::from_secs(1);
/// Longest wait for the end after the story: an operator that was cut off waits before it tries again.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What happens in a telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The operator dies once.
    Death(Point),
    /// Its network is bad.
    Network {
        /// Drew the faults.
        seed: u64,
        /// In their order.
        faults: Vec<Fault>,
    },
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Death(point) => point.fmt(f),
            Self::Network { seed, faults } => {
                let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
                write!(f, "seed {seed}: {}", faults.join("; "))
            }
        }
    }
}

/// What that led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The same end.
    Same,
    /// Another end, and where.
    Differs(Vec<String>),
    /// The story did not come to its end.
    Stuck(String),
    /// What was to happen did not: calls of several objects interleave.
    NotReached,
}

/// A story in which nothing happened.
#[derive(Clone, Debug)]
pub struct Unharmed {
    /// How it ended.
    pub end: End,
    /// Every call the operator made, in order, and which of its times it was.
    pub calls: Vec<(Call, u32)>,
}

/// Tells the story without harm.
///
/// # Errors
/// When it does not come to its end, or the operator dies by itself.
pub async fn unharmed(stage: &Stage, programs: &Programs) -> Result<Unharmed> {
    stage.gate.arm(Trap::None);
    let operator = Operator::start(&programs.operator, &stage.reach()?, &stage.folder)?;
    let _hands = Hands::work(stage, programs);
    let end = async {
        story::tell(stage).await?;
        let began = Instant::now();
        while !stage.gate.is_silent(SETTLED) {
            ensure!(
                began.elapsed() < PATIENCE,
                "the operator still writes {} s after it",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(LOOK).await;
        }
        let deaths = operator.deaths();
        ensure!(deaths == 0, "the operator died {deaths} times by itself");
        end(stage).await
    };
    let end = end.await.with_context(|| {
        format!("the story without faults; the operator's log: {}", kept(&operator, "unharmed").display())
    })?;
    Ok(Unharmed { end, calls: stage.gate.calls() })
}

/// Clears the stage and tells the story with `harm`.
///
/// # Errors
/// When the stage cannot be cleared or harmed: that is not the operator's doing.
pub async fn harmed(stage: &Stage, programs: &Programs, unharmed: &End, harm: &Harm) -> Result<Outcome> {
    stage.clear().await?;
    stage.gate.arm(Trap::None);
    let operator = Operator::start(&programs.operator, &stage.reach()?, &stage.folder)?;
    let under_way = TaskTracker::new();
    stage.gate.arm(match harm {
        Harm::Death(point) => Trap::Death(point.clone(), operator.kill()),
        Harm::Network { faults, .. } => {
            let network = stage.network.as_ref().context("this stage has no network to make bad")?;
            network.control().mend().await?;
            Trap::Strikes(strikes(network.control(), faults, &under_way))
        }
    });
    let _hands = Hands::work(stage, programs);
    let told = story::tell(stage).await;
    let sprung = stage.gate.disarm();
    // Faults that have begun come to their end.
    under_way.close();
    under_way.wait().await;
    let outcome = match told {
        Err(error) => Outcome::Stuck(format!("{error:#}")),
        Ok(()) => match settle(stage, unharmed).await {
            Outcome::Same if !sprung && matches!(harm, Harm::Death(_)) => Outcome::NotReached,
            outcome => outcome,
        },
    };
    Ok(with_log(outcome, &operator, harm))
}

/// Each fault, as what begins at its call; what ends it again is `under_way`.
fn strikes(control: &Control, faults: &[Fault], under_way: &TaskTracker) -> BTreeMap<usize, Strike> {
    let strike = |fault: &Fault| -> Strike {
        let (control, fault, under_way) = (control.clone(), fault.clone(), under_way.clone());
        Box::new(move || {
            Box::pin(async move {
                tell_error(control.begin(&fault).await);
                under_way.spawn(async move {
                    tokio::time::sleep(fault.lasting).await;
                    tell_error(control.end(&fault).await);
                });
            })
        })
    };
    faults.iter().map(|fault| (fault.at, strike(fault))).collect()
}

/// A network that cannot be made bad, or good again, shows in the table; here is why.
fn tell_error(done: Result<()>) {
    if let Err(error) = done {
        eprintln!("network: {error:#}");
    }
}

/// Waits for the end: settled means silent.
async fn settle(stage: &Stage, unharmed: &End) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::Stuck(format!("the operator still writes {} s after it", PATIENCE.as_secs()));
    while began.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        if !stage.gate.is_silent(SILENT) {
            continue;
        }
        outcome = match end(stage).await {
            Err(error) => Outcome::Stuck(format!("the end cannot be read: {error:#}")),
            Ok(end) => match unharmed.differences(&end) {
                lines if lines.is_empty() => return Outcome::Same,
                lines => Outcome::Differs(lines),
            },
        };
    }
    outcome
}

/// An outcome that is not what it should be says where the operator's log is.
fn with_log(outcome: Outcome, operator: &Operator, harm: &Harm) -> Outcome {
    let log = || format!("the operator's log: {}", kept(operator, &harm.to_string()).display());
    match outcome {
        Outcome::Differs(mut lines) => {
            lines.push(log());
            Outcome::Differs(lines)
        }
        Outcome::Stuck(why) => Outcome::Stuck(format!("{why}; {}", log())),
        good => good,
    }
}

/// Puts the operator's log where it outlives the stage.
fn kept(operator: &Operator, name: &str) -> PathBuf {
    let words: String =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let words: String = words.chars().take(80).collect();
    let to = paths::cache().join("logs/faults").join(format!("{words}.log"));
    let copied = files::create_dir(&paths::cache().join("logs/faults")).is_ok()
        && std::fs::copy(operator.log(), &to).is_ok();
    if copied { to } else { operator.log() }
}
