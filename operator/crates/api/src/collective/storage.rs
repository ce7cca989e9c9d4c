//! Where a Collective's objects lie.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::LocalRef;
use crate::rule;

/// Object storage that speaks S3.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("storage is immutable: digests in status point into it; make a new Collective").reason(Reason::FieldValueForbidden))]
pub struct Storage {
    /// Bucket, 3 to 63 characters. It must exist.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = rule::bucket())]
    pub bucket: String,
    /// Key prefix, empty or ending in `/`, at most 256 letters, digits, `!`, `_`, `.`, `*`, `(`, `)` and `-`. Default:
    /// empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9!_*()-][A-Za-z0-9!_.*()-]*/)*$')").message("must be empty or parts that each end in `/`, of letters, digits, `!`, `_`, `.`, `*`, `(`, `)` and `-`, none of them beginning with `.`, such as `models/ours/`"))]
    pub prefix: String,
    /// URL of the S3 endpoint; addressed path-style.
    #[schemars(length(min = 8, max = 256))]
    #[x_kube(validation = rule::endpoint())]
    pub endpoint: String,
    /// Region to sign for. Default: us-east-1.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-_A-Za-z0-9]*[A-Za-z0-9])?$')").message("must be letters, digits, `-` and `_`, such as `us-east-1`"))]
    pub region: String,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub secret_ref: LocalRef,
}

fn default_region() -> String {
    "us-east-1".into()
}
