//! Puts the parts together, runs them, and ends them in the order that loses nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cooperator_api::collective::Collective;
use cooperator_core::time::SystemClock;
use cooperator_store::{Credentials, Store};
use kube::{Api, Client};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Args;
use crate::budget::{Funds, Ledger};
use crate::call::{Bounds, Gateway};
use crate::config::{self, KubeLeases, STALE};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;
use crate::wal::upload::Uploader;
use crate::wal::{Options, Wal};
use crate::{admin, server};

/// Bytes of one file of the usage log.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Longest time for the headers of a request to arrive, for its body, and for a caller not to read its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For giving back parts of budgets: with the grace period and the last upload, within a pod's minute to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, or until a part fails that only a new start can cure.
///
/// # Errors
/// What could not be started, or what failed.
pub async fn run(args: Args, credentials: Credentials, client: Client) -> anyhow::Result<()> {
    // Before the log is opened: rows of an earlier process may lie in it, and a signal that nobody handles ends this one
    // before it has uploaded them.
    let told_to_stop = told_to_stop()?;
    let (metrics, registry) = Metrics::new();
    let clock = Arc::new(SystemClock);
    let options = Options {
        folder: args.wal_dir.clone(),
        replica: args.replica.clone(),
        disk_budget: args.wal_budget,
        segment_bytes: SEGMENT_BYTES,
    };
    let (wal, spent) = Wal::open(options, clock.clone(), metrics.clone())?;
    let currency = currency(&client, &args).await?;
    let leases = KubeLeases::new(Api::namespaced(client.clone(), &args.namespace), &currency);
    let funds = Arc::new(Funds::new(Arc::new(Ledger::recovered(spent)), Arc::new(leases), wal.gateway()));
    let (publish, snapshot) = watch::channel(Arc::<Snapshot>::default());
    let live = Arc::new(Live::new(STALE));
    let gateway = Arc::new(Gateway {
        collective: args.collective.clone(),
        snapshot: snapshot.clone(),
        live: Arc::clone(&live),
        limiter: Default::default(),
        funds: Arc::clone(&funds),
        wal: wal.clone(),
        upstream: Upstream::new(args.upstream_timeout),
        metrics,
        clock: clock.clone(),
        bounds: bounds(args.max_body_bytes),
        tracker: TaskTracker::new(),
        cut: CancellationToken::new(),
    });
    let stop = CancellationToken::new();
    let uploads = CancellationToken::new();
    let store = Store::connect(&args.storage(), credentials).with_attempts(3);
    let uploader = Uploader::new(wal.clone(), store, clock);
    let uploading = tokio::spawn(uploader.run(args.upload_interval, args.grace_period, uploads.clone()));
    let reporting = tokio::spawn(config::report(
        Arc::clone(&funds),
        snapshot.clone(),
        args.report_interval,
        stop.clone(),
    ));
    let watching = {
        let (namespace, name) = (args.namespace.clone(), args.collective.clone());
        tokio::spawn(async move { config::watch(client, &namespace, &name, publish, live).await })
    };
    let admin =
        tokio::spawn(admin(TcpListener::bind(args.metrics_listen).await?, Arc::clone(&gateway), registry));
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let serving =
        tokio::spawn(server::serve(listener, gateway, args.max_connections, stop.clone(), args.grace_period));
    tracing::info!(gateway = wal.gateway(), listen = %args.listen, "the gateway serves");

    let failed = tokio::select! {
        () = told_to_stop => None,
        ended = watching => Some(format!("{ended:?}")),
        () = stopped(&wal) => Some("the usage log cannot be written".to_owned()),
    };
    // No new calls, then every row on disk, then money given back, then every row in object storage.
    stop.cancel();
    serving.await?;
    reporting.await?;
    if tokio::time::timeout(FAREWELL, config::give_back(&funds, &snapshot)).await.is_err() {
        tracing::warn!("parts of budgets could not be given back in time");
    }
    uploads.cancel();
    uploading.await?;
    admin.abort();
    failed.map_or(Ok(()), |why| Err(anyhow::anyhow!(why)))
}

const fn bounds(body_bytes: usize) -> Bounds {
    Bounds { body_bytes, head_time: PATIENCE, body_time: PATIENCE, stall: PATIENCE }
}

async fn currency(client: &Client, args: &Args) -> anyhow::Result<String> {
    let collectives: Api<Collective> = Api::namespaced(client.clone(), &args.namespace);
    let found = collectives.get(&args.collective).await;
    let collective =
        found.with_context(|| format!("Collective {}/{} cannot be read", args.namespace, args.collective))?;
    Ok(collective.spec.treasury.currency)
}

async fn admin(listener: TcpListener, gateway: Arc<Gateway>, registry: Registry) {
    if let Err(error) = axum::serve(listener, admin::router(gateway, registry)).await {
        tracing::error!(%error, "health and metrics cannot be served");
    }
}

/// Ends at SIGTERM or SIGINT, also at one that came before it was first waited for.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn stopped(wal: &Wal) {
    while !wal.stopped() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
