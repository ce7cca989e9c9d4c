use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Value, write};

use super::*;
use crate::testing::{byte_tokenizer, byte_tokenizer_config, random_tensors, tiny_config};

/// A tiny model whose matrices fit blocks of 32, in 32 bits.
fn model() -> (LlamaConfig, Vec<(String, Tensor)>) {
    let config = LlamaConfig {
        intermediate_size: 64,
        bos_token_id: Some(1),
        eos_token_ids: vec![2, 0],
        ..tiny_config(259)
    };
    let tensors = random_tensors(&config, 3).unwrap();
    let tensors = tensors.into_iter().map(|(n, t)| (n, t.to_dtype(DType::F32).unwrap())).collect();
    (config, tensors)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn metadata(config: &LlamaConfig) -> Vec<(&'static str, Value)> {
    let tokenizer = byte_tokenizer();
    let mut tokens: Vec<(String, u64)> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (token.clone(), id.as_u64().unwrap()))
        .collect();
    tokens.sort_by_key(|(_, id)| *id);
    let kinds = (0..tokens.len()).map(|id| Value::I32(if id < 3 { 3 } else { 1 })).collect();
    let number = |n: usize| Value::U32(n as u32);
    vec![
        ("general.architecture", text("llama")),
        ("llama.block_count", number(config.num_hidden_layers)),
        ("llama.context_length", number(config.max_position_embeddings)),
        ("llama.embedding_length", number(config.hidden_size)),
        ("llama.feed_forward_length", number(config.intermediate_size)),
        ("llama.attention.head_count", number(config.num_attention_heads)),
        ("llama.attention.head_count_kv", number(config.num_key_value_heads)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.rope.dimension_count", number(config.head_dim)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.tokens", Value::Array(tokens.iter().map(|(token, _)| text(token)).collect())),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", Value::Array(vec![])),
        ("tokenizer.ggml.bos_token_id", number(1)),
        ("tokenizer.ggml.eos_token_id", number(2)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ("tokenizer.chat_template", text(byte_tokenizer_config()["chat_template"].as_str().unwrap())),
    ]
}

/// As llama.cpp's converter does it: `reshape(heads, 2, rows / heads / 2, columns).swapaxes(1, 2)`.
fn permute(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = tensor.dims2().unwrap();
    let split = tensor.reshape((heads, 2, rows / heads / 2, columns)).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

/// Writes a GGUF file as llama.cpp would, `quantised` as Q8_0 and everything else as F32.
fn gguf(
    config: &LlamaConfig,
    tensors: &[(String, Tensor)],
    metadata: &[(&str, Value)],
    quantised: &str,
) -> tempfile::TempDir {
    let stored: Vec<(String, QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let tensor = match name.rsplit('.').nth(1) {
                Some("q_proj") => permute(tensor, config.num_attention_heads),
                Some("k_proj") => permute(tensor, config.num_key_value_heads),
                _ => tensor.clone(),
            };
            let dtype = if name.contains(quantised) { GgmlDType::Q8_0 } else { GgmlDType::F32 };
            let name = gguf_name(name).unwrap_or_else(|| name.clone());
            (name, QTensor::quantize(&tensor, dtype).unwrap())
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("m.gguf")).unwrap();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        stored.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write(&mut file, &metadata, &tensors).unwrap();
    folder
}

fn convert_in(folder: &tempfile::TempDir) -> Result<LlamaConfig, GgufError> {
    convert(&folder.path().join("m.gguf"), folder.path())
}

fn refusal(change: impl FnOnce(&mut Vec<(&'static str, Value)>, &mut Vec<(String, Tensor)>)) -> String {
    let (config, mut tensors) = model();
    let mut metadata = metadata(&config);
    change(&mut metadata, &mut tensors);
    let error = convert_in(&gguf(&config, &tensors, &metadata, "nothing")).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

fn set(metadata: &mut [(&'static str, Value)], key: &str, value: Value) {
    metadata.iter_mut().find(|(k, _)| *k == key).unwrap().1 = value;
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_converted_file_is_the_model_it_was_made_from() {
    let (config, tensors) = model();
    let folder = gguf(&config, &tensors, &metadata(&config), "nothing");
    assert_eq!(convert_in(&folder).unwrap(), config);
    let json = std::fs::read(folder.path().join("config.json")).unwrap();
    assert_eq!(LlamaConfig::from_json(&json).unwrap(), config);
    let weights = Weights::read(&config, folder.path()).unwrap();
    for (name, tensor) in &tensors {
        assert_eq!(flat(weights.get(name).unwrap()), flat(tensor), "{name}");
    }
}

#[test]
fn quantised_tensors_become_bf16_close_to_what_they_were() {
    let (config, tensors) = model();
    let folder = gguf(&config, &tensors, &metadata(&config), "mlp.down_proj");
    convert_in(&folder).unwrap();
    let weights = Weights::read(&config, folder.path()).unwrap();
    let name = "model.layers.0.mlp.down_proj.weight";
    let converted = weights.get(name).unwrap();
    assert_eq!(converted.dtype(), DType::BF16);
    let original = &tensors.iter().find(|(n, _)| n == name).unwrap().1;
    for (a, b) in flat(converted).iter().zip(flat(original)) {
        assert!((a - b).abs() < 0.35 / 127.0 + 0.35 / 256.0, "{a} {b}");
    }
    assert_eq!(weights.get("model.norm.weight").unwrap().dtype(), DType::F32);
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let (config, tensors) = model();
    let all = |folder: &tempfile::TempDir| {
        convert_in(folder).unwrap();
        ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
            .map(|name| std::fs::read(folder.path().join(name)).unwrap())
    };
    let make = || gguf(&config, &tensors, &metadata(&config), "mlp");
    assert_eq!(all(&make()), all(&make()));
}

#[test]
fn the_rebuilt_tokenizer_knows_markers_digits_and_the_chat_template() {
    let (config, tensors) = model();
    let folder = gguf(&config, &tensors, &metadata(&config), "nothing");
    convert_in(&folder).unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let tokenizer = crate::tokenizer::Tokenizer::for_vocabulary(&read("tokenizer.json"), 259).unwrap();
    assert_eq!(tokenizer.encode_with_markers("<|im_end|>").unwrap(), [2]);
    assert_eq!(tokenizer.decode(&tokenizer.encode("in 1865 é").unwrap()).unwrap(), "in 1865 é");
    let chat =
        crate::chat::ChatTemplate::from_tokenizer_config(&read("tokenizer_config.json"), |_| String::new());
    let message = crate::chat::Message { role: "user".to_owned(), content: "x".to_owned() };
    assert!(chat.unwrap().render(&[message], true).unwrap().ends_with("<|im_start|>assistant\n"));
}

#[test]
fn what_cannot_be_computed_is_refused_by_name() {
    let refusals = [
        ("general.architecture", text("gemma3"), "architecture `gemma3`"),
        ("tokenizer.ggml.model", text("llama"), "tokenizer `llama`"),
        ("tokenizer.ggml.pre", text("tekken"), "pre-tokenizer `tekken`"),
        ("llama.rope.dimension_count", Value::U32(4), "dimension_count 4"),
    ];
    for (key, value, expected) in refusals {
        let error = refusal(|metadata, _| set(metadata, key, value));
        assert!(error.contains(expected) && error.contains("supported are"), "{error}");
    }
    let bias = Tensor::zeros(32, DType::F32, &Device::Cpu).unwrap();
    let error = refusal(|_, tensors| tensors.push(("blk.0.attn_q.bias".to_owned(), bias)));
    assert!(error.contains("blk.0.attn_q.bias"), "{error}");
}

#[test]
fn contradictions_are_refused_without_a_panic() {
    let error = refusal(|metadata, _| set(metadata, "llama.attention.head_count", Value::U32(0)));
    assert!(error.contains("num_attention_heads"), "{error}");
    let error = refusal(|metadata, _| set(metadata, "llama.feed_forward_length", Value::U32(32)));
    assert!(error.contains("shape"), "{error}");
    let error = refusal(|_, tensors| tensors.retain(|(name, _)| name != "model.norm.weight"));
    assert!(error.contains("output_norm.weight"), "{error}");
    let error = refusal(|metadata, _| metadata.push(("general.alignment", Value::U32(0))));
    assert!(error.contains("`general.alignment` is 0"), "{error}");
    let error = refusal(|metadata, _| set(metadata, "tokenizer.ggml.eos_token_id", Value::U32(9999)));
    assert!(error.contains("eos_token_id"), "{error}");
}

#[test]
fn a_cut_file_and_another_file_are_refused() {
    let (config, tensors) = model();
    let folder = gguf(&config, &tensors, &metadata(&config), "nothing");
    let path = folder.path().join("m.gguf");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 3, 20, whole.len() / 2, whole.len() - 64] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(convert_in(&folder).is_err(), "{length} bytes");
    }
    std::fs::write(&path, b"PK\x03\x04 not a model").unwrap();
    assert!(matches!(convert_in(&folder), Err(GgufError::Malformed(_))));
}
