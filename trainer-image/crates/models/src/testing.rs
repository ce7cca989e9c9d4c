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
