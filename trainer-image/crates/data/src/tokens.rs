//! Tokens as the base model counts them.

use tokenizers::Tokenizer;

/// A tokenizer that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// `tokenizer.json` is not one.
    #[error("tokenizer.json of the base model cannot be read ({0}); import the base model again")]
    Unreadable(String),
    /// A text that the tokenizer does not take.
    #[error("the base model's tokenizer refused a text ({0}); import the base model again")]
    Refused(String),
}

/// Turns text into tokens. What looks like a special token in a text is read as the text it is: a contributor cannot
/// end a document or speak as somebody else. Cheap to clone is not promised; share it.
#[derive(Clone, Debug)]
pub struct Tokens(Tokenizer);

impl Tokens {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokensError::Unreadable`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokensError> {
        let unreadable = |error: tokenizers::Error| TokensError::Unreadable(one_line(&error.to_string()));
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(unreadable)?;
        tokenizer.with_truncation(None).map_err(unreadable)?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        Ok(Self(tokenizer))
    }

    /// The token ids of a text, no special tokens around it.
    ///
    /// # Errors
    /// [`TokensError::Refused`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokensError> {
        let encoding = self.0.encode_fast(text, false).map_err(refused)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// How many tokens a text has.
    ///
    /// # Errors
    /// [`TokensError::Refused`].
    pub fn count(&self, text: &str) -> Result<usize, TokensError> {
        Ok(self.0.encode_fast(text, false).map_err(refused)?.len())
    }

    /// Byte at which each token of a text begins, ascending.
    ///
    /// # Errors
    /// [`TokensError::Refused`].
    pub fn starts(&self, text: &str) -> Result<Vec<usize>, TokensError> {
        let encoding = self.0.encode(text, false).map_err(refused)?;
        Ok(encoding.get_offsets().iter().map(|(start, _)| *start).collect())
    }
}

fn refused(error: tokenizers::Error) -> TokensError {
    TokensError::Refused(one_line(&error.to_string()))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One token a word, spaces aside; unknown words are one token too.
    pub(crate) fn word_tokenizer() -> Tokens {
        let json = serde_json::json!({
            "version": "1.0", "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
            "padding": null,
            "added_tokens": [{"id": 1, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"?": 0, "<end>": 1, "a": 2, "b": 3}, "unk_token": "?"}
        });
        Tokens::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_special_token_in_a_text_is_plain_text() {
        let tokens = word_tokenizer();
        assert!(!tokens.encode("a <end> b").unwrap().contains(&1));
    }

    #[test]
    fn a_truncation_set_in_the_file_does_not_cut() {
        assert_eq!(word_tokenizer().count("a b a b a b").unwrap(), 6);
    }

    #[test]
    fn what_is_no_tokenizer_is_refused_in_one_line() {
        let error = Tokens::from_json(b"{\n}").unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && !error.contains('\n'), "{error}");
    }
}
