//! The hash chain: `head = sha256(head before, canonical JSON of the row)`, from a genesis that is the gateway's own.

use cooperator_contract::canonical;
use cooperator_contract::usage::UsageRow;
use cooperator_core::digest::{Digest, Hasher};
use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A usage log that is not whole. Nothing is settled from one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageLogError {
    /// A row of another gateway.
    #[error(
        "usage log of gateway `{gateway}` holds a row of `{found}` at sequence {sequence}; each gateway writes its own log"
    )]
    OtherGateway {
        /// Whose log.
        gateway: String,
        /// Whose row.
        found: String,
        /// Of the row.
        sequence: u64,
    },
    /// Rows are missing, or one comes again.
    #[error(
        "usage log of gateway `{gateway}` goes on at sequence {found} where {expected} must come; restore the objects between"
    )]
    Gap {
        /// Whose log.
        gateway: String,
        /// Sequence that must come.
        expected: u64,
        /// Sequence that came.
        found: u64,
    },
    /// A row older than the one before it.
    #[error(
        "usage log of gateway `{gateway}` goes back in time at sequence {sequence}; write rows in the order of their time"
    )]
    BackInTime {
        /// Whose log.
        gateway: String,
        /// Of the row.
        sequence: u64,
    },
    /// A time that Parquet could not give back.
    #[error(
        "row {sequence} of gateway `{gateway}` has a time finer than a microsecond; cut it with `whole_microsecond`"
    )]
    TooFine {
        /// Whose log.
        gateway: String,
        /// Of the row.
        sequence: u64,
    },
    /// A row that is not what was chained.
    #[error(
        "hash chain of gateway `{gateway}` is broken at sequence {sequence}: expected {expected}, found {found}; a row before it was changed"
    )]
    Broken {
        /// Whose log.
        gateway: String,
        /// First sequence after the break.
        sequence: u64,
        /// Head that the next segment, or the segment itself, says.
        expected: Digest,
        /// Head computed from the rows.
        found: Digest,
    },
    /// A segment without rows.
    #[error("a usage segment of gateway `{0}` has no rows; write only segments that have")]
    Empty(String),
    /// Bytes that are no segment.
    #[error("usage segment cannot be read ({0})")]
    Malformed(String),
}

/// How far a gateway's log goes, and the digest of all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    gateway: String,
    through: u64,
    head: Digest,
    time: Option<Timestamp>,
}

impl Chain {
    /// A log without rows yet. No two gateways begin alike.
    pub fn genesis(gateway: &str) -> Self {
        let head = Digest::of(format!("cooperator usage log\n{gateway}\n").as_bytes());
        Self { gateway: gateway.to_owned(), through: 0, head, time: None }
    }

    /// A log of which `through` rows are known, with this head.
    pub fn resume(gateway: &str, through: u64, head: Digest) -> Self {
        Self { gateway: gateway.to_owned(), through, head, time: None }
    }

    /// Whose log.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Sequence of the last row; 0 before the first.
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// Digest of all rows in order.
    pub const fn head(&self) -> Digest {
        self.head
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// [`UsageLogError`] if it is not the next row of this gateway, older than the last, or finer than a microsecond.
    /// The chain is then as it was.
    pub fn append(&mut self, row: &UsageRow) -> Result<(), UsageLogError> {
        let gateway = || self.gateway.clone();
        let sequence = row.sequence;
        if row.gateway != self.gateway {
            return Err(UsageLogError::OtherGateway {
                gateway: gateway(),
                found: row.gateway.clone(),
                sequence,
            });
        }
        let expected = self.through.saturating_add(1);
        // After the greatest number there is none: the last row may not come again in its place.
        if sequence != expected || sequence == self.through {
            return Err(UsageLogError::Gap { gateway: gateway(), expected, found: sequence });
        }
        if self.time.is_some_and(|last| row.time < last) {
            return Err(UsageLogError::BackInTime { gateway: gateway(), sequence });
        }
        if whole_microsecond(row.time) != row.time {
            return Err(UsageLogError::TooFine { gateway: gateway(), sequence });
        }
        let bytes = canonical(row).map_err(|error| UsageLogError::Malformed(error.to_string()))?;
        let mut hasher = Hasher::new();
        hasher.update(self.head.as_bytes());
        hasher.update(&bytes);
        (self.through, self.head, self.time) = (sequence, hasher.finish(), Some(row.time));
        Ok(())
    }
}

/// What a segment says of itself: as its first line (chunk) or its metadata (hour).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Whose log.
    pub gateway: String,
    /// Of the first row.
    pub first_sequence: u64,
    /// Of the last row.
    pub last_sequence: u64,
    /// Head of the chain before the first row.
    pub previous: Digest,
    /// Head of the chain after the last row.
    pub head: Digest,
}

impl Header {
    /// The header of the rows between two states of one chain.
    ///
    /// # Errors
    /// [`UsageLogError::Empty`] if there are none.
    pub(crate) fn between(before: &Chain, after: &Chain) -> Result<Self, UsageLogError> {
        if after.through <= before.through {
            return Err(UsageLogError::Empty(before.gateway.clone()));
        }
        Ok(Self {
            gateway: before.gateway.clone(),
            first_sequence: before.through + 1,
            last_sequence: after.through,
            previous: before.head,
            head: after.head,
        })
    }

    /// Whether the segment begins just after the last row of `chain`.
    pub(crate) fn follows(&self, chain: &Chain) -> bool {
        let Self { gateway, first_sequence, previous, .. } = self;
        *gateway == chain.gateway
            && Some(*first_sequence) == chain.through.checked_add(1)
            && *previous == chain.head
    }

    /// The chain where the segment goes on from it.
    pub(crate) fn before(&self) -> Chain {
        Chain::resume(&self.gateway, self.first_sequence.saturating_sub(1), self.previous)
    }

    /// Checks that the rows read end where the header says.
    pub(crate) fn check_end(&self, after: &Chain) -> Result<(), UsageLogError> {
        let (gateway, sequence) = (self.gateway.clone(), self.last_sequence);
        if self.first_sequence == 0 {
            return Err(UsageLogError::Gap { gateway, expected: 1, found: 0 });
        }
        if sequence < self.first_sequence {
            return Err(UsageLogError::Empty(gateway));
        }
        if after.through != sequence {
            return Err(UsageLogError::Gap { gateway, expected: sequence, found: after.through });
        }
        if after.head != self.head {
            return Err(UsageLogError::Broken { gateway, sequence, expected: self.head, found: after.head });
        }
        Ok(())
    }
}

/// Cuts a time to the microsecond, which is as fine as the log keeps it.
pub fn whole_microsecond(time: Timestamp) -> Timestamp {
    use jiff::{RoundMode, TimestampRound};
    let cut = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Floor);
    time.round(cut).unwrap_or(time)
}
