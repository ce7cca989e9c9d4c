//! How much of everything there may be.

use std::time::Duration;

/// Bounds of one machine's connection. Both ends keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Bytes of a stream that have left one end and were not taken at the other, in each direction: what a reader who does
    /// not read holds.
    pub window: u32,
    /// A stream over which no byte has gone for so long is cut.
    pub idle: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// A ping that is not answered for so long: the other end is dead.
    pub patience: Duration,
    /// Longest that a connection may take until it stands: dialling, TLS, the first answer.
    pub handshake: Duration,
}

impl Limits {
    /// Bytes in flight of all streams together: enough that none waits for another.
    pub(crate) fn all_windows(&self) -> u32 {
        self.window.saturating_mul(self.streams).clamp(SMALLEST_WINDOW, LARGEST_WINDOW)
    }
}

/// What HTTP/2 begins with.
const SMALLEST_WINDOW: u32 = 65_535;
/// What HTTP/2 allows.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

impl Default for Limits {
    /// As the kubelet has it, a silent stream lives for four hours: a log that is followed may say nothing for long.
    fn default() -> Self {
        Self {
            streams: 64,
            window: 128 << 10,
            idle: Duration::from_secs(4 * 3600),
            ping: Duration::from_secs(15),
            patience: Duration::from_secs(15),
            handshake: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_all_streams_is_one_that_http_allows() {
        let limits = |streams, window| Limits { streams, window, ..Limits::default() };
        assert_eq!(limits(1, 1000).all_windows(), 65_535);
        assert_eq!(limits(u32::MAX, u32::MAX).all_windows(), (1 << 31) - 1);
        assert_eq!(Limits::default().all_windows(), 8 << 20);
    }
}
