//! Why an attempt ended without a result.

use std::fmt;

use cooperator_contract::outcome::FailureReason;

/// Why an attempt ended. Its name is the condition reason and is kept in `status.attempts[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The run itself says so.
    Run(FailureReason),
    /// The kernel killed it at its memory limit.
    OutOfMemory,
    /// `activeDeadlineSeconds` ran out.
    DeadlineExceeded,
    /// The node pushed the pod out, or a pod of higher priority took its place.
    Evicted,
    /// The node vanished with the pod.
    NodeLost,
    /// The rented machine it ran on was taken away, or had to be given back.
    Preempted,
    /// `spec.suspend` stopped it.
    Suspended,
    /// Its pod ran and reported no progress for too long.
    Stalled,
    /// It ended without telling an outcome.
    Crashed,
    /// It says it succeeded, but what it names is not in object storage or differs.
    ResultUnreadable,
}

/// What the next attempt owes to an ended one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt would end the same way.
    Never,
    /// Another attempt may do better: it counts against the limit.
    Counted,
    /// Somebody must do something outside first (put the source there): it is looked at again, ever more seldom.
    Slow,
    /// The run was not at fault: another attempt is free.
    Free,
}

impl FailureKind {
    /// Whether, and at whose expense, it is tried again.
    pub fn retry(self) -> Retry {
        match self {
            Self::Run(FailureReason::Interrupted)
            | Self::Evicted
            | Self::NodeLost
            | Self::Preempted
            | Self::Suspended => Retry::Free,
            Self::Run(FailureReason::SourceNotFound | FailureReason::SourceForbidden) => Retry::Slow,
            Self::Run(reason) if reason.retriable() => Retry::Counted,
            Self::Stalled | Self::Crashed | Self::ResultUnreadable => Retry::Counted,
            Self::Run(_) | Self::OutOfMemory | Self::DeadlineExceeded => Retry::Never,
        }
    }

    /// The kind whose [`fmt::Display`] this is; text of another version of this program counts as a crash.
    pub fn parse(text: &str) -> Self {
        let own = [
            Self::OutOfMemory,
            Self::DeadlineExceeded,
            Self::Evicted,
            Self::NodeLost,
            Self::Preempted,
            Self::Suspended,
            Self::Stalled,
            Self::ResultUnreadable,
        ];
        own.into_iter().find(|kind| kind.to_string() == text).unwrap_or_else(|| {
            serde_json::from_value(serde_json::Value::from(text)).map_or(Self::Crashed, Self::Run)
        })
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(reason) => write!(f, "{reason:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// An attempt that ended without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// One line: what, where, the bound and the way out.
    pub message: String,
}

impl Failure {
    /// A failure with the message of its kind's maker.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_written_to_status_is_read_back() {
        for kind in [
            FailureKind::Run(FailureReason::LossNotFinite),
            FailureKind::Run(FailureReason::Interrupted),
            FailureKind::OutOfMemory,
            FailureKind::DeadlineExceeded,
            FailureKind::Evicted,
            FailureKind::NodeLost,
            FailureKind::Preempted,
            FailureKind::Suspended,
            FailureKind::Stalled,
            FailureKind::Crashed,
            FailureKind::ResultUnreadable,
        ] {
            assert_eq!(FailureKind::parse(&kind.to_string()), kind);
        }
        assert_eq!(FailureKind::parse("FromAnotherVersion"), FailureKind::Crashed);
    }

    #[test]
    fn what_was_not_the_runs_fault_is_tried_again_for_free() {
        assert_eq!(FailureKind::Evicted.retry(), Retry::Free);
        assert_eq!(FailureKind::Run(FailureReason::Interrupted).retry(), Retry::Free);
        assert_eq!(FailureKind::Run(FailureReason::StorageUnavailable).retry(), Retry::Counted);
        assert_eq!(FailureKind::Run(FailureReason::DigestMismatch).retry(), Retry::Never);
        assert_eq!(FailureKind::OutOfMemory.retry(), Retry::Never);
        assert_eq!(FailureKind::Run(FailureReason::SourceNotFound).retry(), Retry::Slow);
    }
}
