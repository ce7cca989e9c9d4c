//! What an adapter is measured by.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule;

/// Samples and gates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationSpec {
    /// Prompts that base and adapted model complete for the model card. At most 16, each at most 2048 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    #[x_kube(validation = rule::lines())]
    pub prompts: Vec<String>,
    /// Most held-out tokens to look at, 0 to 1000000000; 0 takes all. Default: 16384.
    #[serde(default = "default_evaluation_tokens")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_tokens: i64,
    /// Bounds that the adapter must keep to become Ready. An adapter that fails one is kept. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub gates: Vec<Gate>,
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self { prompts: Vec::new(), max_tokens: default_evaluation_tokens(), gates: Vec::new() }
    }
}

fn default_evaluation_tokens() -> i64 {
    16_384
}

/// A bound that an evaluation must keep.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.metric == 'HeldOutLossDrop' || !self.value.startsWith('-')").message("value must be 0 or more: only HeldOutLossDrop can be below"))]
pub struct Gate {
    /// HeldOutLoss, HeldOutLossDrop (base less adapted), both in nats a token, or HeldOutPerplexity.
    pub metric: Metric,
    /// GreaterThanOrEqual or LessThanOrEqual.
    pub operator: GateOperator,
    /// Decimal string, below 0 for HeldOutLossDrop only.
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^-?[0-9]+(\.[0-9]+)?$')").message("must be a decimal string such as `0.10`"))]
    pub value: String,
}

/// What a gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Metric {
    /// Loss of the adapted model.
    HeldOutLoss,
    /// Loss of the base model less that of the adapted model.
    HeldOutLossDrop,
    /// exp(HeldOutLoss).
    HeldOutPerplexity,
}

/// How a gate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum GateOperator {
    /// At least.
    GreaterThanOrEqual,
    /// At most.
    LessThanOrEqual,
}
