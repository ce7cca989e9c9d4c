//! The gateway beside nginx and LiteLLM, before one model that answers at once. The gateway does all that it does for
//! members: key, limits, budget, tokens counted, a row synced to disk before the last byte, rows brought to object
//! storage meanwhile. Afterwards the rows are counted: every answered request must have one.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cooperator_cluster::Progress;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use cooperator_faults::gateway::Gateway;
use cooperator_faults::kills;
use cooperator_faults::stage::Stage;
use cooperator_faults::story::{self, NAME};
use cooperator_usage::chunk;
use cooperator_usage::hour::HourReader;
use cooperator_usage::key::{self, SegmentKind};
use serde_json::{Value, json};

use crate::figures::{Goal, Sample, Section, Table};
use crate::home::{apply, object, set_status, with_bucket};
use crate::load::{Answered, Ask, load};
use crate::machine::{Memory, load as load_average, megabytes};
use crate::{mock, rivals};

const KEY: &str = "radio";
/// As it is by default.
const UPLOADS: &str = "1s";

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// `cooperator-operator`
    #[arg(long)]
    operator: PathBuf,
    /// `cooperator-gateway`
    #[arg(long)]
    gateway: PathBuf,
    /// nginx's program
    #[arg(long)]
    nginx: PathBuf,
    /// Python environment with LiteLLM's proxy
    #[arg(long)]
    litellm: PathBuf,
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measurements of each side, taking turns
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// One server that is measured.
struct Side {
    name: &'static str,
    address: SocketAddr,
    model: &'static str,
    key: String,
    /// Of whole answers, and of streamed ones.
    figures: [Figures; 2],
}

#[derive(Default)]
struct Figures {
    rate: Sample,
    p50: Sample,
    p99: Sample,
    answered: u64,
}

impl Figures {
    fn take(&mut self, answered: &Answered) {
        self.rate.push(answered.rate());
        self.p50.push(answered.p50());
        self.p99.push(answered.p99());
        self.answered += answered.requests;
    }
}

/// Measures all sides in turns.
///
/// # Errors
/// When a server does not come up, refuses a request, or a request that the gateway answered has no row.
pub async fn gateway(options: &Options) -> Result<Section> {
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let step = progress.step("A Collective, its gateway, nginx and LiteLLM", None);
    let stage = Stage::set(folder.path()).await?;
    with_bucket(&stage, &options.operator, &[api_key()]).await?;
    let model = mock::listen().await?;
    route(&stage, model).await?;
    let secret = kills::key(&stage).await?;
    let running = Gateway::new(&stage, &options.gateway, UPLOADS).await?;
    let pid = running.start()?;
    running.answers().await?;
    let nginx = rivals::nginx(&options.nginx, folder.path(), model).await?;
    let litellm = rivals::litellm(&options.litellm, folder.path(), model).await?;
    let side = |name, address, model, key: &str| Side {
        name,
        address,
        model,
        key: key.to_owned(),
        figures: Default::default(),
    };
    let mut sides = [
        side("the model itself", model, "mock", "none"),
        side("nginx", nginx.address, "mock", "none"),
        side("gateway", running.address, NAME, &secret),
        side("LiteLLM", litellm.address, rivals::LITELLM_MODEL, rivals::LITELLM_KEY),
    ];
    step.done();
    let before = load_average();
    for run in 0..=options.runs {
        measure(&mut sides, options, folder.path(), run, &progress).await?;
    }
    let memory = [("gateway", pid), ("LiteLLM", litellm.pid)]
        .map(|(name, pid)| Memory::of(pid).map(|memory| (name, memory)));
    running.stop()?;
    let rows = rows(&stage).await?;
    let answered: u64 = sides[2].figures.iter().map(|figures| figures.answered).sum();
    ensure!(rows >= answered, "the gateway answered {answered} requests and its log has {rows} rows");
    let mut section = told(&sides, options, &before);
    let _ = writeln!(
        section.text,
        "The gateway answered {answered} measured requests; its log in object storage has {rows} rows (those of the warm-up too)."
    );
    for (name, memory) in memory.into_iter().flatten() {
        let _ = writeln!(
            section.text,
            "{name}: {:.0} MB resident at the end, {:.0} MB at most.",
            megabytes(memory.now),
            megabytes(memory.peak)
        );
    }
    Ok(section)
}

fn api_key() -> Value {
    object(
        "ApiKey",
        KEY,
        &json!({
            "collectiveRef": {"name": NAME}, "consumer": "a-radio", "secretRef": {"name": format!("{KEY}-key")},
            "budget": {"amount": "1000000"},
            "limits": {"requestsPerMinute": 1_000_000, "tokensPerMinute": 1_000_000_000},
        }),
    )
}

