//! Pure: how long things may take at a Provider.

use cooperator_api::provider::Provider;
use cooperator_rental::Limits;

use crate::domain::duration;

/// As its time-outs have it.
pub fn limits(provider: &Provider) -> Limits {
    let of = |text: &str| duration(text).try_into().unwrap_or_default();
    let timeouts = &provider.spec.timeouts;
    Limits { launch: of(&timeouts.launch), account: of(&timeouts.billing) }
}
