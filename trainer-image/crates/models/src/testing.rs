//! A tiny random model for tests, here and in the crates above: real mathematics, no meaning.

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::LlamaConfig;
use crate::weights::{Weights, WeightsError};

/// Two layers, hidden 32, 4 query and 2 key-value heads, MLP 48, tied; `vocab_size` as given.
pub fn tiny_config(vocab_size: usize) -> LlamaConfig {
    LlamaConfig {
        model_type: "llama".to_owned(),
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
        bos_token_id: Some(0),
        eos_token_ids: vec![0],
    }
}

/// Random tensors for `config` from `seed`, bf16; the same for the same arguments.
///
/// # Errors
/// [`WeightsError::Tensor`] if the tensor library fails.
pub fn random_tensors(config: &LlamaConfig, seed: u64) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut make = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        // Norm weights lie around one; matrices are small enough that activations stay of order one.
        let (centre, spread) = if shape.len() == 1 { (1.0, 0.2) } else { (0.0, 0.35) };
        let values: Vec<f32> =
            (0..count).map(|_| centre + spread * random.random_range(-1.0f32..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::BF16)
    };
    let tensors = config.tensors().into_iter().map(|(name, shape)| match make(&shape) {
        Ok(tensor) => Ok((name, tensor)),
        Err(source) => Err(WeightsError::Tensor { name, source }),
    });
    tensors.collect()
}

/// A complete random model.
///
/// # Errors
/// [`WeightsError::Tensor`] if the tensor library fails.
pub fn random_weights(config: &LlamaConfig, seed: u64) -> Result<Weights, WeightsError> {
    Weights::from_tensors(config, random_tensors(config, seed)?)
}

/// A `tokenizer.json` of 259 tokens: three markers, then every byte; no merges, so a token is a byte.
pub fn byte_tokenizer() -> serde_json::Value {
    let mut vocabulary = serde_json::Map::new();
    let markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    for (id, marker) in markers.iter().enumerate() {
        vocabulary.insert((*marker).to_owned(), id.into());
    }
    for (index, sign) in byte_signs().into_iter().enumerate() {
        vocabulary.insert(sign, (index + markers.len()).into());
    }
    let added: Vec<_> = markers
        .iter()
        .enumerate()
        .map(|(id, marker)| {
            serde_json::json!({"id": id, "content": marker, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": []},
    })
}

/// A `tokenizer_config.json` with a chat template in ChatML.
pub fn byte_tokenizer_config() -> serde_json::Value {
    let template = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}\
                    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    serde_json::json!({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": template})
}

/// The printable stand-ins of the 256 bytes in byte-level BPE, in the order of the stand-ins.
fn byte_signs() -> Vec<String> {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut signs: Vec<String> = alphabet.into_iter().map(String::from).collect();
    signs.sort();
    signs
}
