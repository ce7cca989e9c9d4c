//! The operator's memory and API calls beside a controller-runtime twin, over the same objects on a real kube-apiserver.
//!
//! First the operator alone with a whole story ([`cooperator_faults::story`]). Then, at each size, both sides in turns
//! over the same objects: their conditions are taken away, a side is started, and once it has written them all and falls
//! silent, its memory is read and its calls are counted; then it is listened to while nothing happens. Both must have
//! written the same conditions. The API server counts the calls ([`calls`]): nothing stands between it and a side.

mod calls;
mod conditions;
mod objects;
mod told;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cooperator_cluster::Progress;
use cooperator_cluster::processes::{Life, Processes};
use cooperator_faults::hands::Hands;
use cooperator_faults::stage::Stage;
use cooperator_faults::{Programs, story};

use crate::figures::{Sample, Section};
use crate::home::{Operator, with_bucket};
use crate::machine::{Memory, load, megabytes};
use calls::Calls;

/// How long nothing may be written before a side counts as settled.
const SILENCE: Duration = Duration::from_secs(6);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Longest time until a side is settled.
const PATIENCE: Duration = Duration::from_secs(900);
/// Runs of the largest size at most: it takes minutes.
const RUNS_OF_MANY: u32 = 3;
/// From how many FineTunes on.
const MANY: usize = 5000;

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    programs: Programs,
    /// The twin
    #[arg(long)]
    twin: PathBuf,
    /// FineTunes, a size after the other
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<usize>,
    /// Runs of each side at each size, at most 3 from 5,000 FineTunes on
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Seconds that a settled side is listened to, in its first run; later ones a tenth of it
    #[arg(long, default_value_t = 60)]
    quiet: u64,
    /// Leave the story out
    #[arg(long)]
    without_story: bool,
}

/// Who works on the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Operator,
    Twin,
}

/// What a side took.
#[derive(Default)]
struct Figures {
    settled: Sample,
    resident: Sample,
    peak: Sample,
    reads: Sample,
    writes: Sample,
    /// Over the longest time it was listened to: seconds, reads and writes.
    quiet: Option<(u64, u64, u64)>,
}

/// What both took at one size.
struct Measured {
    size: usize,
    operator: Figures,
    twin: Figures,
}

/// Measures it all.
///
/// # Errors
/// When a side does not settle, or the two do not write the same conditions.
pub async fn operator(options: &Options) -> Result<Section> {
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let stage = Stage::set(folder.path()).await?;
    let before = load();
    let story = if options.without_story { None } else { Some(with_story(&stage, options).await?) };
    let mut measured = Vec::new();
    for size in &options.sizes {
        stage.clear().await?;
        measured.push(at(&stage, options, *size, &progress).await?);
    }
    Ok(told::told(options, story.as_ref(), &measured, &before))
}

/// The operator alone with a whole story, told and settled.
async fn with_story(stage: &Stage, options: &Options) -> Result<Figures> {
    let first = Calls::of(&stage.client).await?;
    let operator = Operator::start(&options.programs.operator, stage, "operator-story")?;
    let hands = Hands::work(stage, &options.programs);
    let began = Instant::now();
    story::tell(stage).await?;
    drop(hands);
    let mut figures = Figures::default();
    let settled = silence(stage, operator.pid, began, &first, 0).await?;
    listened(stage, operator.pid, options.quiet, &mut figures, settled).await?;
    Ok(figures)
}

