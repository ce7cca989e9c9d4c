//! How long nobody reconciles after the leading operator went: told to go, and killed. Two operators on a real
//! kube-apiserver; what ends the time is the first reconcile that the other counts in its metrics.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cooperator_cluster::Progress;
use cooperator_faults::stage::Stage;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::figures::{Goal, Sample, Section, Table};
use crate::home::{Operator, apply, collective, until};
use crate::machine::load;

/// Between two looks at the other's metrics.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// `cooperator-operator`
    #[arg(long)]
    operator: PathBuf,
    /// Deaths of each kind
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// Ends leaders and waits for their followers.
///
/// # Errors
/// When an operator does not come up, or none follows.
pub async fn failover(options: &Options) -> Result<Section> {
    let progress = Progress::new();
    let folder = tempfile::tempdir()?;
    let stage = Stage::set(folder.path()).await?;
    let before = load();
    let http = reqwest::Client::new();
    let mut figures = Vec::new();
    let mut leader = Operator::start(&options.operator, &stage, "operator-0")?;
    apply(&stage, &collective(3)).await?;
    let works = async || Ok(reconciles(&http, leader.metrics).await.is_ok_and(|count| count > 0));
    until("the first operator works", works).await?;
    for (number, (signal, bound)) in
        [(Signal::SIGTERM, 10.0), (Signal::SIGKILL, 20.0)].into_iter().enumerate()
    {
        let mut seconds = Sample::default();
        for run in 1..=options.runs {
            // A new name each time: what was killed may not come back as itself and find its own Lease.
            let name = format!("operator-{}-{run}", number + 1);
            let follower = Operator::start(&options.operator, &stage, &name)?;
            until("the second operator waits", async || {
                Ok(reconciles(&http, follower.metrics).await.is_ok())
            })
            .await?;
            // At least one look at the Lease, and not at the same moment of its renewal each time.
            tokio::time::sleep(Duration::from_millis(3000 + u64::from(run) * 370)).await;
            ensure!(reconciles(&http, follower.metrics).await? == 0, "two operators work at once");
            let began = Instant::now();
            kill(Pid::from_raw(leader.pid), signal)?;
            while reconciles(&http, follower.metrics).await? == 0 {
                ensure!(began.elapsed() < PATIENCE, "nobody followed in {} s", PATIENCE.as_secs());
                tokio::time::sleep(LOOK).await;
            }
            seconds.push(began.elapsed().as_secs_f64());
            progress.say(&format!("{signal} {run}/{}: {:.1} s", options.runs, began.elapsed().as_secs_f64()));
            leader = follower;
        }
        figures.push((signal, bound, seconds));
    }
    let mut table = Table::new(&["end of the leader", "runs", "seconds until the other reconciles"]);
    let mut goals = Vec::new();
    for (signal, bound, seconds) in figures {
        table.row([signal.to_string(), seconds.runs().to_string(), seconds.to_string()]);
        goals.push(Goal::at_most(&format!("failover on {signal}"), bound, " s", seconds.median()));
    }
    let text = format!(
        "Two operators on one kube-apiserver, the leader ended by a signal; the time until the other has reconciled \
         something. Load average at the beginning {before}.\n\n{table}"
    );
    Ok(Section { name: "failover", text, goals })
}

/// How often an operator has reconciled anything, by its metrics.
async fn reconciles(http: &reqwest::Client, port: u16) -> Result<u64> {
    let text =
        http.get(format!("http://127.0.0.1:{port}/metrics")).send().await?.error_for_status()?.text().await?;
    Ok(count(&text))
}

fn count(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("cooperator_reconciles_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconciles_are_counted_over_all_controllers() {
        let metrics = "# TYPE cooperator_reconciles counter\n\
                       cooperator_reconciles_total{controller=\"collective\",result=\"success\"} 2\n\
                       cooperator_reconciles_total{controller=\"apikey\",result=\"error\"} 1\n# EOF\n";
        assert_eq!((count(metrics), count("# EOF\n")), (3, 0));
    }
}
