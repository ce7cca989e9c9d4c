//! `config.json` of shapes that cannot be, or that are computed in another way.

mod kinds;

use cooperator_models::config::LlamaConfig;
use serde_json::{Value, json};

use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 3] = [
    ("unreadable", "config.json cannot be read: ...; give that of the model as its authors published it"),
    (
        "unsupported",
        "config.json: ... is not supported; supported are LlamaForCausalLM and MistralForCausalLM without biases and \
         sliding window, SiLU, rope `default` or `llama3`",
    ),
    ("field", "config.json: ..."),
];

fn smollm2() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0, "rope_scaling": null, "tie_word_embeddings": true, "attention_bias": false,
        "bos_token_id": 1, "eos_token_id": 2
    })
}

fn read(bytes: &[u8]) -> Result<(), String> {
    LlamaConfig::from_json(bytes).map(drop).map_err(|error| error.to_string())
}

/// These bytes.
fn no(name: &'static str, bytes: impl Into<Vec<u8>>, line: &'static str) -> Case {
    let bytes = bytes.into();
    refused(name, whole(line, &LINES), move || read(&bytes))
}

/// SmolLM2 with another value of a field.
fn with(name: &'static str, field: &str, value: Value, line: &'static str) -> Case {
    no(name, changed(field, value), line)
}

fn changed(field: &str, value: Value) -> String {
    let mut config = smollm2();
    config[field] = value;
    config.to_string()
}

/// SmolLM2 with a word of JSON that serde_json would not write.
fn raw(name: &'static str, field: &str, word: &str, line: &'static str) -> Case {
    no(name, changed(field, json!("WORD")).replace("\"WORD\"", word), line)
}

fn llama3(change: impl FnOnce(&mut Value)) -> Value {
    let mut rope = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    change(&mut rope);
    rope
}

/// SmolLM2 with the positions of Llama 3 and one value of them changed.
fn stretched(name: &'static str, field: &'static str, value: Value, line: &'static str) -> Case {
    with(name, "rope_scaling", llama3(|rope| rope[field] = value), line)
}

