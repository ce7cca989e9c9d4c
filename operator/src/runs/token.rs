//! The random token by which one attempt proves who it is.

use std::fmt;

use cooperator_core::digest::Digest;
use rand::TryRngCore as _;

/// Bytes of randomness in a token.
const BYTES: usize = 32;

/// A token of 64 hexadecimal digits. It is only in the attempt's Secret; everything else knows its sha256.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token from the operating system's randomness.
    ///
    /// # Errors
    /// If the operating system has none to give.
    pub fn random() -> Result<Self, rand::rand_core::OsError> {
        let mut bytes = [0; BYTES];
        rand::rngs::OsRng.try_fill_bytes(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// The token an attempt's Secret holds; none if it is not of ours.
    pub fn from_secret(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        (text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| Self(text.to_owned()))
    }

    /// What status keeps: the sha256, 64 hexadecimal digits.
    pub fn sha256(&self) -> String {
        Digest::of(self.0.as_bytes()).hex()
    }

    /// The token itself, for its Secret only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_hidden_and_read_back_from_its_secret() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(one, other);
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert_eq!(Token::from_secret(one.reveal().as_bytes()), Some(one));
        assert_eq!(Token::from_secret(b"short"), None);
    }
}
