//! Small readings of text and numbers.

use jiff::Timestamp;

/// An RFC 3339 time as status holds it; none if it is not one.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A count as Kubernetes' integers hold it; what does not fit stays at the largest.
pub fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
