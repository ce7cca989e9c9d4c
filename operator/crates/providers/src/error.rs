//! What a vendor can answer that is not what was asked for. What matters to a caller is whether something may have
//! happened, and whether asking again can help.

use std::time::Duration;

/// A call that did not come to its end. Messages are one line and hold no key, token or user-data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key is wrong, expired or lacks a right.
    #[error(
        "{vendor} refused the key ({message}); put a valid one, with the rights the Provider's documentation names, into its Secret"
    )]
    Unauthorized {
        /// Who.
        vendor: &'static str,
        /// What it said.
        message: String,
    },
    /// A machine showed another host key than the one that is pinned. It was told nothing, and nothing happened.
    #[error("{vendor} machine `{machine}` is not talked to: {message}")]
    HostKey {
        /// Who.
        vendor: &'static str,
        /// Which of its machines.
        machine: String,
        /// Both fingerprints, and what to do.
        message: String,
    },
    /// What was asked for is not, or no longer, for rent: another offer may be. Nothing was made.
    #[error("{vendor} has no capacity ({message})")]
    NoCapacity {
        /// Who.
        vendor: &'static str,
        /// What it said.
        message: String,
    },
    /// The account's balance or quota is used up: no offer of this vendor can be had until a person acts. Nothing was made.
    #[error("{vendor} rents no more to this account ({message}); raise its quota or balance")]
    AccountLimit {
        /// Who.
        vendor: &'static str,
        /// What it said.
        message: String,
    },
    /// It understood and will never do this: a fault of ours or of the spec. Nothing was made.
    #[error("{vendor} refused the request ({message})")]
    Refused {
        /// Who.
        vendor: &'static str,
        /// What it said.
        message: String,
    },
    /// Asked too often. Nothing happened.
    #[error("{vendor} was asked too often; again in {} s", .after.as_secs())]
    Throttled {
        /// Who.
        vendor: &'static str,
        /// How long to wait at least: what it said, else the least interval it documents.
        after: Duration,
    },
    /// It could not be reached, or said that it did nothing (connection refused, 503 before work): nothing happened.
    #[error("{vendor} does not answer ({message})")]
    Unavailable {
        /// Who.
        vendor: &'static str,
        /// What happened.
        message: String,
    },
    /// The request was sent and no answer came that can be trusted (time-out, connection lost, 5xx, garbage): it may have
    /// been done. Whoever changes something by this call must look before anything else.
    #[error("{vendor} gave no answer that can be trusted ({message}); what it did is looked up")]
    Ambiguous {
        /// Who.
        vendor: &'static str,
        /// What happened.
        message: String,
    },
    /// An answer to a question that is not what the vendor documents: a list without rows where the field is missing, a
    /// page that breaks off, a number that is none. Never taken for "there is nothing".
    #[error("{vendor} answered something that is no answer ({message})")]
    Malformed {
        /// Who.
        vendor: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// Whether a call that makes or ends something may have done so all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Ambiguous { .. } | Self::Malformed { .. })
    }

    /// Label of a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized { .. } => "Unauthorized",
            Self::HostKey { .. } => "HostKey",
            Self::NoCapacity { .. } => "NoCapacity",
            Self::AccountLimit { .. } => "AccountLimit",
            Self::Refused { .. } => "Refused",
            Self::Throttled { .. } => "Throttled",
            Self::Unavailable { .. } => "Unavailable",
            Self::Ambiguous { .. } => "Ambiguous",
            Self::Malformed { .. } => "Malformed",
        }
    }
}
