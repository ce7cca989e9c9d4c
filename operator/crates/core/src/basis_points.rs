//! Shares in basis points: hundredths of a per cent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A number outside 0 to 10,000, or shares that do not add up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasisPointsError {
    /// Out of bounds.
    #[error("{0} basis points are too many; a share is 0 to 10000 (10000 = 100 %)")]
    OutOfRange(u64),
    /// Shares of a whole that are less or more than it.
    #[error("shares add up to {0} basis points; they must add up to 10000 (100 %)")]
    Sum(u64),
}

/// A share of a whole, 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// Nothing of it.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const FULL: Self = Self(10_000);

    /// # Errors
    /// [`BasisPointsError::OutOfRange`] above 10,000.
    pub fn new(points: u16) -> Result<Self, BasisPointsError> {
        if points <= Self::FULL.0 {
            Ok(Self(points))
        } else {
            Err(BasisPointsError::OutOfRange(u64::from(points)))
        }
    }

    /// 0 to 10,000.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Self {
        Self(Self::FULL.0 - self.0)
    }

    /// Checks that shares make up a whole.
    ///
    /// # Errors
    /// [`BasisPointsError::Sum`] if they do not.
    pub fn whole(shares: impl IntoIterator<Item = Self>) -> Result<(), BasisPointsError> {
        let sum = shares.into_iter().map(|share| u64::from(share.0)).sum();
        if sum == u64::from(Self::FULL.0) { Ok(()) } else { Err(BasisPointsError::Sum(sum)) }
    }
}

impl fmt::Display for BasisPoints {
    /// In per cent: `8.49 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} %", self.0 / 100, self.0 % 100)
    }
}

impl<'de> Deserialize<'de> for BasisPoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_at_most_the_whole() {
        assert_eq!(BasisPoints::new(10_000), Ok(BasisPoints::FULL));
        assert_eq!(BasisPoints::new(10_001), Err(BasisPointsError::OutOfRange(10_001)));
        assert!(serde_json::from_str::<BasisPoints>("10001").is_err());
        assert_eq!(BasisPoints::new(849).unwrap().to_string(), "8.49 %");
    }

    #[test]
    fn shares_must_add_up() {
        let share = |points| BasisPoints::new(points).unwrap();
        assert_eq!(BasisPoints::whole([share(9000), share(1000)]), Ok(()));
        assert_eq!(BasisPoints::whole([share(9000)]), Err(BasisPointsError::Sum(9000)));
        assert_eq!(BasisPoints::whole([]), Err(BasisPointsError::Sum(0)));
        assert_eq!(share(500).rest(), share(9500));
    }
}