async fn at(stage: &Stage, options: &Options, size: usize, progress: &Progress) -> Result<Measured> {
    let step = progress.step(&format!("{size} FineTunes"), None);
    with_bucket(stage, &options.programs.operator, &objects::keys()).await?;
    objects::make(stage, size, &step).await?;
    step.done();
    let mut measured = Measured { size, operator: Figures::default(), twin: Figures::default() };
    let runs = if size >= MANY { options.runs.min(RUNS_OF_MANY) } else { options.runs };
    let mut conditions = None;
    for run in 1..=runs {
        for side in [Side::Operator, Side::Twin] {
            objects::without_conditions(stage, size).await?;
            let quiet = if run == 1 { options.quiet } else { (options.quiet / 10).max(1) };
            let figures = match side {
                Side::Operator => &mut measured.operator,
                Side::Twin => &mut measured.twin,
            };
            one(stage, options, side, size, quiet, figures).await?;
            let (resident, settled) = (figures.resident.last(), figures.settled.last());
            progress.say(&format!("{run}/{runs} {side:?}: {resident:.1} MB, settled in {settled:.1} s"));
            let said = conditions::said(stage).await?;
            let first = conditions.get_or_insert_with(|| said.clone());
            let differences = conditions::differences(first, &said);
            ensure!(differences.is_empty(), "the two sides do not say the same: {}", differences.join("; "));
        }
    }
    Ok(measured)
}

/// One run of one side.
async fn one(
    stage: &Stage,
    options: &Options,
    side: Side,
    size: usize,
    quiet: u64,
    figures: &mut Figures,
) -> Result<()> {
    let (first, began, least) = (Calls::of(&stage.client).await?, Instant::now(), size as u64);
    match side {
        Side::Operator => {
            let running = Operator::start(&options.programs.operator, stage, "operator-0")?;
            let settled = silence(stage, running.pid, began, &first, least).await?;
            listened(stage, running.pid, quiet, figures, settled).await
        }
        Side::Twin => {
            let processes = Processes::new(&stage.folder.join("twin"), Life::Tied);
            let pid = processes.start("twin", &twin(&options.twin, stage))?;
            let measured = async {
                let settled = silence(stage, pid, began, &first, least).await?;
                listened(stage, pid, quiet, figures, settled).await
            };
            let measured = measured.await;
            processes.stop_all(&[])?;
            measured
        }
    }
}

fn twin(program: &Path, stage: &Stage) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", &stage.kubeconfig);
    command
}

/// What a side had done when it was settled.
struct Settled {
    after: Duration,
    calls: Calls,
}

/// Waits until a side has written at least so often since the `first` look, and then nothing for a while.
async fn silence(stage: &Stage, pid: i32, began: Instant, first: &Calls, least: u64) -> Result<Settled> {
    let (mut last, mut seen) = (began, first.clone());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Calls::of(&stage.client).await?;
        Memory::of(pid)?;
        if now.writes() > seen.writes() {
            last = Instant::now();
        }
        seen = now;
        let calls = seen.since(first);
        if calls.writes() >= least && last.elapsed() >= SILENCE {
            return Ok(Settled { after: last.duration_since(began), calls });
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "not settled after {} s: {} of {least} writes",
            PATIENCE.as_secs(),
            calls.writes()
        );
    }
}

/// Reads the memory of a settled side, and listens to it while nothing happens.
async fn listened(
    stage: &Stage,
    pid: i32,
    quiet: u64,
    figures: &mut Figures,
    settled: Settled,
) -> Result<()> {
    let before = Calls::of(&stage.client).await?;
    tokio::time::sleep(Duration::from_secs(quiet)).await;
    let calls = Calls::of(&stage.client).await?.since(&before);
    let memory = Memory::of(pid)?;
    figures.settled.push(settled.after.as_secs_f64());
    figures.reads.push(settled.calls.reads() as f64);
    figures.writes.push(settled.calls.writes() as f64);
    figures.resident.push(megabytes(memory.now));
    figures.peak.push(megabytes(memory.peak));
    if figures.quiet.is_none_or(|(seconds, ..)| seconds < quiet) {
        figures.quiet = Some((quiet, calls.reads(), calls.writes()));
    }
    if calls.writes() > 0 {
        Progress::new().say(&format!("settled, and yet in {quiet} s: {calls}"));
    }
    Ok(())
}
