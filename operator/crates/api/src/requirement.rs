//! What a machine must be, in Karpenter's words: a key, an operator, values.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The keys that a requirement may have. A rented node carries them as labels, but for the host and the reliability.
pub mod key {
    /// Name of the Provider that rents it out.
    pub const PROVIDER: &str = "cooperator.dev/provider";
    /// That Provider's `spec.type`.
    pub const PROVIDER_TYPE: &str = "cooperator.dev/provider-type";
    /// `spot` or `on-demand`.
    pub const CAPACITY_TYPE: &str = "cooperator.dev/capacity-type";
    /// `machine` or `container`.
    pub const SHAPE: &str = "cooperator.dev/shape";
    /// The vendor's word for where it is.
    pub const REGION: &str = "topology.kubernetes.io/region";
    /// Model of its GPUs: `rtx-4090`.
    pub const GPU_MODEL: &str = "cooperator.dev/gpu-model";
    /// Number of its GPUs.
    pub const GPU_COUNT: &str = "cooperator.dev/gpu-count";
    /// Memory of each GPU, in MiB.
    pub const GPU_MEMORY: &str = "cooperator.dev/gpu-memory";
    /// Whole CPUs.
    pub const CPU: &str = "cooperator.dev/cpu";
    /// Memory, in MiB.
    pub const MEMORY: &str = "cooperator.dev/memory";
    /// Disk, in GiB.
    pub const DISK: &str = "cooperator.dev/disk";
    /// How often it kept its word, in basis points.
    pub const RELIABILITY: &str = "cooperator.dev/reliability";
    /// The vendor's name for the machine that stays the same whoever rents it.
    pub const HOST: &str = "cooperator.dev/host";

    /// Keys whose values are texts.
    pub const TEXTS: [&str; 7] = [PROVIDER, PROVIDER_TYPE, CAPACITY_TYPE, SHAPE, REGION, GPU_MODEL, HOST];
    /// Keys whose values are whole numbers of 0 or more.
    pub const NUMBERS: [&str; 6] = [GPU_COUNT, GPU_MEMORY, CPU, MEMORY, DISK, RELIABILITY];
}

/// A condition that a machine must meet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = rules::values(), validation = rules::compared(), validation = rules::numbers(), validation = rules::words())]
pub struct Requirement {
    /// What is looked at: one of cooperator.dev/provider, provider-type, capacity-type, shape, gpu-model, gpu-count,
    /// gpu-memory (MiB each), cpu, memory (MiB), disk (GiB), reliability (1/10000) and host, or
    /// topology.kubernetes.io/region.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::key())]
    pub key: String,
    /// In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte. NotIn and DoesNotExist are met by what is not known.
    pub operator: RequirementOperator,
    /// With In and NotIn 1 to 64 of at most 63 characters each; with Gt, Lt, Gte and Lte one whole number; else none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = rules::value())]
    pub values: Vec<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum RequirementOperator {
    /// One of the values.
    In,
    /// None of the values.
    NotIn,
    /// Known, whatever it is.
    Exists,
    /// Not known.
    DoesNotExist,
    /// Greater than the value.
    Gt,
    /// Less than the value.
    Lt,
    /// Greater than the value or equal to it.
    Gte,
    /// Less than the value or equal to it.
    Lte,
}

/// The rules of a requirement.
mod rules {
    use kube::core::Rule;

    use super::key::{CAPACITY_TYPE, NUMBERS, PROVIDER_TYPE, SHAPE, TEXTS};
    use crate::provider::ProviderType;

    /// A list of CEL.
    fn list(texts: &[&str]) -> String {
        let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
        format!("[{}]", quoted.join(", "))
    }

    pub fn key() -> Rule {
        let known = [&TEXTS[..], &NUMBERS[..]].concat();
        Rule::new(format!("self in {}", list(&known)))
            .message(format!("must be one of {}", known.join(", ")).as_str())
    }

    pub fn value() -> Rule {
        Rule::new("self.all(one, one.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))").message(
            "must be values of labels: letters, digits, `-`, `_` or `.`, beginning and ending with a letter or digit",
        )
    }

    /// How many values an operator has.
    pub fn values() -> Rule {
        Rule::new(
            "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : \
             self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0 : \
             has(self.values) && size(self.values) == 1",
        )
        .message("values must be at least one with operator In or NotIn, one with Gt, Lt, Gte or Lte, and none with Exists or DoesNotExist")
    }

    /// Only numbers are greater or less.
    pub fn compared() -> Rule {
        Rule::new(format!("!(self.operator in ['Gt', 'Lt', 'Gte', 'Lte']) || self.key in {}", list(&NUMBERS)))
            .message(
                format!("operator must be In, NotIn, Exists or DoesNotExist but for {}", NUMBERS.join(", "))
                    .as_str(),
            )
    }

    /// A number is written in one way.
    pub fn numbers() -> Rule {
        Rule::new(format!(
            "!(self.key in {}) || !has(self.values) || self.values.all(one, one.matches('^(0|[1-9][0-9]{{0,9}})$'))",
            list(&NUMBERS)
        ))
        .message("values of this key must be whole numbers from 0 to 9999999999, such as `24576`")
    }

    /// Words that are not there would never be met.
    pub fn words() -> Rule {
        let known = [
            (PROVIDER_TYPE, list(&ProviderType::ALL.map(ProviderType::name))),
            (CAPACITY_TYPE, list(&["spot", "on-demand"])),
            (SHAPE, list(&["machine", "container"])),
        ];
        let rules: Vec<String> = known
            .iter()
            .map(|(key, words)| {
                format!("(self.key != '{key}' || !has(self.values) || self.values.all(one, one in {words}))")
            })
            .collect();
        Rule::new(rules.join(" && ")).message(
            "values must be spot or on-demand of a capacity-type, machine or container of a shape, and a Provider's spec.type of a provider-type",
        )
    }
}
