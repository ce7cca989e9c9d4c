//! The tokenizer of a model, and text that grows a token at a time without ever showing half a character.

use tokenizers::processors::PostProcessorWrapper;

use crate::line::one_line;

mod check;

/// Largest accepted `tokenizer.json`, bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// Tokens held back, at most, while they are not yet whole characters: the longest run a byte-level tokenizer can
/// need for one visible sign, with room.
const MAX_HELD: usize = 16;

/// Why text could not be tokenised, or a tokenizer not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The file is no tokenizer that can be loaded.
    #[error("tokenizer.json cannot be read: {0}; give that of the model as its authors published it")]
    Unreadable(String),
    /// It has a part that is not computed here.
    #[error(
        "tokenizer.json: {0} is not supported; supported are BPE and WordLevel with the parts that Llama models use"
    )]
    Unsupported(String),
    /// It has tokens beyond the model's embedding.
    #[error(
        "tokenizer.json has {tokens} tokens, the model's vocabulary {vocabulary}; both must be of one model"
    )]
    TooManyTokens {
        /// Tokens in the file.
        tokens: usize,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// The text was not accepted.
    #[error("text cannot be tokenised: {0}")]
    Text(String),
}

/// A loaded tokenizer. Adds no special tokens by itself, ever.
#[derive(Clone)]
pub struct Tokenizer {
    /// Reads markers such as `<|im_end|>` as the control tokens they name.
    markers: tokenizers::Tokenizer,
    /// Reads them as the plain text they are written in.
    plain: tokenizers::Tokenizer,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.size())
    }
}

impl Tokenizer {
    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Unreadable`], [`TokenizerError::Unsupported`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        if bytes.len() > MAX_BYTES {
            let problem = format!("{} bytes, at most {MAX_BYTES}", bytes.len());
            return Err(TokenizerError::Unreadable(problem));
        }
        let added = check::check(bytes)?;
        let mut markers = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|e| TokenizerError::Unreadable(one_line(&e.to_string())))?;
        for token in added {
            if let Some(id) = markers.token_to_id(&token.content).filter(|id| *id != token.id) {
                let problem = format!("added token {} has id {id} by its place", token.id);
                return Err(TokenizerError::Unreadable(problem));
            }
        }
        // What the file asks for on behalf of its author's training run is no business of ours.
        let _ = markers.with_truncation(None);
        markers.with_padding(None);
        markers.with_post_processor(None::<PostProcessorWrapper>);
        let mut plain = markers.clone();
        plain.set_encode_special_tokens(true);
        Ok(Self { markers, plain })
    }

    /// Loads and checks against the model's vocabulary.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn for_vocabulary(bytes: &[u8], vocabulary: usize) -> Result<Self, TokenizerError> {
        let tokenizer = Self::from_json(bytes)?;
        let tokens = tokenizer.size();
        if tokens > vocabulary {
            return Err(TokenizerError::TooManyTokens { tokens, vocabulary });
        }
        Ok(tokenizer)
    }

    /// One more than the largest token id.
    pub fn size(&self) -> usize {
        let vocabulary = self.markers.get_vocab(true);
        vocabulary.values().max().map_or(0, |id| *id as usize + 1)
    }

    /// Tokens of a text by someone we need not trust: `<|im_end|>` in it is seven plain signs, not a control token.
    ///
    /// # Errors
    /// [`TokenizerError::Text`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Self::run(&self.plain, text)
    }

    /// Tokens of a rendered chat template, whose markers become control tokens.
    ///
    /// # Errors
    /// [`TokenizerError::Text`].
    pub fn encode_with_markers(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Self::run(&self.markers, text)
    }

    fn run(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            tokenizer.encode_fast(text, false).map_err(|e| TokenizerError::Text(one_line(&e.to_string())))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens; control tokens are left out.
    ///
    /// # Errors
    /// [`TokenizerError::Text`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.markers.decode(ids, true).map_err(|e| TokenizerError::Text(one_line(&e.to_string())))
    }

    /// The id of a token by its written form.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.markers.token_to_id(token)
    }
}

/// Turns tokens into text as they come. The pieces together are the same however they are read.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    /// Tokens since a point where the text so far was whole.
    ids: Vec<u32>,
    /// How many of them have been shown; the others form no whole character yet.
    shown: usize,
}

impl TextStream {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text that `id` completes; empty while a character is unfinished.
    ///
    /// # Errors
    /// [`TokenizerError::Text`].
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, TokenizerError> {
        self.ids.push(id);
        self.take(tokenizer, self.ids.len() - self.shown >= MAX_HELD)
    }

    /// What was held back, as it is; call once, at the end.
    ///
    /// # Errors
    /// [`TokenizerError::Text`].
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
        self.take(tokenizer, true)
    }

    fn take(&mut self, tokenizer: &Tokenizer, even_if_broken: bool) -> Result<String, TokenizerError> {
        // Decoding from a little earlier gives the new text its context, such as a leading space.
        let before = tokenizer.decode(&self.ids[..self.shown])?;
        let whole = tokenizer.decode(&self.ids)?;
        if whole.len() <= before.len() || (whole.ends_with('\u{fffd}') && !even_if_broken) {
            return Ok(String::new());
        }
        let Some(new) = whole.get(before.len()..).map(str::to_owned) else { return Ok(String::new()) };
        self.ids.drain(..self.shown);
        self.shown = self.ids.len();
        Ok(new)
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
