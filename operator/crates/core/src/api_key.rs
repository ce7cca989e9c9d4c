//! API keys: what a consumer shows, and what we keep of it.
//!
//! A key is `coop_`, 160 random bits in 27 base-62 characters, and 6 more that are the CRC-32 of what is before them:
//! secret scanners know it by its beginning, and a mistyped key is told from a wrong one without a look-up. Only the
//! SHA-256 of a key is kept; with 160 bits of entropy no slower hash is needed.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// How every key begins.
pub const PREFIX: &str = "coop_";
/// Random bytes a key is made of.
pub const ENTROPY_BYTES: usize = 20;
/// Characters of a whole key.
pub const LENGTH: usize = PREFIX.len() + BODY + CHECK;

/// Base-62 characters that hold 160 bits.
const BODY: usize = 27;
/// Base-62 characters that hold 32 bits.
const CHECK: usize = 6;
/// Characters of the body that may be shown, to tell keys apart.
const SHOWN: usize = 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A text that is no key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Other length, beginning or characters.
    #[error("an API key is `coop_` and 33 letters or digits; copy it whole")]
    Form,
    /// The last six characters do not fit the rest.
    #[error("the API key's checksum does not fit; a character was changed or lost in copying")]
    Checksum,
    /// Not the hash of a key.
    #[error("the hash of an API key is 64 lowercase hexadecimal digits")]
    Hash,
}

/// A key in clear. `Debug` hides it; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A new key from bytes of the operating system's random source.
    pub fn mint(entropy: [u8; ENTROPY_BYTES]) -> Self {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        push_base62(&mut text, &entropy, BODY);
        let check = crc32fast::hash(text.as_bytes());
        push_base62(&mut text, &check.to_be_bytes(), CHECK);
        Self(text)
    }

    /// Reads what a caller sent.
    ///
    /// # Errors
    /// [`ApiKeyError`] if it cannot be a key.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let legal =
            text.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !legal || text.len() != LENGTH {
            return Err(ApiKeyError::Form);
        }
        let (signed, check) = text.split_at(LENGTH - CHECK);
        let mut expected = String::with_capacity(CHECK);
        push_base62(&mut expected, &crc32fast::hash(signed.as_bytes()).to_be_bytes(), CHECK);
        if expected != check {
            return Err(ApiKeyError::Checksum);
        }
        Ok(Self(text.to_owned()))
    }

    /// First characters, which may be shown: `coop_7f3a`.
    pub fn prefix(&self) -> &str {
        &self.0[..PREFIX.len() + SHOWN]
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The key itself: for the Secret it is put into, nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}...)", self.prefix())
    }
}

/// SHA-256 of a key, written as 64 lowercase hexadecimal digits. `==` takes the same time wherever two differ.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for KeyHash {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let mut bytes = [0; 32];
        let lowercase = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lowercase => Ok(Self(bytes)),
            _ => Err(ApiKeyError::Hash),
        }
    }
}

/// Writes big-endian `bytes` as a number in base 62, padded to `width` characters.
fn push_base62(text: &mut String, bytes: &[u8], width: usize) {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    text.extend(digits.into_iter().map(char::from));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_and_the_greatest_key_have_the_full_length() {
        for entropy in [[0; ENTROPY_BYTES], [255; ENTROPY_BYTES]] {
            let key = Key::mint(entropy);
            assert_eq!(key.expose().len(), LENGTH);
            assert_eq!(Key::parse(key.expose()).unwrap(), key);
        }
        assert!(Key::mint([0; ENTROPY_BYTES]).expose().starts_with("coop_000000000000000000000000000"));
    }

    #[test]
    fn debug_shows_the_prefix_only() {
        let key = Key::mint([7; ENTROPY_BYTES]);
        let shown = format!("{key:?}");
        assert!(shown.contains(key.prefix()) && shown.len() < 20, "{shown}");
        assert_eq!(key.prefix().len(), 9);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_echoed() {
        let key = Key::mint([7; ENTROPY_BYTES]);
        let long = format!("{}0", key.expose());
        for text in ["", "coop_", "sk-1234", &key.expose()[..LENGTH - 1], &long, &"\u{e9}".repeat(19)] {
            assert_eq!(Key::parse(text), Err(ApiKeyError::Form), "{text}");
        }
        assert!(!ApiKeyError::Form.to_string().contains(key.expose()));
    }

    proptest! {
        #[test]
        fn a_minted_key_parses_and_its_hash_round_trips(entropy in any::<[u8; ENTROPY_BYTES]>()) {
            let key = Key::mint(entropy);
            prop_assert_eq!(&Key::parse(key.expose()).unwrap(), &key);
            prop_assert_eq!(key.hash().to_string().parse::<KeyHash>().unwrap(), key.hash());
        }

        #[test]
        fn one_changed_character_is_noticed(entropy in any::<[u8; ENTROPY_BYTES]>(), at in PREFIX.len()..LENGTH, to in 0..62_usize) {
            let key = Key::mint(entropy);
            let mut bytes = key.expose().as_bytes().to_vec();
            prop_assume!(bytes[at] != ALPHABET[to]);
            bytes[at] = ALPHABET[to];
            prop_assert_eq!(Key::parse(&String::from_utf8(bytes).unwrap()), Err(ApiKeyError::Checksum));
        }

        #[test]
        fn a_key_that_was_changed_is_none_or_just_what_it_says(
            bytes in cooperator_mutate::mutated(vec![Key::mint([7; ENTROPY_BYTES]).expose().into()]),
        ) {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(key) = Key::parse(&text) {
                prop_assert_eq!(key.expose(), &*text);
            }
            prop_assert!(text.parse::<KeyHash>().is_err());
        }

        #[test]
        fn other_entropy_gives_another_key(a in any::<[u8; ENTROPY_BYTES]>(), b in any::<[u8; ENTROPY_BYTES]>()) {
            prop_assume!(a != b);
            prop_assert_ne!(Key::mint(a).hash(), Key::mint(b).hash());
        }
    }
}
