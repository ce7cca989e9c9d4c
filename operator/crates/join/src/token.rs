//! The one secret that a machine is given: a bootstrap token, good for one certificate within the hour.

use std::collections::BTreeMap;
use std::fmt;

use cooperator_core::digest::Digest;
use cooperator_core::time::{SignedDuration, Timestamp, later, whole_second};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::TryRngCore as _;

use crate::claim::{Claim, GROUP};

/// Where Kubernetes looks for tokens.
pub const NAMESPACE: &str = "kube-system";
/// The type of their Secrets.
pub const TYPE: &str = "bootstrap.kubernetes.io/token";
/// How long a token is good for.
pub const LIFE: SignedDuration = SignedDuration::from_hours(1);

/// What tokens are written with.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of the public part.
const ID: usize = 6;
/// Characters of the secret part.
const SECRET: usize = 16;

/// A bootstrap token. Its id is public and names its user, `system:bootstrap:<id>`; its secret is in its Secret and in the
/// machine's user-data alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: String,
    secret: String,
}

impl Token {
    /// A new token from the operating system's randomness.
    ///
    /// # Errors
    /// If the operating system has none to give.
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        Ok(Self { id: random(ID)?, secret: random(SECRET)? })
    }

    /// A new token for one launch of a claim's machine. Its id is always the same one, so that the Secret of a token that
    /// was made and never used is found again; its secret never is.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn of_launch(claim: &Claim, launch: u32) -> Result<Self, rand::rand_core::OsError> {
        let digest = Digest::of(format!("{}/{launch}", claim.uid).as_bytes()).hex();
        let bytes = hex_pairs(&digest);
        let id =
            bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).take(ID).collect();
        Ok(Self { id, secret: random(SECRET)? })
    }

    /// The token that a Secret holds, whenever it expires. None: it is no bootstrap token.
    pub fn of_secret(secret: &Secret) -> Option<Self> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let token = Self { id: text("token-id")?, secret: text("token-secret")? };
        let well = is_written(&token.id, ID) && is_written(&token.secret, SECRET);
        (well && secret.type_.as_deref() == Some(TYPE)).then_some(token)
    }

    /// The public part.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The whole token, `<id>.<secret>`: for the machine alone.
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// When a token that is made now expires: [`LIFE`] later, to the second.
    pub fn expires(now: Timestamp) -> Timestamp {
        whole_second(later(now, LIFE))
    }

    /// The Secret by which the API server knows the token, as that of `claim`.
    pub fn secret(&self, claim: &Claim, expires: Timestamp) -> Secret {
        let data = [
            ("token-id", self.id.clone()),
            ("token-secret", self.secret.clone()),
            ("expiration", expires.to_string()),
            ("usage-bootstrap-authentication", "true".to_owned()),
            ("auth-extra-groups", format!("{GROUP},{}", claim.group())),
            ("description", format!("For the rented machine of NodeClaim {claim}.")),
        ];
        let data: BTreeMap<_, _> =
            data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
        Secret {
            metadata: ObjectMeta {
                name: Some(secret_name(&self.id)),
                namespace: Some(NAMESPACE.to_owned()),
                labels: Some(claim.labels()),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some(data),
            ..Secret::default()
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, hidden)", self.id)
    }
}

/// What the Secret of the token with this id is called; Kubernetes finds it by that.
pub fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// The bytes that hexadecimal digits stand for.
fn hex_pairs(digits: &str) -> impl Iterator<Item = u8> + '_ {
    digits
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}

/// Characters of [`ALPHABET`], each as likely as the other.
fn random(length: usize) -> Result<String, rand::rand_core::OsError> {
    // Beyond the greatest multiple of 36, the first few characters would come more often.
    let fair = (u8::MAX as usize / ALPHABET.len() * ALPHABET.len()) as u8;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        let fit = bytes.into_iter().filter(|byte| *byte < fair);
        text.extend(
            fit.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
                .take(length - text.len()),
        );
    }
    Ok(text)
}

fn is_written(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            namespace: "art".into(),
            name: "tune-1-x7".into(),
            uid: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".into(),
        }
    }

    #[test]
    fn a_token_is_random_written_as_kubernetes_wants_it_and_hidden() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, other);
        assert!(is_written(&one.id, 6) && is_written(&one.secret, 16), "{}", one.reveal());
        assert_eq!(one.reveal(), format!("{}.{}", one.id, one.secret));
        assert!(!format!("{one:?}").contains(&one.secret));
    }

    #[test]
    fn a_launch_has_one_id_and_never_the_same_secret() {
        let (one, again) = (Token::of_launch(&claim(), 1).unwrap(), Token::of_launch(&claim(), 1).unwrap());
        assert_eq!(one.id, again.id);
        assert_ne!(one.secret, again.secret);
        assert_ne!(one.id, Token::of_launch(&claim(), 2).unwrap().id);
        assert!(is_written(&one.id, ID), "{}", one.id);
    }

    #[test]
    fn every_character_comes_about_as_often_as_any_other() {
        let text = random(72_000).unwrap();
        for character in ALPHABET {
            let count = text.bytes().filter(|byte| byte == character).count();
            assert!((1_600..2_400).contains(&count), "{} came {count} times", char::from(*character));
        }
    }

    #[test]
    fn the_secret_says_whose_it_is_until_when_and_gives_the_token_back() {
        let token = Token { id: "abc123".into(), secret: "0123456789abcdef".into() };
        let now: Timestamp = "2026-11-29T12:00:00.5Z".parse().unwrap();
        let secret = token.secret(&claim(), Token::expires(now));
        let text = |key: &str| String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
        assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-abc123"));
        assert_eq!(secret.metadata.namespace.as_deref(), Some("kube-system"));
        assert_eq!(secret.type_.as_deref(), Some("bootstrap.kubernetes.io/token"));
        assert_eq!(text("expiration"), "2026-11-29T13:00:00Z");
        assert_eq!(text("usage-bootstrap-authentication"), "true");
        assert_eq!(
            text("auth-extra-groups"),
            "system:bootstrappers:cooperator,system:bootstrappers:cooperator:0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
        );
        assert_eq!(secret.metadata.labels.as_ref().unwrap()["cooperator.dev/claim-uid"], claim().uid);
        assert!(!secret.data.as_ref().unwrap().contains_key("usage-bootstrap-signing"));
        assert_eq!(Token::of_secret(&secret), Some(token));
    }

    #[test]
    fn a_secret_of_another_type_or_form_holds_no_token() {
        let token = Token::random().unwrap();
        let good = token.secret(&claim(), Timestamp::UNIX_EPOCH);
        let opaque = Secret { type_: Some("Opaque".into()), ..good.clone() };
        assert_eq!(Token::of_secret(&opaque), None);
        let mut short = good.clone();
        short.data.as_mut().unwrap().insert("token-id".into(), ByteString(b"ab".to_vec()));
        assert_eq!(Token::of_secret(&short), None);
        assert_eq!(Token::of_secret(&Secret::default()), None);
    }
}
