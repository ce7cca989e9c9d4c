//! `cooperator-cloud`: the local cloud as a program.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use cooperator_cloud::backend::{Local, Simulated};
use cooperator_cloud::market::{Market, Size};
use cooperator_cloud::world::{Account, Boot};
use cooperator_cloud::{Cloud, Options, Time, Vendor};
use cooperator_core::time::{TestClock, Timestamp};

/// Speaks the APIs of Vast.ai, RunPod, Lambda Cloud and Hetzner Cloud on this machine
#[derive(Parser)]
struct Args {
    /// Where to listen; the APIs are below /vast, /runpod, /lambda, /hetzner and /control
    #[arg(long, default_value = "127.0.0.1:8600")]
    listen: SocketAddr,
    /// Decides the market, ids, boot times and the faults that fall by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is for rent: a size, or a JSON file with exactly what
    #[arg(long, default_value = "small")]
    market: String,
    /// A virtual clock that shows this time until it is moved by POST /control/clock; else the machine's
    #[arg(long = "virtual", value_name = "RFC 3339")]
    start: Option<Timestamp>,
    /// A JSON file with faults from the start: a list of rules as PUT /control/faults takes it
    #[arg(long)]
    faults: Option<PathBuf>,
    /// An API key instead of the vendor's default one, such as vast=secret; may be repeated
    #[arg(long, value_name = "VENDOR=KEY")]
    key: Vec<String>,
    /// Whether the vendors' limits on calls hold; by default under the machine's clock only
    #[arg(long)]
    limits: Option<bool>,
    /// Really start what is rented, beside the local cluster whose state folder this is; by default machines are only
    /// said to exist
    #[arg(long, value_name = "FOLDER", conflicts_with = "start")]
    cluster: Option<PathBuf>,
    /// Seconds by which the vendors' own accounts lag behind the true bill
    #[arg(long, default_value_t = 0)]
    billing_lag: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sizes {
    Small,
    Typical,
    Vast,
}

impl Args {
    fn market(&self) -> Result<Market> {
        let size = match Sizes::from_str(&self.market, false) {
            Ok(Sizes::Small) => Size::SMALL,
            Ok(Sizes::Typical) => Size::TYPICAL,
            Ok(Sizes::Vast) => Size::VAST,
            Err(_) => {
                let text = std::fs::read(&self.market).with_context(|| {
                    format!(
                        "--market {}: neither small, typical, vast nor a file that can be read",
                        self.market
                    )
                })?;
                return serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no market", self.market));
            }
        };
        Ok(Market::generated(self.seed, size))
    }

    fn accounts(&self) -> Result<Vec<Account>> {
        let mut accounts: Vec<Account> = Vendor::ALL.into_iter().map(Account::default_of).collect();
        for pair in &self.key {
            // The key itself is in no message.
            let Some((vendor, key)) = pair.split_once('=') else {
                bail!("--key takes a vendor, `=` and its key, such as vast=secret");
            };
            let vendor: Vendor = vendor.parse()?;
            for account in accounts.iter_mut().filter(|account| account.vendor == vendor) {
                key.clone_into(&mut account.key);
            }
        }
        Ok(accounts)
    }

    fn options(&self) -> Result<Options> {
        let faults = match &self.faults {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read(path).with_context(|| format!("--faults {}", path.display()))?;
                serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no list of faults", path.display()))?
            }
        };
        Ok(Options {
            listen: self.listen,
            seed: self.seed,
            time: self.start.map_or(Time::Real, |start| Time::Virtual(TestClock::new(start))),
            market: self.market()?,
            accounts: self.accounts()?,
            limits: self.limits,
            faults,
            billing_lag: self.billing_lag,
            backend: match &self.cluster {
                Some(folder) => Arc::new(Local::new(folder)),
                None => Arc::new(Simulated),
            },
            boot: match self.cluster {
                Some(_) => Boot::Exactly { accepting: 1, booting: 0 },
                None => Boot::Seeded,
            },
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cloud = Cloud::start(args.options()?).await.with_context(|| format!("--listen {}", args.listen))?;
    writeln!(std::io::stdout(), "{}", cloud.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
