//! Pure: what status says.

use cooperator_api::api_key::{ApiKey, ApiKeyStatus};
use cooperator_api::common::condition;
use cooperator_core::api_key::Key;
use jiff::Timestamp;

use crate::domain::{Finding, Hold, parse_time};

/// Where the key stands.
#[derive(Clone, Debug)]
pub enum Minted {
    /// It cannot be made.
    Held(Hold),
    /// Its Secret holds it.
    Shown(Key),
    /// It was made before, and its Secret is gone: the hash alone is known, which is all that is needed.
    Hidden,
}

/// When the key ends; none: never, or at a time that cannot be read, which counts as now.
pub fn expiry(object: &ApiKey) -> Option<Timestamp> {
    let text = object.spec.expires_at.as_deref()?;
    Some(parse_time(text).unwrap_or(Timestamp::MIN))
}

/// What is found, `Ready` first.
pub fn findings(object: &ApiKey, minted: &Minted, now: Timestamp) -> Vec<Finding> {
    let revoked = match object.spec.revoked {
        true => Finding::yes(condition::REVOKED, "Revoked", "spec.revoked is true"),
        false => Finding::no(condition::REVOKED, "NotRevoked", "it is not revoked"),
    };
    let expired = match expiry(object) {
        Some(end) if end <= now => Finding::yes(condition::EXPIRED, "Expired", format!("it ended at {end}")),
        Some(end) => Finding::no(condition::EXPIRED, "NotExpired", format!("it ends at {end}")),
        None => Finding::no(condition::EXPIRED, "NeverExpires", "spec.expiresAt is not set"),
    };
    let ready = match (minted, [&revoked, &expired].into_iter().find(|finding| finding.status)) {
        (Minted::Held(hold), _) => Finding::held(condition::READY, hold),
        (_, Some(over)) => Finding::no(condition::READY, over.reason.clone(), over.message.clone()),
        (Minted::Shown(_), None) => {
            let name = &object.spec.secret_ref.name;
            Finding::yes(condition::READY, "Minted", format!("the key is in Secret `{name}`"))
        }
        (Minted::Hidden, None) => Finding::yes(
            condition::READY,
            "Minted",
            "the key works; its Secret has been deleted and is not made again",
        ),
    };
    vec![ready, revoked, expired]
}

/// Everything of status but the conditions, and but what gateways write.
pub fn status(object: &ApiKey, minted: &Minted) -> ApiKeyStatus {
    let before = object.status.clone().unwrap_or_default();
    let (prefix, sha256) = match minted {
        Minted::Shown(key) => (Some(key.prefix().to_owned()), Some(hex::encode(key.hash().as_bytes()))),
        Minted::Held(_) | Minted::Hidden => (before.prefix, before.sha256),
    };
    ApiKeyStatus {
        observed_generation: object.metadata.generation,
        prefix,
        sha256,
        ..ApiKeyStatus::default()
    }
}
