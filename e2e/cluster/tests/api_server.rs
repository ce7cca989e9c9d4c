//! The API server that tests of the API run against.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

use cooperator_cluster::command::output;
use cooperator_cluster::tools::kubectl;
use cooperator_cluster::{ApiServer, tools};

#[test]
fn two_api_servers_answer_beside_each_other_and_end_with_their_owner() {
    if !(tools::ETCD.is_built() && tools::KUBERNETES.is_built()) {
        // Building them takes minutes: `cargo xtask test` does it before it runs this.
        return;
    }
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let servers: Vec<ApiServer> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            dirs.iter().map(|dir| scope.spawn(|| ApiServer::up(dir.path()).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for server in &servers {
        let version =
            output("kubectl", kubectl(&server.kubeconfig).args(["get", "--raw", "/version"])).unwrap();
        assert!(version.contains("v1.34.4"), "{version}");
    }
    let kubeconfig = servers[0].kubeconfig.clone();
    drop(servers);
    let mut gone = kubectl(&kubeconfig);
    assert!(output("kubectl", gone.args(["--request-timeout=2s", "get", "--raw", "/version"])).is_err());
}
