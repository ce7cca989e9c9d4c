//! The cluster: pods run, find each other by name, and nothing of it is left afterwards. Needs root and
//! minutes: `cargo test -p cooperator-cluster -- --ignored`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

use std::path::Path;

use cooperator_cluster::command::output;
use cooperator_cluster::{Cluster, Leftovers, Progress, images};

/// Asks until kube-proxy knows the Service, for 20 s at the most.
const FETCH: &str = "for i in $(/bin/busybox seq 100); do /bin/busybox wget -qO- http://$1/ && exit; \
                     /bin/busybox sleep 0.2; done; exit 1";

#[test]
#[ignore = "needs root, and is the machine's only cluster while it runs"]
fn pods_run_find_services_by_name_keep_volumes_and_leave_nothing() {
    let dir = Path::new("/var/tmp/cooperator-cluster-test");
    let progress = Progress::new();
    Cluster::down(dir).unwrap();
    let cluster = Cluster::up(dir, &progress).unwrap();
    let toolbox = images::toolbox(&progress).unwrap();
    cluster.load(&toolbox).unwrap();
    cluster.apply(&manifests(&toolbox.reference)).unwrap();
    let kubectl = |arguments: &[&str]| output("kubectl", cluster.kubectl().args(arguments));
    kubectl(&["wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=90s"]).unwrap();

    for name in ["web", "web.default.svc.cluster.local"] {
        assert_eq!(
            kubectl(&["exec", "client", "--", "/bin/busybox", "sh", "-c", FETCH, "sh", name]).unwrap(),
            "kept in a volume\n"
        );
    }
    assert!(kubectl(&["logs", "web"]).unwrap().contains("serving"));

    // The second `up` finds the first.
    Cluster::up(dir, &progress).unwrap();
    Cluster::down(dir).unwrap();
    let left = Leftovers::find(dir);
    assert!(left.is_empty(), "{left}");
    Cluster::down(dir).unwrap();
}

fn manifests(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: pages, namespace: default}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: default, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532}}
  containers:
  - name: web
    image: {image}
    command: [/bin/busybox, sh, -c, 'echo kept in a volume >/pages/index.html; echo serving; exec /bin/busybox httpd -f -p 8080 -h /pages']
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: pages, mountPath: /pages}}]
    securityContext: {{readOnlyRootFilesystem: true}}
  volumes: [{{name: pages, persistentVolumeClaim: {{claimName: pages}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: default}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: client, image: {image}}}]
"#
    )
}
