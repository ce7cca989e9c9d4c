//! How a call of the fake can go wrong.

use std::time::Duration;

use super::VENDOR;
use crate::error::Error;

/// A way to go wrong. Any can befall any call, but for the last two, which only a create suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done and no answer comes: [`Error::Ambiguous`].
    LostAnswer,
    /// It is not done and no answer comes: [`Error::Ambiguous`].
    LostRequest,
    /// [`Error::Unauthorized`]
    Unauthorized,
    /// [`Error::NoCapacity`]
    NoCapacity,
    /// [`Error::AccountLimit`]
    AccountLimit,
    /// [`Error::Refused`]
    Refused,
    /// [`Error::Throttled`], with this time to wait.
    Throttled(Duration),
    /// [`Error::Unavailable`]
    Unavailable,
    /// [`Error::Malformed`]; it is done.
    Malformed,
    /// Two machines of one name are made, and the second is answered.
    Twice,
    /// The bid is too low: a machine is made, stopped, and costs its disk.
    BidTooLow,
}

impl Fault {
    /// Whether what was asked for is done all the same.
    pub(super) fn acts(self) -> bool {
        matches!(self, Self::LostAnswer | Self::Malformed | Self::Twice | Self::BidTooLow)
    }

    /// What the caller is told.
    pub(super) fn error(self) -> Error {
        let (vendor, message) = (VENDOR, "as the test wants it".to_owned());
        match self {
            Self::LostAnswer | Self::LostRequest | Self::Twice | Self::BidTooLow => {
                Error::Ambiguous { vendor, message }
            }
            Self::Unauthorized => Error::Unauthorized { vendor, message },
            Self::NoCapacity => Error::NoCapacity { vendor, message },
            Self::AccountLimit => Error::AccountLimit { vendor, message },
            Self::Refused => Error::Refused { vendor, message },
            Self::Throttled(after) => Error::Throttled { vendor, after },
            Self::Unavailable => Error::Unavailable { vendor, message },
            Self::Malformed => Error::Malformed { vendor, message },
        }
    }
}
