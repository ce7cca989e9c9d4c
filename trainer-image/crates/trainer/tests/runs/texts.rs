//! Works to train on, and a tokenizer for them that fits the fixtures' vocabulary of 61.

use serde_json::{Map, json};

const MARKERS: [&str; 3] = ["?", "<s>", "</s>"];
const VOCABULARY: usize = 61;

/// A word is a token.
pub fn tokenizer() -> String {
    let words = (MARKERS.len()..VOCABULARY).map(word);
    let vocabulary: Map<_, _> =
        MARKERS.iter().map(ToString::to_string).chain(words).zip((0..).map(Into::into)).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}
    })
    .to_string()
}

fn word(id: usize) -> String {
    format!("w{id}")
}

/// A sentence of `length` words that follow each other like numbers, so that there is something to learn.
pub fn sentence(first: usize, length: usize) -> String {
    let words = MARKERS.len()..VOCABULARY;
    (first..first + length).map(|place| word(words.start + place % words.len())).collect::<Vec<_>>().join(" ")
}

/// A row of JSON a text.
pub fn rows(texts: &[String]) -> String {
    texts.iter().map(|text| json!({"text": text}).to_string() + "\n").collect()
}
