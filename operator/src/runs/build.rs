//! The objects of one attempt: a ConfigMap with the run file, a Secret with its token, a Job of one pod.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_contract::{env, run};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar,
    PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Secret, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::plan::{Plan, Site};
use super::secure::{secret_variable, secure_container, secure_pod};
use super::token::Token;

/// Key of the token in an attempt's Secret.
pub const TOKEN_KEY: &str = "token";
/// Label by which Kueue knows which queue admits a Job.
pub const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";

/// Key of the run file in its ConfigMap, and its file name.
pub const RUN_FILE: &str = "run.json";
/// Seconds between SIGTERM and SIGKILL: enough to write a checkpoint.
const GRACE_SECONDS: i64 = 120;

/// Labels of everything an attempt is made of.
pub fn labels(plan: &Plan, attempt: i32) -> BTreeMap<String, String> {
    [
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE, plan.collective.clone()),
        (names::LABEL_KIND, plan.owner.kind.to_owned()),
        (names::LABEL_NAME, plan.owner.name.clone()),
        (names::LABEL_ATTEMPT, attempt.to_string()),
        ("app.kubernetes.io/name", "cooperator-run".to_owned()),
        ("app.kubernetes.io/component", plan.program.word().to_owned()),
    ]
    .into_iter()
    .chain(plan.machine.iter().map(|machine| (names::LABEL_NODE_CLAIM, machine.claim.clone())))
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn metadata(plan: &Plan, attempt: i32) -> ObjectMeta {
    ObjectMeta {
        name: Some(plan.job(attempt)),
        namespace: Some(plan.owner.namespace.clone()),
        labels: Some(labels(plan, attempt)),
        owner_references: Some(vec![plan.owner.reference.clone()]),
        ..ObjectMeta::default()
    }
}

/// The Secret with an attempt's token.
pub fn secret(plan: &Plan, attempt: i32, token: &Token) -> Secret {
    Secret {
        metadata: metadata(plan, attempt),
        string_data: Some([(TOKEN_KEY.to_owned(), token.reveal().to_owned())].into()),
        type_: Some("Opaque".into()),
        immutable: Some(true),
        ..Secret::default()
    }
}

/// The ConfigMap with an attempt's run file.
///
/// # Errors
/// Only if the run file cannot be JSON.
pub fn config_map(plan: &Plan, attempt: i32, file: &run::RunFile) -> Result<ConfigMap, serde_json::Error> {
    Ok(ConfigMap {
        metadata: metadata(plan, attempt),
        data: Some([(RUN_FILE.to_owned(), serde_json::to_string_pretty(file)?)].into()),
        ..ConfigMap::default()
    })
}

/// The Job of an attempt: one pod, never restarted; attempts are ours.
pub fn job(plan: &Plan, site: &Site, attempt: i32) -> Job {
    let mut metadata = metadata(plan, attempt);
    if let (Some(queue), Some(labels)) = (&plan.queue, metadata.labels.as_mut()) {
        labels.insert(QUEUE_LABEL.into(), queue.clone());
    }
    Job {
        metadata,
        spec: Some(JobSpec {
            active_deadline_seconds: Some(plan.deadline_seconds),
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            ttl_seconds_after_finished: Some(plan.ttl_seconds),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(plan, attempt)), ..ObjectMeta::default() }),
                spec: Some(pod(plan, site, attempt)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

fn pod(plan: &Plan, site: &Site, attempt: i32) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        node_selector: Some(node_selector(plan)).filter(|labels| !labels.is_empty()),
        tolerations: Some(tolerations(plan)).filter(|taints| !taints.is_empty()),
        security_context: Some(secure_pod()),
        containers: vec![container(plan, site, attempt)],
        volumes: Some(volumes(plan, attempt)),
        ..PodSpec::default()
    }
}

