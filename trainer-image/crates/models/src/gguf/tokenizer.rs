//! `tokenizer.json` and `tokenizer_config.json` rebuilt from GGUF metadata, for byte-level BPE (`gpt2`).

use serde_json::{Map, Value as Json, json};

use super::{GgufError, Metadata, token_id, unsupported};
use crate::config::LlamaConfig;
use crate::line::one_line;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// The pre-tokenizers known here, by llama.cpp's names.
pub(super) const SUPPORTED: [&str; 5] = ["gpt-2", "smollm", "starcoder", "refact", "llama-bpe"];

/// How Llama 3 cuts text before BPE.
const LLAMA3: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// Tokens that end a turn or a text, whatever the metadata name as end: llama.cpp stops at these too.
const ENDS: [&str; 7] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|end|>", "</s>"];

/// Token types of GGUF.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// What [`rebuild`] makes.
pub(super) struct Files {
    pub(super) tokenizer: Json,
    pub(super) tokenizer_config: Json,
    pub(super) eos_token_ids: Vec<u32>,
}

/// Rebuilds both files and proves that the tokenizer loads.
pub(super) fn rebuild(metadata: &Metadata, config: &LlamaConfig) -> Result<Files, GgufError> {
    let model = metadata.text("tokenizer.ggml.model")?.unwrap_or_default();
    if model != "gpt2" {
        return Err(unsupported(format!("tokenizer `{}`", one_line(model))));
    }
    let tokens = metadata.texts("tokenizer.ggml.tokens")?;
    if tokens.len() != config.vocab_size {
        return Err(GgufError::Tokenizer(format!(
            "{} tokens for {} rows of the embedding",
            tokens.len(),
            config.vocab_size
        )));
    }
    let added = added_tokens(metadata, tokens)?;
    let pre = metadata.text("tokenizer.ggml.pre")?.unwrap_or_default();
    let bos = metadata.flag("tokenizer.ggml.add_bos_token")?.then_some(config.bos_token_id).flatten();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(pre)?,
        "post_processor": post_processor(bos, tokens),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": pre == "llama-bpe",
            "vocab": vocabulary(tokens)?,
            "merges": merges(metadata)?,
        },
    });
    Tokenizer::from_json(tokenizer.to_string().as_bytes()).map_err(|error| match error {
        TokenizerError::Unreadable(problem) => GgufError::Tokenizer(problem),
        other => GgufError::Tokenizer(other.to_string()),
    })?;
    let eos = token_id(metadata, "tokenizer.ggml.eos_token_id")?;
    Ok(Files {
        tokenizer,
        tokenizer_config: tokenizer_config(metadata, config, tokens, eos)?,
        eos_token_ids: ends(eos, &added, tokens)?,
    })
}

/// Control and user-defined tokens, which are matched before BPE; only control tokens are special.
fn added_tokens(metadata: &Metadata, tokens: &[String]) -> Result<Vec<Json>, GgufError> {
    let key = "tokenizer.ggml.token_type";
    let types = metadata.numbers(key)?;
    if types.len() != tokens.len() {
        return Err(Metadata::wrong(key, format!("has {} entries for {} tokens", types.len(), tokens.len())));
    }
    let mut added = Vec::new();
    for (id, (kind, content)) in types.iter().zip(tokens).enumerate() {
        if matches!(*kind, CONTROL | USER_DEFINED) {
            added.push(json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == CONTROL,
            }));
        }
    }
    Ok(added)
}

fn pre_tokenizer(pre: &str) -> Result<Json, GgufError> {
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    match pre {
        "gpt-2" => Ok(bytes(true)),
        // Each digit alone, then the pattern of GPT-2, which ByteLevel applies.
        "smollm" | "starcoder" | "refact" => Ok(json!({
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes(true)],
        })),
        "llama-bpe" => Ok(json!({
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": false},
                bytes(false),
            ],
        })),
        other => Err(unsupported(format!("pre-tokenizer `{}`", one_line(other)))),
    }
}

/// Puts the first token before a text where the model was trained so.
fn post_processor(bos: Option<u32>, tokens: &[String]) -> Json {
    let Some((id, token)) = bos.and_then(|id| Some((id, tokens.get(id as usize)?))) else {
        return Json::Null;
    };
    json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [
            {"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": token, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

fn vocabulary(tokens: &[String]) -> Result<Map<String, Json>, GgufError> {
    let mut vocabulary = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocabulary.insert(token.clone(), json!(id)).is_some() {
            return Err(GgufError::Tokenizer(format!("token {id} is there twice")));
        }
    }
    Ok(vocabulary)
}

fn merges(metadata: &Metadata) -> Result<Vec<Json>, GgufError> {
    let pair = |merge: &String| match merge.split_once(' ') {
        Some((left, right)) => Ok(json!([left, right])),
        None => Err(Metadata::wrong("tokenizer.ggml.merges", "holds a merge without a space")),
    };
    metadata.texts("tokenizer.ggml.merges")?.iter().map(pair).collect()
}

/// The named end first, then every other control token that ends.
fn ends(eos: Option<u32>, added: &[Json], tokens: &[String]) -> Result<Vec<u32>, GgufError> {
    let mut ids: Vec<u32> = eos.into_iter().collect();
    if let Some(id) = eos.filter(|id| *id as usize >= tokens.len()) {
        return Err(Metadata::wrong(
            "tokenizer.ggml.eos_token_id",
            format!("is {id}, beyond the last token"),
        ));
    }
    for token in added {
        let is_end = token["special"] == true && ENDS.iter().any(|end| token["content"] == *end);
        let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        if let Some(id) = id.filter(|id| is_end && !ids.contains(id)) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn tokenizer_config(
    metadata: &Metadata,
    config: &LlamaConfig,
    tokens: &[String],
    eos: Option<u32>,
) -> Result<Json, GgufError> {
    let named = |id: Option<u32>| id.and_then(|id| tokens.get(id as usize)).cloned();
    Ok(json!({
        "add_bos_token": metadata.flag("tokenizer.ggml.add_bos_token")?,
        "bos_token": named(config.bos_token_id),
        "chat_template": metadata.text("tokenizer.chat_template")?,
        "clean_up_tokenization_spaces": false,
        "eos_token": named(eos),
        "model_max_length": config.max_position_embeddings,
        "pad_token": named(token_id(metadata, "tokenizer.ggml.padding_token_id")?),
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": named(token_id(metadata, "tokenizer.ggml.unknown_token_id")?),
    }))
}
