use serde_json::{Value, json};

use super::*;

fn smollm2() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 100000, "rope_scaling": null, "tie_word_embeddings": true, "attention_bias": false,
        "bos_token_id": 1, "eos_token_id": 2, "rope_interleaved": false
    })
}

fn read(value: &Value) -> Result<LlamaConfig, ConfigError> {
    LlamaConfig::from_json(value.to_string().as_bytes())
}

fn refusal(field: &str, value: Value) -> String {
    let mut config = smollm2();
    config[field] = value;
    read(&config).unwrap_err().to_string()
}

#[test]
fn smollm2_has_the_published_number_of_parameters() {
    let config = read(&smollm2()).unwrap();
    assert_eq!(config.parameters(), 134_515_008);
    assert_eq!((config.head_dim, config.group_size(), config.kv_size()), (64, 3, 192));
    assert_eq!(config.eos_token_ids, [2]);
}

#[test]
fn written_and_read_is_the_same() {
    let mut value = smollm2();
    value["eos_token_id"] = json!([2, 7]);
    value["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    let config = read(&value).unwrap();
    assert_eq!(read(&config.to_json("bfloat16")).unwrap(), config);
}

// A property found it: a reader of JSON that is off in the last place changes a number each time it is passed on.
#[test]
fn a_number_is_read_to_the_last_place() {
    let mut value = smollm2();
    value["rms_norm_eps"] = json!("here");
    let text = value.to_string().replace(r#""here""#, "0.09223372036854775");
    let config = LlamaConfig::from_json(text.as_bytes()).unwrap();
    assert_eq!(config.rms_norm_eps, 0.09223372036854775);
    assert_eq!(read(&config.to_json("bfloat16")).unwrap(), config);
}

#[test]
fn rope_is_read_from_where_transformers_5_keeps_it() {
    let mut value = smollm2();
    value["rope_theta"] = Value::Null;
    value["rope_parameters"] = json!({"rope_theta": 130000.0, "rope_type": "default"});
    let config = read(&value).unwrap();
    assert_eq!((config.rope_theta, config.rope_scaling), (130_000.0, None));
}

#[test]
fn what_computes_differently_is_refused_and_the_refusal_says_what_is_supported() {
    let refusals = [
        ("model_type", json!("qwen2")),
        ("architectures", json!(["LlamaForSequenceClassification"])),
        ("hidden_act", json!("gelu")),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("sliding_window", json!(4096)),
        ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
        ("quantization_config", json!({"bits": 4})),
    ];
    for (field, value) in refusals {
        let text = refusal(field, value);
        assert!(text.contains("supported are LlamaForCausalLM") && !text.contains('\n'), "{field}: {text}");
    }
}

#[test]
fn numbers_out_of_bounds_are_refused_by_name() {
    let refusals = [
        ("num_key_value_heads", json!(4)),
        ("num_key_value_heads", json!(0)),
        ("num_attention_heads", json!(0)),
        ("num_attention_heads", json!(7)),
        ("head_dim", json!(63)),
        ("num_hidden_layers", json!(100_000)),
        ("vocab_size", json!(0)),
        ("rms_norm_eps", json!(0.0)),
        ("rope_theta", json!(-1.0)),
        ("eos_token_id", json!(49152)),
    ];
    for (field, value) in refusals {
        let text = refusal(field, value);
        assert!(text.contains(field), "{field}: {text}");
    }
    assert!(refusal("hidden_size", json!("wide")).contains("cannot be read"));
}

#[test]
fn llama3_stretches_low_frequencies_only() {
    let mut value = smollm2();
    let plain = read(&value).unwrap().inverse_frequencies();
    value["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192});
    let stretched = read(&value).unwrap().inverse_frequencies();
    assert_eq!(plain.len(), 32);
    assert_eq!(plain[0], stretched[0]);
    assert!((stretched[31] - plain[31] / 8.0).abs() < 1e-9);
    assert!((plain[1] - 100_000f32.powf(-1.0 / 32.0)).abs() < 1e-6);
}
