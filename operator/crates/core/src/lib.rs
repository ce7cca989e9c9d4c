//! The domain, pure: money, shares, periods, licences, consent, digests. No Kubernetes, no async runtime, no tensor
//! library, no I/O; nothing here reads a clock except [`time::SystemClock`].

pub mod api_key;
pub mod attribution;
pub mod backoff;
pub mod basis_points;
pub mod consent;
pub mod digest;
pub mod license;
pub mod market;
pub mod money;
pub mod period;
pub mod settlement;
pub mod split;
pub mod time;
