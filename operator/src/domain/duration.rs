//! Durations as Kubernetes writes them.

use jiff::SignedDuration;

/// `24h`, `1h30m`, `90s`. The API lets nothing else through, but for nothing: that is zero.
pub fn duration(text: &str) -> SignedDuration {
    text.parse().unwrap_or(SignedDuration::ZERO)
}
