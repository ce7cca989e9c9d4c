//! The process: it answers from the start, and its controllers run while it leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cooperator_core::time::{Clock as _, SystemClock};
use cooperator_kit::health;
use cooperator_kit::leader::{self, Election, Ended, Timing};
use cooperator_kit::{Health, Runner};
use cooperator_store::Credentials;
use cooperator_telemetry::metrics::Metrics;
use futures::future::OptionFuture;
use kube::runtime::events::Reporter;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::context::{Context, DefaultStore, Parts};
use crate::events::Events;
use crate::garage::Garage;
use crate::pipeline::Pipeline;
use crate::rent::{self, Rent};
use crate::runs::Site;
use crate::{broker, first_script, hosted, kubelet, progress, watch};

/// Name of the Lease.
const LEASE: &str = "cooperator-operator";
/// Longest that reconciles under way may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs until SIGTERM.
///
/// # Errors
/// When the cluster cannot be reached, a port is taken, or leadership was lost: the process is then started anew.
pub async fn operate(args: Args) -> Result<()> {
    cooperator_telemetry::install_crypto();
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let mut config =
        Config::infer().await.context("no cluster: neither a ServiceAccount nor a kubeconfig was found")?;
    let lease = leader::client(config.clone())?;
    // Longer than a watch is asked for (50 s): a connection that died in silence is noticed within the minute.
    config.read_timeout = Some(Duration::from_secs(60));
    let client = Client::try_from(config)?;
    let (health, metrics) = (Health::new(), Metrics::new());
    let runner = Runner::new(args.concurrency, health.clone(), &metrics);
    let context = Arc::new(context(&args, client.clone(), &metrics)?);

    let answers = serve(args.metrics_listen, health::router(health.clone(), metrics), stop.clone()).await?;
    let runs = progress::router(client, Arc::new(SystemClock))
        .merge(broker::router(context.pipeline.clone(), args.rented_store_endpoint.clone()))
        .merge(hosted::router(context.pipeline.clone()));
    let runs = match &context.rent {
        Some(rent) => runs
            .merge(first_script::router(rent.rest().render()?))
            .merge(rent::program::router(&args.rented_tunnel_program)),
        None => runs,
    };
    let runs = serve(args.listen, runs, stop.clone()).await?;
    let logs = match context.rent.as_ref().filter(|rent| rent.site.kubelet.is_some()) {
        Some(rent) => Some(kubelet::serve(&args, rent.clone(), stop.clone()).await?),
        None => None,
    };
    health.set_ready();

    let election = Election::new(lease, &args.pod_namespace, LEASE, &args.pod_name, Timing::default());
    let work = |lost: CancellationToken| {
        let runner = runner.until(lost);
        async move {
            let controllers = futures::future::join_all(watch::controllers(&context, &runner));
            tokio::select! {
                _ = controllers => {}
                never = tunnel(&context) => match never {},
            }
        }
    };
    let ended = election.lead(stop.clone(), work).await;
    stop.cancel();
    let _ =
        tokio::time::timeout(DRAIN, async { tokio::join!(answers, runs, OptionFuture::from(logs)) }).await;
    ensure!(ended == Ended::Stopped, "this replica lost the Lease {LEASE}; it starts anew");
    Ok(())
}

/// Takes the tunnels of rented machines, where there are to be any.
async fn tunnel(context: &Context) -> std::convert::Infallible {
    if let Some(tunnel) = context.rent.as_ref().and_then(|rent| rent.tunnel.as_ref()) {
        match tunnel.run().await {
            Ok(never) => match never {},
            Err(error) => tracing::error!("no rented machine can open a tunnel: {error}"),
        }
    }
    std::future::pending().await
}

fn context(args: &Args, client: Client, metrics: &Metrics) -> Result<Context> {
    let reporter = Reporter { controller: "cooperator".into(), instance: Some(args.pod_name.clone()) };
    let pipeline = Pipeline {
        events: Events::new(client.clone(), reporter),
        client,
        site: Site {
            trainer_image: args.trainer_image.clone(),
            operator_image: args.operator_image.clone(),
            pull_policy: args.image_pull_policy.clone(),
            progress_url: args.progress_url.clone(),
            rented_progress_url: args.rented_progress_url.clone(),
            rents: args.rented_api_server.is_some(),
            otlp_endpoint: args.otlp_endpoint.clone(),
        },
        clock: Arc::new(SystemClock),
        listening_since: SystemClock.now(),
    };
    let default_store = parts(args)?.zip(args.store_endpoint.clone()).map(|(parts, endpoint)| DefaultStore {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        region: args.store_region.clone(),
        parts,
    });
    let pipeline = Arc::new(pipeline);
    let tunnel = rent::Tunnel::read(args, pipeline.clock.clone())?;
    let rent = rent::Site::read(args, pipeline.site.outside_url())?
        .map(|site| Rent::new(pipeline.clone(), site, metrics).by(tunnel));
    Ok(Context {
        rent: rent.map(Arc::new),
        pipeline,
        default_store,
        service_account: format!("{}/{}", args.pod_namespace, args.service_account),
    })
}

/// How Collectives share the default store, if there is one.
fn parts(args: &Args) -> Result<Option<Parts>> {
    if let (Some(url), Some(token)) = (&args.store_admin_url, &args.store_admin_token) {
        return Ok(Some(Parts::Buckets(Garage::new(url, token)?)));
    }
    let key = args.store_access_key_id.clone().zip(args.store_secret_access_key.clone());
    Ok(args.store_bucket.clone().zip(key).map(|(bucket, (id, secret))| Parts::Prefixes {
        bucket,
        prefix: args.store_prefix.clone(),
        key: Credentials::new(id, secret),
    }))
}

async fn serve(
    address: std::net::SocketAddr,
    router: axum::Router,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<std::io::Result<()>>> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    Ok(tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
    }))
}

fn stop_on_signal(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        stop.cancel();
    });
    Ok(())
}
