//! Positions and kinds of models that are computed in another way.

use super::*;

pub(super) fn positions() -> Vec<Case> {
    vec![
        raw("a base that is NaN", "rope_theta", "NaN", "unreadable: expected value at line 1 column 338"),
        raw(
            "a base of 10^400",
            "rope_theta",
            "1e400",
            "unreadable: number out of range at line 1 column 342",
        ),
        with(
            "a base of 10^300",
            "rope_theta",
            json!(1e300),
            "field: rope_theta is 1e300; it must be above 1, at most 1e12",
        ),
        with(
            "a base of 0",
            "rope_theta",
            json!(0),
            "field: rope_theta is 0.0; it must be above 1, at most 1e12",
        ),
        with(
            "a base below zero",
            "rope_theta",
            json!(-10_000.0),
            "field: rope_theta is -10000.0; it must be above 1, at most 1e12",
        ),
        with(
            "two bases",
            "rope_parameters",
            json!({"rope_type": "default", "rope_theta": 7.0}),
            "unreadable: rope_theta is there twice and differs",
        ),
        with(
            "positions of another kind",
            "rope_scaling",
            json!({"type": "yarn", "factor": 4.0}),
            "unsupported: rope type `yarn`",
        ),
        with(
            "positions of two kinds",
            "rope_scaling",
            json!({"type": "linear", "rope_type": "default"}),
            "unreadable: rope type is there twice and differs",
        ),
        with(
            "half of each head rotated",
            "partial_rotary_factor",
            json!(0.5),
            "unsupported: partial_rotary_factor 0.5",
        ),
        stretched(
            "a factor of 0",
            "factor",
            json!(0),
            "unreadable: rope type `llama3` needs `factor` from 1",
        ),
        stretched(
            "a factor below 1",
            "factor",
            json!(1e-300),
            "unreadable: rope type `llama3` needs `factor` from 1",
        ),
        stretched("no factor", "factor", Value::Null, "unreadable: rope type `llama3` needs `factor` from 1"),
        stretched(
            "a low bound of 0",
            "low_freq_factor",
            json!(0),
            "unreadable: rope type `llama3` needs `low_freq_factor` from 0.000001",
        ),
        stretched(
            "bounds that meet",
            "high_freq_factor",
            json!(1.0),
            "field: high_freq_factor is 1; it must be above low_freq_factor (1)",
        ),
        stretched(
            "bounds the other way round",
            "high_freq_factor",
            json!(0.5),
            "field: high_freq_factor is 0.5; it must be above low_freq_factor (1)",
        ),
        stretched(
            "no first context",
            "original_max_position_embeddings",
            json!(0),
            "field: original_max_position_embeddings is 0; it must be 1 to 16777216",
        ),
        stretched(
            "a first context of 2^60",
            "original_max_position_embeddings",
            json!(1_u64 << 60),
            "field: original_max_position_embeddings is 1152921504606846976; it must be 1 to 16777216",
        ),
        taken("positions named twice alike", || {
            read(changed("rope_scaling", llama3(|rope| rope["type"] = json!("llama3"))).as_bytes())
        }),
    ]
}

pub(super) fn kinds() -> Vec<Case> {
    vec![
        with("another kind of model", "model_type", json!("qwen2\n"), "unsupported: model_type `qwen2 `"),
        with(
            "a kind of half a megabyte",
            "model_type",
            json!("a".repeat(1 << 19)),
            "unsupported: model_type `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`",
        ),
        with(
            "another head",
            "architectures",
            json!(["LlamaForSequenceClassification"]),
            "unsupported: architecture `LlamaForSequenceClassification`",
        ),
        with("another activation", "hidden_act", json!("gelu"), "unsupported: hidden_act `gelu`"),
        with("biases of attention", "attention_bias", json!(true), "unsupported: attention_bias true"),
        with("biases of the MLP", "mlp_bias", json!(true), "unsupported: mlp_bias true"),
        with("a window", "sliding_window", json!(4096), "unsupported: sliding_window 4096"),
        with(
            "a window that transformers takes by itself",
            "model_type",
            json!("mistral"),
            "unsupported: model_type `mistral` without sliding_window null",
        ),
        with(
            "quantised weights",
            "quantization_config",
            json!({"bits": 4}),
            "unsupported: quantization_config",
        ),
    ]
}
