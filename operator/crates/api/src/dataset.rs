//! `Dataset`: an immutable, content-addressed selection of contributions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Attempt, Conditions, LocalRef, Modality, Progress};
use crate::{pod, rule};

/// A selection of Contributions and how they are prepared. Every build is an immutable version with a digest.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "cooperator.dev",
    version = "v1alpha1",
    kind = "Dataset",
    shortname = "dset",
    category = "coop",
    namespaced,
    status = "DatasetStatus",
    derive = "PartialEq",
    cel,
    doc = "A content-addressed build of selected contributions.",
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name must be at most 40 characters: Job names are built from it"),
    printcolumn(name = "Records", type_ = "integer", json_path = ".status.records"),
    printcolumn(name = "Tokens", type_ = "integer", json_path = ".status.tokens"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.collectiveRef == oldSelf.collectiveRef && self.modality == oldSelf.modality").message("collectiveRef and modality are immutable: make another Dataset").reason(Reason::FieldValueForbidden))]
pub struct DatasetSpec {
    /// The Collective it belongs to. Immutable.
    #[x_kube(validation = rule::to_collective())]
    pub collective_ref: LocalRef,
    /// Text, Image or Audio. Default: Text. Immutable.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 'Text'").message("modality must be Text: Image and Audio are not supported yet"))]
    pub modality: Modality,
    /// Labels of the Contributions to take. An empty selector takes all of the Collective's.
    #[schemars(schema_with = "pod::label_selector")]
    pub selector: LabelSelector,
    /// The base model whose tokenizer counts.
    #[x_kube(validation = rule::to_short_name())]
    pub base_model_ref: LocalRef,
    /// How text is read and cut.
    #[serde(default)]
    pub text: TextOptions,
    /// Exact: a record that an earlier contribution (by name) has is dropped. None: kept. Default: Exact.
    #[serde(default)]
    pub deduplicate: Deduplicate,
    /// What is held out for evaluation.
    #[serde(default)]
    pub holdout: Holdout,
    /// OnChange: a new version whenever what it selects changes. Manual: only for a new spec. Default: OnChange.
    #[serde(default)]
    pub refresh: Refresh,
}

/// How text becomes records.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextOptions {
    /// Auto: `.jsonl` and `.ndjson` are rows, the rest plain text. Default: Auto.
    #[serde(default)]
    pub format: TextFormat,
    /// Field of a row that holds the text. 1 to 64 characters. Default: text.
    #[serde(default = "default_text_field")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = rule::text())]
    pub text_field: String,
    /// Most tokens in a record, 16 to 32768. Longer texts are cut at paragraphs, sentences, then words. Default: 512.
    #[serde(default = "default_record_tokens")]
    #[schemars(range(min = 16, max = 32768))]
    pub record_tokens: i32,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            format: TextFormat::Auto,
            text_field: default_text_field(),
            record_tokens: default_record_tokens(),
        }
    }
}

fn default_text_field() -> String {
    "text".into()
}

fn default_record_tokens() -> i32 {
    512
}

/// Format of text files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TextFormat {
    /// By file name.
    #[default]
    Auto,
    /// One JSON object a line.
    JsonLines,
    /// UTF-8 text.
    Plain,
}

/// What becomes of equal records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Deduplicate {
    /// They stay.
    None,
    /// The first by contribution name stays.
    #[default]
    Exact,
}

/// What is held out.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holdout {
    /// 1/10000 of the records, chosen by content hash, 0 to 5000. Default: 500.
    #[serde(default = "default_holdout")]
    #[schemars(range(min = 0, max = 5000))]
    pub basis_points: i32,
}

impl Default for Holdout {
    fn default() -> Self {
        Self { basis_points: default_holdout() }
    }
}

fn default_holdout() -> i32 {
    500
}

/// When a new version is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Refresh {
    /// Whenever what is selected changes.
    #[default]
    OnChange,
    /// Only for a new spec.
    Manual,
}

/// The newest version and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatasetStatus {
    /// Generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, SourcesRead, ConsentGiven.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Conditions,
    /// Digest of the newest version's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the inputs the newest version was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<String>,
    /// Digest of the inputs of the build under way or last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// Records to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Tokens to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<i64>,
    /// Every selected contribution: taken or refused, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub contributions: Vec<ContributionState>,
    /// What each member gave, through the split sheets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub members: Vec<MemberTokens>,
    /// How far the build is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Attempts of the newest build, the newest last, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    pub attempts: Vec<Attempt>,
}

/// What became of a contribution.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContributionState {
    /// Name of the Contribution.
    pub name: String,
    /// Who gave it.
    pub member: String,
    /// Accepted or Refused.
    pub state: Decision,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Records to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
    /// Tokens to train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<i64>,
    /// Records dropped as duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<i64>,
}

/// Taken or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Decision {
    /// Taken.
    #[default]
    Accepted,
    /// Left out.
    Refused,
}

/// What a member gave.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberTokens {
    /// Member name.
    pub name: String,
    /// Tokens credited.
    pub tokens: i64,
    /// 1/10000 of all tokens.
    pub basis_points: i32,
}