/// The machine that was rented for it and no other. That a node is one is our word: no kubelet can set this label.
fn node_selector(plan: &Plan) -> BTreeMap<String, String> {
    let machine =
        plan.machine.iter().map(|machine| (names::LABEL_VERIFIED_CLAIM.to_owned(), machine.uid.clone()));
    plan.shape.node_selector.clone().into_iter().chain(machine).collect()
}

fn tolerations(plan: &Plan) -> Vec<Toleration> {
    let rented = plan.machine.iter().map(|_| Toleration {
        key: Some(names::TAINT_RENTED.into()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    });
    // Who stands in for the kubelet of a container may be away for a while: the container goes on.
    let away = ["node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"];
    let waits = plan.machine.iter().filter(|machine| machine.is_container).flat_map(|_| {
        away.map(|key| Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some("NoExecute".into()),
            ..Toleration::default()
        })
    });
    plan.shape.tolerations.iter().cloned().chain(rented).chain(waits).collect()
}

fn container(plan: &Plan, site: &Site, attempt: i32) -> Container {
    Container {
        name: plan.program.word().into(),
        image: Some(site.image(plan.program).to_owned()),
        image_pull_policy: Some(site.pull_policy.clone()),
        command: Some(plan.program.command()),
        env: Some(environment(plan, site, attempt)),
        resources: Some(plan.shape.resources.clone()),
        security_context: Some(secure_container()),
        termination_message_path: Some(run::OUTCOME_PATH.into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts(plan)),
        ..Container::default()
    }
}

fn environment(plan: &Plan, site: &Site, attempt: i32) -> Vec<EnvVar> {
    let mut variables = Vec::new();
    if plan.is_trusted() {
        let key = [env::ACCESS_KEY_ID, env::SECRET_ACCESS_KEY];
        variables.extend(key.map(|part| secret_variable(part, &plan.bucket.secret, part, false)));
    }
    if plan.program.reports() {
        variables.push(secret_variable(env::RUN_TOKEN, &plan.job(attempt), TOKEN_KEY, false));
    }
    if let Some(secret) = plan.source_secret.as_ref().filter(|_| plan.is_trusted()) {
        let source = [env::SOURCE_ACCESS_KEY_ID, env::SOURCE_SECRET_ACCESS_KEY, env::SOURCE_TOKEN];
        variables.extend(source.map(|key| secret_variable(key, secret, key, true)));
    }
    // The collector is inside the cluster, where a rented machine does not reach.
    if let Some(endpoint) = site.otlp_endpoint.as_ref().filter(|_| plan.is_trusted()) {
        variables.push(EnvVar {
            name: "OTEL_EXPORTER_OTLP_ENDPOINT".into(),
            value: Some(endpoint.clone()),
            ..EnvVar::default()
        });
    }
    variables
}

/// What a machine that is not trusted does not see.
fn claims(plan: &Plan) -> impl Iterator<Item = &String> {
    plan.claims.iter().filter(|_| plan.is_trusted())
}

fn mounts(plan: &Plan) -> Vec<VolumeMount> {
    let folder = run::PATH.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let mount = |name: String, path: String, read_only: bool| VolumeMount {
        name,
        mount_path: path,
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let claims = claims(plan).enumerate();
    [mount("run".into(), folder.into(), true), mount("tmp".into(), "/tmp".into(), false)]
        .into_iter()
        .chain(
            claims.map(|(index, claim)| mount(format!("claim-{index}"), format!("/mnt/pvc/{claim}"), true)),
        )
        .collect()
}

fn volumes(plan: &Plan, attempt: i32) -> Vec<Volume> {
    let claims = claims(plan).enumerate().map(|(index, claim)| Volume {
        name: format!("claim-{index}"),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.clone(),
            read_only: Some(true),
        }),
        ..Volume::default()
    });
    let run = Volume {
        name: "run".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: plan.job(attempt),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    let tmp =
        Volume { name: "tmp".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    [run, tmp].into_iter().chain(claims).collect()
}
