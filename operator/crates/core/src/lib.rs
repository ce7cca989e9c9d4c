//! The domain, pure: money, shares, periods, licences, consent, digests. No Kubernetes, no async runtime, no tensor
//! library, no I/O; nothing here reads a clock except [`time::SystemClock`].

pub mod digest;
pub mod time;
