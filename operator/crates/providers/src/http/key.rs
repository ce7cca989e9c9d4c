//! What must not be seen, and how vendors' texts are shown without it.

use std::fmt;

use crate::driver::Payload;

/// Most characters of a vendor's text that are shown.
const MOST_SHOWN: usize = 200;
/// What stands in the place of what is hidden.
const MASK: &str = "***";
/// Shortest word of a payload that can be a secret.
const SHORTEST_SECRET: usize = 8;

/// An API key. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// From its text; white space around it, as files have it, is no part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// Whether it can be sent.
    pub(super) fn is_legal(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, MASK) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({MASK})")
    }
}

/// The words of a payload, any of which may be a token: vendors repeat what they do not understand.
#[derive(Default)]
pub(crate) struct Hidden(Vec<String>);

impl Hidden {
    /// What a payload has that may be secret.
    pub(crate) fn of(payload: &Payload) -> Self {
        let mut words = match payload {
            Payload::UserData(text) => words(text),
            Payload::Container(container) => {
                let values = container.environment.iter().map(|(_, value)| value);
                values.chain(&container.arguments).flat_map(|text| words(text)).collect()
            }
        };
        // The longest first: a word may be a part of another.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Self(words)
    }

    pub(crate) fn scrub(&self, text: &str) -> String {
        // One walk over each word is enough: messages are short.
        self.0.iter().fold(text.to_owned(), |text, word| {
            if text.contains(word.as_str()) { text.replace(word.as_str(), MASK) } else { text }
        })
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({} words)", self.0.len())
    }
}

fn words(text: &str) -> Vec<String> {
    let edge = |character: char| {
        character.is_whitespace() || matches!(character, '"' | '\'' | '=' | ',' | ';' | '\\')
    };
    text.split(edge).filter(|word| word.len() >= SHORTEST_SECRET).map(str::to_owned).collect()
}

/// A text as one line of at most 200 characters.
pub(crate) fn shown(text: &str) -> String {
    let line: Vec<&str> =
        text.split(|character: char| character.is_whitespace() || character.is_control()).collect();
    let line = line.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST_SHOWN {
        return line;
    }
    let kept: String = line.chars().take(MOST_SHOWN - 1).collect();
    format!("{kept}…")
}
