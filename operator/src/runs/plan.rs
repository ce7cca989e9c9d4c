//! What a run is made of, as its kind's `build` decides; nothing here knows the cluster's state.

use std::collections::{BTreeMap, BTreeSet};

use cooperator_contract::preflight::Floors;
use cooperator_contract::run::{BrokerAccess, RunFile, RunId, StorageLocation, Task, VERSION};
use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::failure::Failure;

/// Settings of the installation that every run needs.
#[derive(Clone, Debug)]
pub struct Site {
    /// Image with `cooperator-trainer`.
    pub trainer_image: String,
    /// Image with `cooperator-settle` and `cooperator-gateway`.
    pub operator_image: String,
    /// When nodes pull either: Always, IfNotPresent or Never.
    pub pull_policy: String,
    /// Base URL of the operator's progress endpoint; none: runs report nowhere.
    pub progress_url: Option<String>,
    /// The same as rented machines reach it; none: as all others do.
    pub rented_progress_url: Option<String>,
    /// Whether machines can be rented: whether the operator has the rights to.
    pub rents: bool,
    /// OTLP endpoint that runs export their spans to.
    pub otlp_endpoint: Option<String>,
}

impl Site {
    /// Base URL at which runs outside of the cluster reach the operator.
    pub fn outside_url(&self) -> Option<&str> {
        self.rented_progress_url.as_deref().or(self.progress_url.as_deref())
    }

    /// The image that holds a program.
    pub fn image(&self, program: Program) -> &str {
        match program {
            Program::Settle => &self.operator_image,
            Program::Import | Program::Ingest | Program::Train => &self.trainer_image,
        }
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `cooperator-trainer import`.
    Import,
    /// `cooperator-trainer ingest`.
    Ingest,
    /// `cooperator-trainer train`.
    Train,
    /// `cooperator-settle`.
    Settle,
}

impl Program {
    /// Label value and word in names.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Ingest => "ingest",
            Self::Train => "train",
            Self::Settle => "settle",
        }
    }

    /// Whether it reports progress, and so needs a token.
    pub const fn reports(self) -> bool {
        !matches!(self, Self::Settle)
    }

    /// The container's command and arguments.
    pub fn command(self) -> Vec<String> {
        let binary = match self {
            Self::Settle => vec!["cooperator-settle"],
            Self::Import | Self::Ingest | Self::Train => vec!["cooperator-trainer", self.word()],
        };
        let file = ["--run-file", cooperator_contract::run::PATH];
        binary.into_iter().chain(file).map(str::to_owned).collect()
    }
}

/// Whose run it is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Lowercase kind, for labels.
    pub kind: &'static str,
    /// Plural of the kind, for the progress URL.
    pub plural: &'static str,
    /// Makes everything of the run go with the object.
    pub reference: OwnerReference,
}

/// What a pod may use, and where it may go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// Labels of nodes.
    pub node_selector: BTreeMap<String, String>,
    /// Taints.
    pub tolerations: Vec<Toleration>,
}

/// A rented machine that a run has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its NodeClaim.
    pub claim: String,
    /// `metadata.uid` of that: what its node is marked with.
    pub uid: String,
    /// Whether it is a container alone, whose node is a virtual one.
    pub is_container: bool,
    /// What it must be able to do; none: that is not judged.
    pub floors: Option<Floors>,
}

/// Where a Collective's objects lie, and the Secret with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Bucket and prefix.
    pub location: StorageLocation,
    /// Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
    pub secret: String,
}

/// How a run gets at the Collective's storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageAccess {
    /// By the bucket's key, in its environment.
    #[default]
    Key,
    /// By URLs that the operator's broker grants: on a machine that is not trusted with a key. Only a training can, and
    /// only where the installation has a URL at which runs reach the operator ([`Site::progress_url`]).
    Brokered,
}

/// A run, whichever attempt.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose.
    pub owner: Owner,
    /// The Collective it works for.
    pub collective: String,
    /// What runs.
    pub program: Program,
    /// Job name without the attempt, at most 56 characters.
    pub job_prefix: String,
    /// The Collective's storage.
    pub bucket: Bucket,
    /// How the run gets at it. One that is brokered gets no Secret but its run token, and no volume claims.
    pub storage: StorageAccess,
    /// What to do.
    pub task: Task,
    /// Secret with `SOURCE_*` credentials.
    pub source_secret: Option<String>,
    /// PersistentVolumeClaims to mount read-only at `/mnt/pvc/<claim>`.
    pub claims: BTreeSet<String>,
    /// Resources and placement.
    pub shape: Shape,
    /// The rented machine it runs on; none: any node of the cluster.
    pub machine: Option<Machine>,
    /// Why the attempt under way cannot go on where it is; none: it can.
    pub leave: Option<Failure>,
    /// Seconds an attempt may take.
    pub deadline_seconds: i64,
    /// Seconds a finished Job stays.
    pub ttl_seconds: i32,
    /// Queue that Kueue admits it from, where the object names one.
    pub queue: Option<String>,
}

impl Plan {
    /// Name of an attempt's Job, Secret and ConfigMap.
    pub fn job(&self, attempt: i32) -> String {
        format!("{}-{attempt}", self.job_prefix)
    }

    /// Whether the machine may have what the Collective's other pods have.
    pub fn is_trusted(&self) -> bool {
        self.storage == StorageAccess::Key
    }

    /// The run file of an attempt. Runs that report, or ask for storage, get the URLs of their own object.
    pub fn run_file(&self, site: &Site, attempt: i32, traceparent: Option<String>) -> RunFile {
        let Owner { namespace, name, uid, plural, .. } = &self.owner;
        let base = if self.is_trusted() { site.progress_url.as_deref() } else { site.outside_url() };
        let base = base.map(|base| base.trim_end_matches('/'));
        let url = |what: &str| {
            Some(format!("{}/v1/namespaces/{namespace}/{plural}/{name}/runs/{uid}/{what}", base?))
        };
        let storage_broker = url("storage").filter(|_| !self.is_trusted()).map(|url| BrokerAccess { url });
        RunFile {
            version: VERSION,
            run: RunId {
                namespace: namespace.clone(),
                name: name.clone(),
                uid: uid.clone(),
                attempt: u32::try_from(attempt).unwrap_or_default(),
            },
            storage: self.bucket.location.clone(),
            storage_broker,
            progress_url: url("progress").filter(|_| self.program.reports()),
            preflight: self.machine.as_ref().and_then(|machine| machine.floors),
            traceparent,
            outcome_path: cooperator_contract::run::OUTCOME_PATH.into(),
            task: self.task.clone(),
        }
    }
}

/// The claim of a `pvc://claim/path` URI.
pub fn claim_of(storage_uri: &str) -> Option<String> {
    let claim = storage_uri.strip_prefix("pvc://")?.split('/').next()?;
    (!claim.is_empty()).then(|| claim.to_owned())
}

/// Eight hexadecimal digits of a digest: enough to tell the runs of one object apart.
pub fn short(digest: &cooperator_core::digest::Digest) -> String {
    digest.hex().chars().take(8).collect()
}
