//! `BaseModel`: an open model to start from.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{Attempt, Conditions, LocalRef, Modality, Progress, Source};
use crate::rule;

/// An open model to start from. Its licence is checked against the Collective's policy, then it is imported once into
/// content-addressed storage (GGUF is dequantised to safetensors).
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "BaseModel",
    plural = "basemodels",
    shortname = "base",
    category = "coop",
    namespaced,
    status = "BaseModelStatus",
    derive = "PartialEq",
    cel,
    doc = "An open model to start from.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must be at most 40 characters: Job names are built from it"),
    printcolumn(name = "Architecture", type_ = "string", json_path = ".status.architecture"),
    printcolumn(name = "Parameters", type_ = "integer", json_path = ".status.parameters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "License", type_ = "string", json_path = ".spec.license", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef && self.source == oldSelf.source && self.modality == oldSelf.modality").message("collectiveRef, modality and source are immutable: make another BaseModel").reason(Reason::FieldValueForbidden))]
pub struct BaseModelSpec {
    /// The Collective that uses it. Immutable.
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// Text, Image or Audio. Default: Text. Immutable.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 'Text'").message("modality must be Text: Image and Audio are not supported yet"))]
    pub modality: Modality,
    /// A folder in Hugging Face layout (config.json, tokenizer.json, safetensors) or one `.gguf` file. Immutable.
    pub source: Source,
    /// SPDX expression it is under. 1 to 128 characters.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = rule::license())]
    pub license: String,
}

/// What the import found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BaseModelStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, LicenseAllowed, Imported.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Digest of the manifest in object storage; everything that uses the model names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Architecture: `llama`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Number of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<i64>,
    /// Bytes of all its files: what each machine downloads that trains or serves it. None for one that was imported before
    /// they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// How far the import is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Attempts of the import, the newest last, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub attempts: Vec<Attempt>,
}
