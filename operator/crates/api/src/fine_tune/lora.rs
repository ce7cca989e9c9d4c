//! What is trained: a LoRA adapter.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// LoRA parameters, PEFT's names.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lora {
    /// r, 1 to 256. Default: 8.
    #[serde(default = "default_rank")]
    #[schemars(range(min = 1, max = 256))]
    pub rank: i32,
    /// alpha, 1 to 1024; the update is scaled by alpha / rank. Default: 16.
    #[serde(default = "default_alpha")]
    #[schemars(range(min = 1, max = 1024))]
    pub alpha: i32,
    /// Dropout before the adapter, decimal string from 0.0 up to 0.9. Default: 0.0.
    #[serde(default = "zero")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^0(\.([0-8][0-9]*|90*))?$')").message("must be a decimal string from 0.0 to 0.9, such as `0.05`"))]
    pub dropout: String,
    /// Linear layers that get an adapter, each once. 1 to 7. Default: all of them.
    #[serde(default = "default_targets")]
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub target_modules: Vec<TargetModule>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: default_rank(),
            alpha: default_alpha(),
            dropout: zero(),
            target_modules: default_targets(),
        }
    }
}

fn default_rank() -> i32 {
    8
}

fn default_alpha() -> i32 {
    16
}

fn zero() -> String {
    "0.0".into()
}

fn default_targets() -> Vec<TargetModule> {
    use TargetModule::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
    vec![QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj]
}

/// A linear layer of a Llama block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetModule {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// Attention output.
    OProj,
    /// MLP gate.
    GateProj,
    /// MLP up.
    UpProj,
    /// MLP down.
    DownProj,
}

impl TargetModule {
    /// The layer's name in weights and PEFT configs.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }
}
