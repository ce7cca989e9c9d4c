//! The custom resources of `cooperator.dev/v1alpha1`: types, CEL rules, printer columns. No client.
//!
//! A field's `///` is its description in `kubectl explain`: meaning, unit, bounds, default. A rule that CEL can state is
//! CEL, so that the API server refuses a bad object at apply time, with the operator down as well. `crds/` is
//! generated from here by `cargo xtask codegen`.

// Columns of a kind share types and paths; clippy takes their equal fields for one attribute given twice.
#![allow(clippy::duplicated_attributes)]

pub mod api_key;
pub mod base_model;
pub mod collective;
pub mod common;
pub mod contribution;
pub mod dataset;
pub mod deployment;
pub mod fine_tune;
pub mod names;
pub mod node_claim;
pub mod node_pool;
pub mod preflight;
pub mod provider;
pub mod requirement;
pub mod settlement;

mod pod;
mod rule;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// API group of every kind.
pub const GROUP: &str = "cooperator.dev";

/// Every CustomResourceDefinition, sorted by name: what `crds/` and the CRD chart hold.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        api_key::ApiKey::crd(),
        base_model::BaseModel::crd(),
        collective::Collective::crd(),
        contribution::Contribution::crd(),
        dataset::Dataset::crd(),
        deployment::Deployment::crd(),
        fine_tune::FineTune::crd(),
        node_claim::NodeClaim::crd(),
        node_pool::NodePool::crd(),
        provider::Provider::crd(),
        settlement::Settlement::crd(),
    ];
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}

#[cfg(test)]
mod tests;
