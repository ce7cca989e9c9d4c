//! How fast a period's usage log becomes a statement, and in how much memory: `cooperator-settle` as its Job runs it, on
//! a real store, over a log as gateways leave it: hours compacted, the newest rows still in chunks.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cooperator_cluster::Progress;
use cooperator_cluster::processes::{Life, Processes};
use cooperator_contract::manifest::{AdapterManifest, MemberWeight};
use cooperator_contract::outcome::Outcome;
use cooperator_contract::run::{
    LoraOptions, RunFile, RunId, Schedule, StorageLocation, Task, TrainingOptions, VERSION,
};
use cooperator_contract::settle::{Payee, Period, SettleTask, SplitBy, SplitRule, Statement};
use cooperator_contract::usage::{PriceTag, UsageRow, UsageStatus};
use cooperator_contract::{env, layout};
use cooperator_core::digest::{Digest, Hasher};
use cooperator_faults::stage::Stage;
use cooperator_faults::story::{self, NAME};
use cooperator_store::{Credentials, Store};
use cooperator_usage::chain::Chain;
use cooperator_usage::hour::HourWriter;
use cooperator_usage::{chunk, key};
use jiff::{SignedDuration, Timestamp};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::figures::{Goal, Sample, Section, Table};
use crate::home::with_bucket;
use crate::machine::{Memory, load, megabytes};

/// Gateways whose logs are settled, and hours of the period.
const GATEWAYS: u64 = 2;
const HOURS: u64 = 24;
/// Rows of a chunk, and chunks of a gateway that are not compacted yet.
const CHUNK_ROWS: u64 = 1000;
const CHUNKS: u64 = 20;
/// First instant of the period.
const BEGIN: &str = "2026-11-24T00:00:00Z";
/// Longest time of one settlement.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// `cooperator-operator`
    #[arg(long)]
    operator: PathBuf,
    /// `cooperator-settle`
    #[arg(long)]
    settle: PathBuf,
    /// Rows of the period
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Settlements
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Settles the same period again and again.
///
/// # Errors
/// When a settlement fails, or does not count every row.
pub async fn settle(options: &Options) -> Result<Section> {
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let stage = Stage::set(folder.path()).await?;
    with_bucket(&stage, &options.operator, &[]).await?;
    let (location, credentials) = story::bucket(&stage).await?;
    let store = Store::connect(&location, credentials.clone());
    let step = progress.step(&format!("A log of {} rows", options.rows), None);
    let adapter = store.put_manifest(|digest| layout::adapter(digest, "manifest.json"), &adapter()).await?;
    let mut writing = tokio::task::JoinSet::new();
    for gateway in 0..GATEWAYS {
        let share = options.rows / GATEWAYS + u64::from(gateway < options.rows % GATEWAYS);
        let log = Log { gateway: format!("band-gateway-{gateway}"), rows: share, adapter, seed: gateway };
        let (store, folder) = (store.clone(), folder.path().join(format!("log-{gateway}")));
        writing.spawn(async move { log.write(&store, &folder).await });
    }
    let bytes = writing.join_all().await.into_iter().sum::<Result<u64>>()?;
    step.done();
    let before = load();
    let (mut seconds, mut peak) = (Sample::default(), Sample::default());
    for run in 1..=options.runs {
        let job =
            Job { folder: folder.path().join(format!("run-{run}")), location: &location, key: &credentials };
        let (took, memory) = job.run(&options.settle, options.rows, &store).await?;
        progress.say(&format!(
            "{run}/{}: {:.1} s, {:.0} MB",
            options.runs,
            took.as_secs_f64(),
            megabytes(memory)
        ));
        seconds.push(took.as_secs_f64());
        peak.push(megabytes(memory));
    }
    Ok(told(options, bytes, &seconds, &peak, &before))
}

fn told(options: &Options, bytes: u64, seconds: &Sample, peak: &Sample, before: &str) -> Section {
    let mut table = Table::new(&["rows", "log MB", "runs", "seconds", "rows/s", "peak RSS MB"]);
    table.row([
        crate::figures::number(options.rows as f64),
        crate::figures::number(megabytes(bytes)),
        seconds.runs().to_string(),
        seconds.to_string(),
        crate::figures::number(options.rows as f64 / seconds.median()),
        peak.to_string(),
    ]);
    let text = format!(
        "`cooperator-settle` from start to end over the logs of {GATEWAYS} gateways: {HOURS} hours of Parquet and {CHUNKS} \
         chunks each, in Garage on the same machine; every row's hash is checked. Load average at the beginning {before}.\n\n{table}"
    );
    let all = format!("{} rows settled in", crate::figures::number(options.rows as f64));
    let goals = vec![
        Goal::at_most(&all, 60.0, " s", seconds.median()),
        Goal::at_most("peak RSS", 300.0, " MB", peak.median()),
    ];
    Section { name: "settle", text, goals }
}

