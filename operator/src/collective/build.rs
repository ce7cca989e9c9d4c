//! Pure: the gateway of a Collective.

use cooperator_api::collective::{Collective, StorageStatus};
use cooperator_api::names;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec, PodTemplateSpec, Service,
    ServiceAccount, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::network;
use super::reconcile::owner;
use super::status::gateway_name;
use crate::domain::resources;
use crate::pods::{self, Part, probe, scratch, variable};
use crate::runs::{Site, secure_container, secure_pod};

/// Where callers connect.
pub const PORT: i32 = 8080;
/// Health, metrics, usage.
pub const ADMIN_PORT: i32 = 9090;
/// Folder of the usage log.
const WAL: &str = "/var/lib/cooperator/wal";
/// Seconds a gateway may take to end: requests finish, then usage is uploaded.
const GRACE_SECONDS: i64 = 60;

/// Everything the gateway consists of.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Around every pod of the Collective.
    pub policies: Vec<NetworkPolicy>,
    /// The gateway's identity.
    pub account: ServiceAccount,
    /// What it may read and write.
    pub binding: RoleBinding,
    /// Where callers find it.
    pub service: Service,
    /// None for a single pod: it would only keep a node from being drained.
    pub budget: Option<PodDisruptionBudget>,
    /// Its pods.
    pub deployment: Deployment,
}

/// The gateway in front of this Collective's Deployments.
pub fn gateway(collective: &Collective, storage: &StorageStatus, site: &Site) -> Wanted {
    let part = Part {
        namespace: collective.namespace().unwrap_or_default(),
        collective: collective.name_any(),
        kind: "collective",
        name: collective.name_any(),
        component: "gateway",
        owner: owner(collective),
    };
    let name = gateway_name(collective);
    let replicas = collective.spec.gateway.replicas;
    Wanted {
        policies: network::policies(&part, storage, site),
        account: ServiceAccount {
            metadata: part.metadata(&name),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
        binding: binding(&part, &name),
        service: service(&part, &name),
        budget: (replicas > 1).then(|| part.disruption_budget(&name)),
        deployment: deployment(&part, &name, replicas, storage, site),
    }
}

fn binding(part: &Part, name: &str) -> RoleBinding {
    RoleBinding {
        metadata: part.metadata(name),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            name: names::CLUSTER_ROLE_GATEWAY.into(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: name.into(),
            namespace: Some(part.namespace.clone()),
            api_group: None,
        }]),
    }
}

fn service(part: &Part, name: &str) -> Service {
    let port = |name: &str, port: i32, target: i32| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::Int(target)),
        ..ServicePort::default()
    };
    Service {
        metadata: part.metadata(name),
        spec: Some(ServiceSpec {
            selector: Some(part.selector()),
            ports: Some(vec![port("http", 80, PORT), port("admin", ADMIN_PORT, ADMIN_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn deployment(part: &Part, name: &str, replicas: i32, storage: &StorageStatus, site: &Site) -> Deployment {
    let (wal, wal_mount) = scratch("wal", WAL);
    let (tmp, tmp_mount) = scratch("tmp", "/tmp");
    let container = Container {
        name: "gateway".into(),
        image: Some(site.operator_image.clone()),
        image_pull_policy: Some(site.pull_policy.clone()),
        command: Some(vec!["cooperator-gateway".into()]),
        env: Some(environment(part, storage, site)),
        ports: Some(vec![port("http", PORT), port("admin", ADMIN_PORT)]),
        startup_probe: Some(probe("/healthz", ADMIN_PORT, 1, 60)),
        liveness_probe: Some(probe("/healthz", ADMIN_PORT, 10, 3)),
        readiness_probe: Some(probe("/readyz", ADMIN_PORT, 2, 2)),
        resources: Some(resources("100m", "64Mi", "256Mi")),
        security_context: Some(secure_container()),
        volume_mounts: Some(vec![wal_mount, tmp_mount]),
        ..Container::default()
    };
    let pod = PodSpec {
        service_account_name: Some(name.into()),
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(secure_pod()),
        containers: vec![container],
        volumes: Some(vec![wal, tmp]),
        ..PodSpec::default()
    };
    Deployment {
        metadata: part.metadata(name),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector { match_labels: Some(part.selector()), ..LabelSelector::default() },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(part.labels()), ..ObjectMeta::default() }),
                spec: Some(pod),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort { name: Some(name.into()), container_port: number, ..ContainerPort::default() }
}

fn environment(part: &Part, storage: &StorageStatus, site: &Site) -> Vec<EnvVar> {
    let pod_name = EnvVar {
        name: "POD_NAME".into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { field_path: "metadata.name".into(), api_version: None }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut variables = vec![
        pod_name,
        variable("COOPERATOR_COLLECTIVE", &part.collective),
        variable("COOPERATOR_NAMESPACE", &part.namespace),
        variable("COOPERATOR_S3_ENDPOINT", &storage.endpoint),
        variable("COOPERATOR_S3_REGION", &storage.region),
        variable("COOPERATOR_S3_BUCKET", &storage.bucket),
    ];
    // The API server drops an empty value, and what differs would be applied for ever.
    variables.extend((!storage.prefix.is_empty()).then(|| variable("COOPERATOR_S3_PREFIX", &storage.prefix)));
    variables.extend(pods::environment(&storage.secret_name, site.otlp_endpoint.as_deref()));
    variables
}
