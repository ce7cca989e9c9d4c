//! `cooperator-rentals`: tells many worlds of rentals, or one again, and prints what they came to.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use cooperator_rentals::{Fault, Told, tell};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Simulates rentals under faults against the local cloud, and holds what is left and what was paid against the truth.
#[derive(Debug, Parser)]
#[command(name = "cooperator-rentals", version)]
struct Args {
    /// How many worlds are told.
    #[arg(long, default_value_t = 400)]
    worlds: u64,
    /// Claims of each world, at most 30.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u8).range(1..=30))]
    claims: u8,
    /// Seed of the first world; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tells this world alone again: the seed that a line names.
    #[arg(long)]
    world: Option<u64>,
    /// How many worlds are told at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    // The drivers' clients want one, though all that is spoken here is plain HTTP.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode> {
    let begun = Instant::now();
    let seeds = args.world.map_or(args.seed..args.seed + args.worlds, |world| world..world + 1);
    let (room, mut tasks) = (Arc::new(Semaphore::new(args.at_once.max(1))), JoinSet::new());
    let claims = usize::from(args.claims);
    for seed in seeds {
        let room = room.clone();
        tasks.spawn(async move {
            let _permit = room.acquire().await?;
            tell(seed, claims).await
        });
    }
    let mut sum = Sum::default();
    while let Some(told) = tasks.join_next().await {
        match told? {
            Ok(told) => sum.add(&told),
            Err(error) => sum.fail(&format!("{error:#}")),
        }
    }
    sum.print(begun.elapsed().as_secs());
    Ok(if sum.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All worlds together.
#[derive(Default)]
struct Sum {
    worlds: u64,
    claims: u64,
    machines: u64,
    leaked: usize,
    doubled: usize,
    late: usize,
    drift: usize,
    unknowable: u64,
    strays: u64,
    longest: (i64, i64),
    happened: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    wrong: u64,
}

impl Sum {
    fn add(&mut self, told: &Told) {
        let audit = &told.audit;
        self.worlds += 1;
        self.claims += told.claims;
        self.machines += audit.machines;
        self.leaked += audit.leaked.len();
        self.doubled += audit.doubled.len();
        self.late += audit.late.len();
        self.drift += audit.drift.len();
        self.unknowable += audit.unknowable;
        self.strays += audit.strays;
        self.longest = (self.longest.0.max(audit.longest_stray), self.longest.1.max(audit.longest_double));
        let counts = &told.counts;
        for (what, count) in [
            ("deaths of the operator", counts.deaths),
            ("calls of dead operators", counts.ghosts),
            ("conflicts", counts.conflicts),
            ("orders in doubt", counts.doubts),
            ("machines adopted", counts.adopted),
            ("doubles ended", counts.doubles),
            ("machines said to be gone that lived", counts.revived),
        ] {
            *self.happened.entry(what).or_default() += count;
        }
        for (fault, count) in &told.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        let wrong = [
            ("leaked", &audit.leaked),
            ("doubled", &audit.doubled),
            ("late", &audit.late),
            ("drift", &audit.drift),
        ];
        for (what, lines) in wrong {
            for line in lines {
                self.fail(&format!("world {}: {what}: {line}", told.seed));
            }
        }
    }

    /// Something is wrong: it is told at once.
    #[allow(clippy::print_stdout)] // it is what this program is for
    fn fail(&mut self, message: &str) {
        println!("{message}");
        self.wrong += 1;
    }

    #[allow(clippy::print_stdout)] // it is what this program is for
    fn print(&self, seconds: u64) {
        let ledger = match self.drift {
            0 => "ledger = bill".to_owned(),
            drift => format!("ledger differs from bill for {drift} machines"),
        };
        println!(
            "{} rentals in {} worlds: {} leaked, {} doubled, {} orphans late, {ledger}; {seconds} s",
            self.claims, self.worlds, self.leaked, self.doubled, self.late
        );
        let (stray, double) = self.longest;
        println!(
            "{} machines, {} without a claim (dead after {stray} s at most), two for one claim for {double} s at most, \
             {} beyond any accounting (record removed by hand)",
            self.machines, self.strays, self.unknowable
        );
        let happened = self.happened.iter().map(|(what, count)| format!("{count} {what}"));
        println!("{}", happened.collect::<Vec<_>>().join(", "));
        let faults = self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}"));
        println!("faults met: {}", faults.collect::<Vec<_>>().join(", "));
    }
}