/// The log of one gateway.
struct Log {
    gateway: String,
    rows: u64,
    adapter: Digest,
    seed: u64,
}

impl Log {
    /// Writes it as the gateway does; returns its bytes.
    async fn write(self, store: &Store, folder: &Path) -> Result<u64> {
        std::fs::create_dir_all(folder)?;
        let open = (CHUNKS * CHUNK_ROWS).min(self.rows / 2);
        let compacted = self.rows - open;
        let mut rows = Rows::new(&self);
        let (mut chain, mut bytes) = (Chain::genesis(&self.gateway), 0);
        for hour in 0..HOURS {
            let count = compacted / HOURS + u64::from(hour < compacted % HOURS);
            if count == 0 {
                continue;
            }
            let file = folder.join("hour.parquet");
            let begin = rows.begin + SignedDuration::from_hours(hour as i64);
            let written = file.clone();
            let digest;
            (chain, rows, digest) =
                tokio::task::spawn_blocking(move || hour_file(rows, chain, &written, begin, count)).await??;
            bytes += std::fs::metadata(&file)?.len();
            store.put_file(&layout::usage_hour(&self.gateway, &key::hour(begin), &digest), &file).await?;
        }
        let begin = rows.begin + SignedDuration::from_hours(HOURS as i64 - 1);
        let mut left = open;
        while left > 0 {
            let count = left.min(CHUNK_ROWS);
            let some: Vec<UsageRow> =
                (0..count).map(|_| rows.next(begin + SignedDuration::from_mins(59))).collect();
            let (header, packed) = chunk::encode(&mut chain, &some)?;
            bytes += packed.len() as u64;
            let key = layout::usage_chunk(&self.gateway, header.first_sequence, &Digest::of(&packed));
            store.put(&key, packed.into()).await?;
            left -= count;
        }
        Ok(bytes)
    }
}

/// An hour of so many rows in a file; the chain after them, and the file's digest.
fn hour_file(
    mut rows: Rows,
    chain: Chain,
    file: &Path,
    begin: Timestamp,
    count: u64,
) -> Result<(Chain, Rows, Digest)> {
    let mut writer = HourWriter::new(std::io::BufWriter::new(File::create(file)?), &chain)?;
    // Within the first 58 minutes, so that what is not compacted comes after.
    let gap = 58 * 60 * 1_000_000 / count.max(1);
    for row in 0..count {
        let time = begin + SignedDuration::from_micros(i64::try_from(row * gap)?);
        writer.push(rows.next(time))?;
    }
    let (_, chain, buffer) = writer.finish()?;
    buffer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    let mut hasher = Hasher::new();
    std::io::copy(&mut File::open(file)?, &mut hasher)?;
    Ok((chain, rows, hasher.finish()))
}

/// Rows as people's calls make them: a few Deployments and prices, many keys, every count another.
struct Rows {
    gateway: String,
    adapter: Digest,
    random: ChaCha8Rng,
    sequence: u64,
    begin: Timestamp,
}

