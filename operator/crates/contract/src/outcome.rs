//! How a run ended, in the pod's termination message (at most 4096 bytes, kept by the kubelet even when object
//! storage is down).

use cooperator_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// Largest termination message a kubelet keeps, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Exit code of a run that failed in a way another attempt may cure.
pub const EXIT_RETRY: u8 = 1;
/// Exit code of a run that would fail again with the same inputs.
pub const EXIT_FINAL: u8 = 2;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// The run made what it was asked for.
    #[serde(rename_all = "camelCase")]
    Succeeded {
        /// Digest of the result: model, dataset or adapter manifest, or statement.
        digest: Digest,
        /// Key of a JSON object with the details, below the Collective's prefix.
        key: String,
    },
    /// The run gave up.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// Why, as a condition reason.
        reason: FailureReason,
        /// One line: what, where, the bound and the way out. No secret.
        message: String,
    },
}

/// Why a run failed; becomes a condition reason as it is written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureReason {
    /// The source does not exist.
    SourceNotFound,
    /// The source may not be read with the credentials given.
    SourceForbidden,
    /// The source exists but is not what it must be (text, JSONL, safetensors, GGUF).
    SourceUnreadable,
    /// The bytes read have another digest than was asked for.
    DigestMismatch,
    /// An architecture, tensor type or shape that no code here handles.
    UnsupportedModel,
    /// Nothing was left to train on after cleaning and de-duplication.
    NoRecords,
    /// Object storage did not answer or refused.
    StorageUnavailable,
    /// The memory limit is less than the run must hold; found before anything was fetched.
    InsufficientMemory,
    /// The machine is not fit for the run (too little disk, or slower than its floors); found before anything was fetched.
    PreflightFailed,
    /// The loss became NaN or infinite; the last good checkpoint is kept.
    LossNotFinite,
    /// A newer attempt has written: this one may not publish.
    Fenced,
    /// SIGTERM: a checkpoint was written, the next attempt goes on from it.
    Interrupted,
    /// The usage log has a gap or a broken hash chain.
    UsageLogBroken,
    /// The run file cannot be read or breaks its contract.
    InvalidRunFile,
    /// A fault of ours.
    Internal,
}

impl FailureReason {
    /// Whether the same run may succeed when tried again.
    pub fn retriable(self) -> bool {
        matches!(self, Self::StorageUnavailable | Self::PreflightFailed | Self::Interrupted | Self::Internal)
    }

    /// The exit code that tells it.
    pub fn exit_code(self) -> u8 {
        if self.retriable() { EXIT_RETRY } else { EXIT_FINAL }
    }
}

impl Outcome {
    /// JSON of at most [`MAX_BYTES`]: a longer message is cut at a character boundary.
    pub fn to_termination_message(&self) -> String {
        let render = |outcome: &Self| serde_json::to_string(outcome).unwrap_or_default();
        let mut outcome = self.clone();
        let mut text = render(&outcome);
        while text.len() > MAX_BYTES {
            let excess = text.len() - MAX_BYTES;
            let Self::Failed { message, .. } = &mut outcome else { break };
            let mut end = message.len().saturating_sub(excess.max(1));
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            text = render(&outcome);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_to_what_a_kubelet_keeps_and_still_parses() {
        let outcome =
            Outcome::Failed { reason: FailureReason::SourceUnreadable, message: "ü\"".repeat(4000) };
        let text = outcome.to_termination_message();
        assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
        let back: Outcome = serde_json::from_str(&text).unwrap();
        assert!(matches!(back, Outcome::Failed { reason: FailureReason::SourceUnreadable, .. }));
    }

    #[test]
    fn only_what_another_attempt_may_cure_exits_with_the_retry_code() {
        assert_eq!(FailureReason::StorageUnavailable.exit_code(), EXIT_RETRY);
        assert_eq!(FailureReason::DigestMismatch.exit_code(), EXIT_FINAL);
    }
}
