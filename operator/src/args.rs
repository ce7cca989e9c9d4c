//! Flags of the binary; what the chart sets.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use crate::rent::Ports;

/// The Cooperator operator.
#[derive(Clone, Parser)]
#[command(name = "cooperator-operator", version)]
pub struct Args {
    /// Objects of one kind worked on at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
    /// Image with `cooperator-gateway` and `cooperator-settle`.
    #[arg(long)]
    pub operator_image: String,
    /// Image with `cooperator-trainer` and `cooperator-server`.
    #[arg(long)]
    pub trainer_image: String,
    /// When nodes pull images: Always, IfNotPresent or Never.
    #[arg(long, default_value = "IfNotPresent")]
    pub image_pull_policy: String,
    /// Base URL at which runs reach `--listen`. Default: runs report nowhere.
    #[arg(long)]
    pub progress_url: Option<String>,
    /// S3 endpoint of the default store. Default: every Collective must bring its own.
    #[arg(long)]
    pub store_endpoint: Option<String>,
    /// Bucket of the default store that all Collectives share, each below a prefix.
    #[arg(long, requires_all = ["store_endpoint", "store_access_key_id", "store_secret_access_key"])]
    pub store_bucket: Option<String>,
    /// What every key in that bucket begins with; empty, or ends with `/`.
    #[arg(long, default_value = "")]
    pub store_prefix: String,
    /// Key of that bucket.
    #[arg(long, env = "STORE_ACCESS_KEY_ID", hide_env_values = true)]
    pub store_access_key_id: Option<String>,
    /// Its secret part. Give it by the environment: arguments can be read by others.
    #[arg(long, env = "STORE_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub store_secret_access_key: Option<String>,
    /// Garage admin API of the default store: every Collective gets a bucket and a key of its own.
    #[arg(long, requires_all = ["store_endpoint", "store_admin_token"], conflicts_with = "store_bucket")]
    pub store_admin_url: Option<String>,
    /// Token of the Garage admin API. Give it by the environment: arguments can be read by others.
    #[arg(long, env = "STORE_ADMIN_TOKEN", hide_env_values = true)]
    pub store_admin_token: Option<String>,
    /// Region of the default store.
    #[arg(long, default_value = "garage")]
    pub store_region: String,
    /// URL of the API server as rented machines reach it. Default: no machine is rented.
    #[arg(long)]
    pub rented_api_server: Option<String>,
    /// File with the certificate authority of that API server, PEM.
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub rented_authority: PathBuf,
    /// File that says what rented machines fetch and how they are set up, JSON.
    #[arg(long)]
    pub rented_machines: Option<PathBuf>,
    /// Where rented machines open a tunnel by which the API server reaches their kubelets: host:port of
    /// `--rented-tunnel-listen` as they reach it. Default: the API server dials the machines.
    #[arg(long)]
    pub rented_tunnel: Option<String>,
    /// Where this replica takes those tunnels while it leads.
    #[arg(long, default_value = "0.0.0.0:6445")]
    pub rented_tunnel_listen: SocketAddr,
    /// Folder with the certificate that is shown there (tls.crt, tls.key), and its authority (ca.crt), PEM.
    #[arg(long, default_value = "/etc/cooperator/tunnel")]
    pub rented_tunnel_certificate: PathBuf,
    /// The program that opens them, which machines fetch from `--rented-progress-url`, unless --rented-machines names it.
    #[arg(long, default_value = "/usr/bin/cooperator-tunnel")]
    pub rented_tunnel_program: PathBuf,
    /// File with the authority that signs kubelets' client certificates, PEM.
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub rented_tunnel_clients: PathBuf,
    /// Ports of this pod at which the API server dials machines' kubelets, one a machine: FIRST-LAST.
    #[arg(long, default_value = "20000-20999")]
    pub rented_tunnel_ports: Ports,
    /// Address of this pod, as the API server reaches it.
    #[arg(long, env = "POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// URL of `--listen` as rented machines reach it: their runs report there and are granted storage. Default:
    /// `--progress-url`.
    #[arg(long)]
    pub rented_progress_url: Option<String>,
    /// S3 endpoint as rented machines reach it: the URLs granted to runs without a key lead there. Default: the
    /// endpoint of each Collective's own storage.
    #[arg(long)]
    pub rented_store_endpoint: Option<String>,
    /// Rent containers too, where no machine is for rent: virtual nodes stand for them.
    #[arg(long, requires = "pod_ip")]
    pub rented_containers: bool,
    /// Where the API server asks for the logs of pods on rented containers.
    #[arg(long, default_value = "0.0.0.0:10250")]
    pub kubelet_listen: SocketAddr,
    /// File with the certificate authority that signed kube-apiserver's own client certificate, PEM.
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub kubelet_client_authority: PathBuf,
    /// Common name of that certificate: nobody else is shown a log.
    #[arg(long, default_value = "kube-apiserver-kubelet-client")]
    pub kubelet_client_name: String,
    /// Where runs report, and are granted storage.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where the cluster asks for health and metrics.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub metrics_listen: SocketAddr,
    /// Name of this pod: its identity in the election.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,
    /// Namespace of this pod, and of the Lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: String,
    /// ServiceAccount of this pod: whom a namespace lets in.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "cooperator-operator")]
    pub service_account: String,
    /// OTLP endpoint that pods of ours export their spans to.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}