impl Rows {
    fn new(log: &Log) -> Self {
        Self {
            gateway: log.gateway.clone(),
            adapter: log.adapter,
            random: ChaCha8Rng::seed_from_u64(log.seed),
            sequence: 0,
            begin: BEGIN.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    fn next(&mut self, time: Timestamp) -> UsageRow {
        self.sequence += 1;
        let key = self.random.random_range(0..500u32);
        let status = match self.random.random_range(0..100u32) {
            0 => UsageStatus::Failed,
            1..4 => UsageStatus::Disconnected,
            _ => UsageStatus::Completed,
        };
        UsageRow {
            gateway: self.gateway.clone(),
            sequence: self.sequence,
            time,
            key: format!("00000000-0000-4000-8000-{key:012}"),
            consumer: format!("consumer-{:03}", key % 100),
            deployment: format!("model-{}", key % 5),
            adapter: (key % 5 != 4).then_some(self.adapter),
            input_tokens: self.random.random_range(1..2000),
            output_tokens: self.random.random_range(1..500),
            price: PriceTag { currency: "EUR".into(), input: "0.2".into(), output: "0.8".into() },
            status,
        }
    }
}

/// An adapter that three members' works went into.
fn adapter() -> AdapterManifest {
    let weight = |member: &str, tokens, weight| MemberWeight { member: member.into(), tokens, weight };
    AdapterManifest {
        base_model: Digest::of(b"base"),
        dataset: Digest::of(b"dataset"),
        lora: LoraOptions {
            rank: 8,
            alpha: 16,
            dropout: "0.0".into(),
            target_modules: vec!["q_proj".into()],
        },
        training: TrainingOptions {
            max_steps: 1,
            batch_size: 1,
            sequence_length: 16,
            gradient_accumulation: 1,
            learning_rate: "1e-3".into(),
            schedule: Schedule::Cosine,
            warmup_steps: 0,
            weight_decay: "0".into(),
            clip_norm: "1.0".into(),
            seed: 1,
        },
        files: vec![],
        attribution: vec![
            weight("member-00", 10_000, 500_000_000),
            weight("member-01", 6_000, 300_000_000),
            weight("member-02", 4_000, 200_000_000),
        ],
    }
}

/// One settlement as its pod makes it.
struct Job<'a> {
    folder: PathBuf,
    location: &'a StorageLocation,
    key: &'a Credentials,
}

impl Job<'_> {
    /// How long it took, and the most memory it held; it must have counted every row.
    async fn run(&self, program: &Path, rows: u64, store: &Store) -> Result<(Duration, u64)> {
        std::fs::create_dir_all(&self.folder)?;
        let run = self.file()?;
        let file = self.folder.join("run.json");
        std::fs::write(&file, serde_json::to_vec(&run)?)?;
        let mut command = Command::new(program);
        command.arg("--run-file").arg(&file).env("RUST_LOG", "warn");
        command.env(env::ACCESS_KEY_ID, self.key.access_key_id());
        command.env(env::SECRET_ACCESS_KEY, self.key.secret_access_key());
        let processes = Processes::new(&self.folder, Life::Tied);
        let began = Instant::now();
        let pid = processes.start("settle", &command)?;
        let mut peak = 0;
        // The greatest is kept by the kernel while it lives; the last look is at most some milliseconds before its end.
        while let Ok(memory) = Memory::of(pid) {
            peak = peak.max(memory.peak);
            ensure!(began.elapsed() < PATIENCE, "a settlement takes longer than {} s", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = began.elapsed();
        let outcome: Outcome =
            serde_json::from_slice(&std::fs::read(&run.outcome_path).with_context(|| {
                format!("settle left no outcome; its log: {}", processes.log("settle").display())
            })?)?;
        let Outcome::Succeeded { digest, key } = &outcome else {
            bail!("the settlement failed: {outcome:?}")
        };
        let statement: Statement = store.get_manifest(key, digest).await?;
        ensure!(statement.usage.rows == rows, "{} of {rows} rows were counted", statement.usage.rows);
        Ok((took, peak))
    }

    fn file(&self) -> Result<RunFile> {
        let start: Timestamp = BEGIN.parse()?;
        let end = start + SignedDuration::from_hours(HOURS as i64);
        let members =
            (0..3).map(|member| Payee { member: crate::home::member_name(member), account: String::new() });
        let task = SettleTask {
            collective: NAME.into(),
            period: Period { name: "2026-11-24".into(), start, end },
            currency: "EUR".into(),
            decimals: 6,
            members: members.collect(),
            costs: vec![],
            recover_costs: true,
            reserve: None,
            split: vec![SplitRule { name: "works".into(), basis_points: 10_000, by: SplitBy::Contribution }],
            previous: None,
        };
        Ok(RunFile {
            preflight: None,
            version: VERSION,
            run: RunId { namespace: NAME.into(), name: NAME.into(), uid: "uid".into(), attempt: 1 },
            storage: self.location.clone(),
            storage_broker: None,
            progress_url: None,
            traceparent: None,
            outcome_path: self.folder.join("outcome").display().to_string(),
            task: Task::Settle(Box::new(task)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_a_gateway_is_one_chain_and_the_same_each_time() {
        let log = || Log { gateway: "g".into(), rows: 10, adapter: Digest::of(b"a"), seed: 7 };
        let (mut rows, mut chain) = (Rows::new(&log()), Chain::genesis("g"));
        let time = rows.begin;
        let some: Vec<UsageRow> = (0..10).map(|_| rows.next(time)).collect();
        chunk::encode(&mut chain, &some).unwrap();
        assert_eq!(chain.through(), 10);
        let mut again = Rows::new(&log());
        assert!(some.iter().all(|row| *row == again.next(time)));
    }
}
