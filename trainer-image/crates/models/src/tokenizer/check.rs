//! What of a `tokenizer.json` is looked at before the tokenizers' own crate reads it. That crate panics over a merge
//! without its result, and over a decoder that strips more than there is; some of its parts make gigabytes of a word;
//! and it numbers added tokens as it likes.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::TokenizerError;
use crate::line::{object, one_line};

/// Components a place may have, and what the list of a sequence is called there.
const PLACES: [(&str, &str, &[&str]); 3] = [
    (
        "normalizer",
        "normalizers",
        &["Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Sequence"],
    ),
    (
        "pre_tokenizer",
        "pretokenizers",
        &[
            "ByteLevel",
            "Digits",
            "Metaspace",
            "Punctuation",
            "Sequence",
            "Split",
            "Whitespace",
            "WhitespaceSplit",
        ],
    ),
    (
        "decoder",
        "decoders",
        &["ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence", "Strip"],
    ),
];
/// Components of a place.
const MAX_COMPONENTS: usize = 16;
/// Components of a place that write something for every sign of a text.
const MAX_REPLACEMENTS: usize = 2;
/// Bytes that one of them may write.
const MAX_REPLACEMENT: usize = 16;
/// Bytes of a regular expression.
const MAX_PATTERN: usize = 4096;
/// Bytes of an added token.
const MAX_ADDED: usize = 1024;
/// Ids are below.
const MAX_ID: u32 = 1 << 22;

/// A token beside the model's vocabulary, or a marker in it.
#[derive(Deserialize)]
#[serde(expecting = "an added token")]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
#[serde(expecting = "a model of words")]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a merge is no pair of tokens")]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// The added tokens of a file that can be loaded.
pub(super) fn check(bytes: &[u8]) -> Result<Vec<Added>, TokenizerError> {
    let file: File = object(bytes).map_err(TokenizerError::Unreadable)?;
    for ((place, list, known), value) in
        PLACES.iter().zip([&file.normalizer, &file.pre_tokenizer, &file.decoder])
    {
        let mut found = Vec::new();
        components(value, list, &mut found);
        if found.len() > MAX_COMPONENTS {
            return Err(unsupported(format!("a {place} of more than {MAX_COMPONENTS} parts")));
        }
        for part in &found {
            check_component(place, known, part)?;
        }
        if found.iter().filter(|part| part["type"] == "Replace").count() > MAX_REPLACEMENTS {
            return Err(unsupported(format!("a {place} of more than {MAX_REPLACEMENTS} replacements")));
        }
    }
    check_model(&file.model)?;
    if let Some(added) =
        file.added_tokens.iter().find(|added| !(1..=MAX_ADDED).contains(&added.content.len()))
    {
        let length = added.content.len();
        return Err(unreadable(&format!(
            "added token {} has {length} bytes, 1 to {MAX_ADDED} are taken",
            added.id
        )));
    }
    Ok(file.added_tokens)
}

/// What stands in a place, the parts of sequences too.
fn components<'a>(value: &'a Value, list: &str, found: &mut Vec<&'a Value>) {
    if value.is_null() {
        return;
    }
    found.push(value);
    for part in value[list].as_array().into_iter().flatten() {
        components(part, list, found);
    }
}

fn check_component(place: &str, known: &[&str], part: &Value) -> Result<(), TokenizerError> {
    let kind = part["type"].as_str().unwrap_or_default();
    if !known.contains(&kind) {
        return Err(unsupported(format!("{place} `{}`", one_line(kind))));
    }
    let length = |text: &Value| text.as_str().map_or(0, str::len);
    let too_much = match kind {
        "Replace" => length(&part["content"]) > MAX_REPLACEMENT || !part["pattern"]["String"].is_string(),
        "Prepend" => length(&part["prepend"]) > MAX_REPLACEMENT,
        "Split" => length(&part["pattern"]["Regex"]) > MAX_PATTERN,
        "Strip" => part["stop"] != 0,
        _ => false,
    };
    if too_much {
        return Err(unsupported(format!("a {place} `{kind}` of these settings")));
    }
    Ok(())
}

fn check_model(model: &Model) -> Result<(), TokenizerError> {
    if !matches!(model.kind.as_str(), "BPE" | "WordLevel") {
        return Err(unsupported(format!("model type `{}`", one_line(&model.kind))));
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("dropout, which gives a text other tokens each time,".to_owned()));
    }
    if model.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()) {
        return Err(unsupported("continuing_subword_prefix".to_owned()));
    }
    let mut ids = HashSet::with_capacity(model.vocab.len());
    for id in model.vocab.values() {
        if *id >= MAX_ID {
            return Err(unreadable(&format!("a token has id {id}, at most {} is taken", MAX_ID - 1)));
        }
        if !ids.insert(id) {
            return Err(unreadable(&format!("two tokens have id {id}")));
        }
    }
    let known = |token: &str| model.vocab.contains_key(token);
    for (number, merge) in model.merges.iter().enumerate() {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_str(), right.as_str()),
            Merge::Line(line) if line.starts_with("#version") => continue,
            Merge::Line(line) => line.split_once(' ').unwrap_or((line.as_str(), "")),
        };
        if !(known(left) && known(right) && known(&format!("{left}{right}"))) {
            return Err(unreadable(&format!(
                "merge {} joins or makes a token that the vocabulary lacks",
                number + 1
            )));
        }
    }
    Ok(())
}

fn unreadable(problem: &str) -> TokenizerError {
    TokenizerError::Unreadable(one_line(problem))
}

fn unsupported(what: String) -> TokenizerError {
    TokenizerError::Unsupported(what)
}