fn files() -> Vec<Case> {
    let mut twice = smollm2().to_string();
    twice.truncate(twice.len() - 1);
    vec![
        no("an empty file", "", "unreadable: it is empty"),
        no("no JSON", "model_type: llama", "unreadable: it is no JSON object"),
        no("a list", "[]", "unreadable: it is no JSON object"),
        no("100,000 brackets", "[".repeat(100_000), "unreadable: it is no JSON object"),
        no(
            "100,000 brackets in a field",
            format!("{{\"a\":{}", "[".repeat(100_000)),
            "unreadable: EOF while parsing a list at line 1 column 100005",
        ),
        no("a file of 2 MiB", " ".repeat(2 << 20), "unreadable: 2097152 bytes, at most 1048576"),
        no("no fields", "{}", "unreadable: missing field `model_type` at line 1 column 2"),
        no(
            "a width twice",
            twice + ",\"hidden_size\":64}",
            "unreadable: duplicate field `hidden_size` at line 1 column 405",
        ),
        no("a page", "<html></html>", "unreadable: it is no JSON object"),
        no(
            "no UTF-8",
            b"{\"model_type\":\"\xff\"}",
            "unreadable: invalid unicode code point at line 1 column 16",
        ),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        with("no width", "hidden_size", json!(0), "field: hidden_size is 0; it must be 1 to 262144"),
        with(
            "a width below zero",
            "hidden_size",
            json!(-576),
            "unreadable: invalid value: integer `-576`, expected usize at line 1 column 133",
        ),
        with(
            "a width of 2^63",
            "hidden_size",
            json!(1_u64 << 63),
            "field: num_attention_heads is 9; it must be a divisor of hidden_size (9223372036854775808), or head_dim given",
        ),
        raw(
            "a width of 2^64",
            "hidden_size",
            "18446744073709551616",
            "unreadable: invalid type: floating point `1.8446744073709552e+19`, expected usize at line 1 column 149",
        ),
        with(
            "a width that is a fraction",
            "hidden_size",
            json!(576.5),
            "unreadable: invalid type: floating point `576.5`, expected usize at line 1 column 134",
        ),
        with(
            "a width that is a word",
            "hidden_size",
            json!("wide\n"),
            "unreadable: invalid type: string \"wide\\n\", expected usize at line 1 column 137",
        ),
        with(
            "a width that is a word of half a megabyte",
            "hidden_size",
            json!("a".repeat(1 << 19)),
            "unreadable: invalid type: string \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        with(
            "no width of the MLP",
            "intermediate_size",
            json!(0),
            "field: intermediate_size is 0; it must be 1 to 262144",
        ),
        with(
            "an MLP of 2^62",
            "intermediate_size",
            json!(1_u64 << 62),
            "field: intermediate_size is 4611686018427387904; it must be 1 to 262144",
        ),
        with(
            "no layers",
            "num_hidden_layers",
            json!(0),
            "field: num_hidden_layers is 0; it must be 1 to 1024",
        ),
        with(
            "2^40 layers",
            "num_hidden_layers",
            json!(1_u64 << 40),
            "field: num_hidden_layers is 1099511627776; it must be 1 to 1024",
        ),
        with(
            "no heads",
            "num_attention_heads",
            json!(0),
            "field: num_attention_heads is 0; it must be a divisor of hidden_size (576), or head_dim given",
        ),
        with(
            "heads that do not divide the width",
            "num_attention_heads",
            json!(7),
            "field: num_attention_heads is 7; it must be a divisor of hidden_size (576), or head_dim given",
        ),
        with(
            "2^62 heads",
            "num_attention_heads",
            json!(1_u64 << 62),
            "field: num_attention_heads is 4611686018427387904; it must be a divisor of hidden_size (576), or head_dim given",
        ),
        with(
            "no heads for keys",
            "num_key_value_heads",
            json!(0),
            "field: num_key_value_heads is 0; it must be 1 to 9",
        ),
        with(
            "more heads for keys than for queries",
            "num_key_value_heads",
            json!(18),
            "field: num_key_value_heads is 18; it must be 1 to 9",
        ),
        with(
            "heads for keys that do not divide",
            "num_key_value_heads",
            json!(4),
            "field: num_key_value_heads is 4; it must be a divisor of num_attention_heads (9)",
        ),
        with("heads of nothing", "head_dim", json!(0), "field: head_dim is 0; it must be 1 to 262144"),
        with(
            "heads that have no pairs",
            "head_dim",
            json!(63),
            "field: head_dim is 63; it must be even, for rotary positions",
        ),
        with(
            "heads that are too wide together",
            "head_dim",
            json!(1 << 18),
            "field: num_attention_heads is 9; it must be at most 262144 together with head_dim",
        ),
        with("no vocabulary", "vocab_size", json!(0), "field: vocab_size is 0; it must be 1 to 4194304"),
        with(
            "a vocabulary of 2^32",
            "vocab_size",
            json!(1_u64 << 32),
            "field: vocab_size is 4294967296; it must be 1 to 4194304",
        ),
        with(
            "no context",
            "max_position_embeddings",
            json!(0),
            "field: max_position_embeddings is 0; it must be 1 to 16777216",
        ),
        with(
            "a context of 2^40",
            "max_position_embeddings",
            json!(1_u64 << 40),
            "field: max_position_embeddings is 1099511627776; it must be 1 to 16777216",
        ),
        with(
            "an end beyond the vocabulary",
            "eos_token_id",
            json!(49152),
            "field: bos_token_id or eos_token_id is 49152; it must be below vocab_size (49152)",
        ),
        with(
            "an end beyond the vocabulary among others",
            "eos_token_id",
            json!([2, 49152]),
            "field: bos_token_id or eos_token_id is 49152; it must be below vocab_size (49152)",
        ),
        with(
            "an end below zero",
            "eos_token_id",
            json!(-1),
            "unreadable: eos_token_id is no token id and no list of them at line 1 column 95",
        ),
        with(
            "an end that is a word",
            "eos_token_id",
            json!("</s>"),
            "unreadable: eos_token_id is no token id and no list of them at line 1 column 99",
        ),
        with(
            "a beginning of 2^32",
            "bos_token_id",
            json!(1_u64 << 32),
            "unreadable: invalid value: integer `4294967296`, expected u32 at line 1 column 86",
        ),
        raw(
            "an epsilon that is NaN",
            "rms_norm_eps",
            "NaN",
            "unreadable: expected value at line 1 column 297",
        ),
        with(
            "an epsilon of 0",
            "rms_norm_eps",
            json!(0.0),
            "field: rms_norm_eps is 0.0; it must be 1e-30 to below 1",
        ),
        with(
            "an epsilon that is 0 in 32 bits",
            "rms_norm_eps",
            json!(1e-50),
            "field: rms_norm_eps is 1e-50; it must be 1e-30 to below 1",
        ),
        with(
            "an epsilon of 1",
            "rms_norm_eps",
            json!(1),
            "field: rms_norm_eps is 1.0; it must be 1e-30 to below 1",
        ),
        with(
            "an epsilon below zero",
            "rms_norm_eps",
            json!(-1e-5),
            "field: rms_norm_eps is -1e-5; it must be 1e-30 to below 1",
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [files(), numbers(), kinds::positions(), kinds::kinds()].into_iter().flatten().collect()
}
