//! A real Kubernetes on one machine, built from source: for the demo and the end-to-end tests.
//!
//! [`Cluster`] is a control plane and a node that runs pods; it needs root. [`ApiServer`] is a kube-apiserver
//! alone, for tests of the API; it needs no rights at all. Both build what they are made of once and keep it
//! by version in the cache ([`tools`]). A [`Machine`] is what a vendor would rent out, beside a cluster. A cluster makes all it makes inside a network namespace, a mount
//! namespace, a cgroup and one folder, so that taking it down ([`Cluster::down`]) leaves nothing
//! ([`Leftovers`]), even after a `kill -9` halfway.

pub mod api_server;
pub mod cgroups;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod debian;
pub mod dns;
pub mod enforcer;
pub mod file_server;
pub mod files;
pub mod images;
pub mod leftovers;
pub mod machine;
pub mod network;
pub mod node;
pub mod paths;
pub mod pki;
pub mod ports;
pub mod processes;
pub mod progress;
pub mod sshd;
pub mod tools;

pub use api_server::ApiServer;
pub use cluster::Cluster;
pub use leftovers::Leftovers;
pub use machine::Machine;
pub use progress::Progress;