/// A Deployment that is served by the mock: what the operator would write once its pods answer.
async fn route(stage: &Stage, model: SocketAddr) -> Result<()> {
    let limits =
        json!({"maxInputTokens": 4096, "requestsPerMinute": 1_000_000, "tokensPerMinute": 1_000_000_000});
    let price = json!({"inputTokensPerMillion": "0.20", "outputTokensPerMillion": "0.80"});
    let spec = json!({"fineTuneRef": {"name": "first"}, "price": price, "limits": limits});
    apply(stage, &object("Deployment", NAME, &spec)).await?;
    let status = json!({
        "collective": NAME, "modelName": NAME, "adapterDigest": Digest::of(b"adapter").to_string(),
        "upstream": format!("http://{model}"),
    });
    set_status(stage, "Deployment", NAME, &status).await
}

/// How many rows the log in object storage has: sequences begin at 1 and have no gaps.
async fn rows(stage: &Stage) -> Result<u64> {
    let store = story::store(stage).await?;
    let mut last = 0;
    for object in store.list(layout::USAGE).await? {
        let Some(segment) = key::parse(&object.key) else { continue };
        let header = match segment.kind {
            SegmentKind::Chunk { .. } => chunk::decode(&store.get(&object.key).await?)?.0,
            SegmentKind::Hour { .. } => HourReader::open(store.get(&object.key).await?)?.header().clone(),
        };
        last = last.max(header.last_sequence);
    }
    Ok(last)
}

/// One turn of each side. The first only warms up.
async fn measure(
    sides: &mut [Side],
    options: &Options,
    folder: &Path,
    run: u32,
    progress: &Progress,
) -> Result<()> {
    for side in sides {
        for (stream, figures) in [false, true].into_iter().zip(&mut side.figures) {
            let ask = Ask { model: side.model.to_owned(), key: side.key.clone(), stream };
            let time = Duration::from_secs(if run == 0 { 2 } else { options.seconds });
            let (folder, address, connections) = (folder.to_owned(), side.address, options.connections);
            let measured =
                tokio::task::spawn_blocking(move || load(&folder, address, &ask, connections, time)).await?;
            let answered = measured.with_context(|| format!("{} (streamed: {stream})", side.name))?;
            if run > 0 {
                ensure!(answered.requests > 0, "{} answered nothing in {} s", side.name, options.seconds);
                figures.take(&answered);
                let how = if stream { "streamed" } else { "whole" };
                progress.say(&format!(
                    "{run}/{} {} {how}: {:.0}/s",
                    options.runs,
                    side.name,
                    answered.rate()
                ));
            }
        }
    }
    Ok(())
}

fn told(sides: &[Side; 4], options: &Options, before: &str) -> Section {
    let [direct, nginx, gateway, litellm] = sides;
    let mut text = format!(
        "{} connections over loopback, {} turns of {} s a side, taking turns; wrk (one thread), the mock model and the \
         sides share the machine. nginx only passes on (a worker a core, kept connections, no log); LiteLLM has one worker, \
         one key, no database; the gateway checks key, limits and budget, counts tokens, and syncs a row to disk before \
         the last byte. A stream has 20 events. Load average at the beginning {before}.\n\n",
        options.connections, options.runs, options.seconds,
    );
    let mut goals = Vec::new();
    for (how, index) in [("whole answers", 0), ("streamed", 1)] {
        let columns =
            [how, "requests/s", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "of nginx", "of LiteLLM"];
        let mut table = Table::new(&columns);
        let rate = |side: &Side| side.figures[index].rate.median();
        for side in sides {
            let figures = &side.figures[index];
            let added = |of: fn(&Figures) -> &Sample| {
                format!("{:.2}", of(figures).median() - of(&direct.figures[index]).median())
            };
            table.row([
                side.name.to_owned(),
                figures.rate.to_string(),
                figures.p50.to_string(),
                figures.p99.to_string(),
                added(|figures| &figures.p50),
                added(|figures| &figures.p99),
                format!("{:.2}x", rate(side) / rate(nginx)),
                format!("{:.0}x", rate(side) / rate(litellm)),
            ]);
        }
        let _ = writeln!(text, "{table}");
        let of = |other: &Side| rate(gateway) / rate(other);
        goals.push(Goal::at_least(&format!("{how}: of nginx's requests/s"), 0.7, "x", of(nginx)));
        goals.push(Goal::at_least(&format!("{how}: of LiteLLM's requests/s"), 100.0, "x", of(litellm)));
    }
    Section { name: "gateway", text, goals }
}
