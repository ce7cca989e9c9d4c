//! What the pods that answer calls (gateways, servers) have in common.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_contract::env;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, EnvVar, HTTPGetAction, Probe, Volume, VolumeMount};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::runs::secret_variable;

/// What an object is made for.
#[derive(Clone, Debug)]
pub struct Part {
    /// Namespace.
    pub namespace: String,
    /// The Collective.
    pub collective: String,
    /// Lowercase kind of the owner.
    pub kind: &'static str,
    /// Name of the owner.
    pub name: String,
    /// `gateway`, `server` or `run`.
    pub component: &'static str,
    /// Makes it go with its owner.
    pub owner: OwnerReference,
}

impl Part {
    /// Labels that select its pods.
    pub fn selector(&self) -> BTreeMap<String, String> {
        texts(&[
            ("app.kubernetes.io/name", format!("cooperator-{}", self.component)),
            (names::LABEL_KIND, self.kind.to_owned()),
            (names::LABEL_NAME, self.name.clone()),
        ])
    }

    /// All labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.extend(texts(&[
            (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
            (names::LABEL_COLLECTIVE, self.collective.clone()),
            ("app.kubernetes.io/component", self.component.to_owned()),
        ]));
        labels
    }

    /// Metadata of an object of this name.
    pub fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    /// At most one pod away at a time.
    pub fn disruption_budget(&self, name: &str) -> PodDisruptionBudget {
        PodDisruptionBudget {
            metadata: self.metadata(name),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(LabelSelector {
                    match_labels: Some(self.selector()),
                    ..LabelSelector::default()
                }),
                ..PodDisruptionBudgetSpec::default()
            }),
            ..PodDisruptionBudget::default()
        }
    }
}

/// Pairs as a map.
pub fn texts(pairs: &[(&str, String)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// A variable with a value.
pub fn variable(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.into(), value: Some(value.into()), ..EnvVar::default() }
}

/// The key of the Collective's bucket, and the OTLP endpoint where there is one.
pub fn environment(secret: &str, otlp_endpoint: Option<&str>) -> Vec<EnvVar> {
    let from = |name: &str| secret_variable(name, secret, name, false);
    let mut variables = vec![from(env::ACCESS_KEY_ID), from(env::SECRET_ACCESS_KEY)];
    variables.extend(otlp_endpoint.map(|endpoint| variable(cooperator_telemetry::OTLP_ENDPOINT, endpoint)));
    variables
}

/// A probe of a path, every `period` seconds, that fails after `failures`.
pub fn probe(path: &str, port: i32, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// A folder that lives as long as the pod, and where it is mounted.
pub fn scratch(name: &str, path: &str) -> (Volume, VolumeMount) {
    let volume =
        Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    (volume, VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() })
}
