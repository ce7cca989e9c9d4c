//! What an adapter makes of a text, for comparison with another implementation (`e2e/parity/check_adapter.py`):
//! `cargo run -p cooperator-models --example logits -- BASE ADAPTER TEXT_FILE OUT.safetensors`. `BASE` is a folder in Hugging
//! Face layout, `ADAPTER` one in PEFT layout (`kubectl coop pull` makes both). Writes the `tokens` [n], the `logits` [n, vocabulary]
//! that the server computes, a token at a time, and those of the `base` alone.

use std::error::Error;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use cooperator_models::config::LlamaConfig;
use cooperator_models::infer::InferModel;
use cooperator_models::lora::LoraAdapter;
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::weights::Weights;

/// Most tokens of the text that are read.
const TOKENS: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let mut next = |what: &str| arguments.next().ok_or(format!("which {what}? BASE ADAPTER TEXT_FILE OUT"));
    let (base, adapter, text, out) = (next("base")?, next("adapter")?, next("text")?, next("file")?);
    let config = LlamaConfig::from_json(&std::fs::read(base.join("config.json"))?)?;
    let weights = Weights::read(&config, &base)?;
    let read = |name: &str| std::fs::read(adapter.join(name));
    let adapter =
        LoraAdapter::from_peft(&config, &read("adapter_config.json")?, &read("adapter_model.safetensors")?)?;
    let tokenizer =
        Tokenizer::for_vocabulary(&std::fs::read(base.join("tokenizer.json"))?, config.vocab_size)?;
    let mut tokens = tokenizer.encode(&std::fs::read_to_string(text)?)?;
    tokens.truncate(TOKENS);
    let adapted = logits(&InferModel::new(&config, &weights, Some(&adapter))?, &tokens)?;
    let plain = logits(&InferModel::new(&config, &weights, None)?, &tokens)?;
    let shape = (tokens.len(), config.vocab_size);
    let tensors = std::collections::HashMap::from([
        ("tokens", Tensor::new(tokens.as_slice(), &Device::Cpu)?),
        ("logits", Tensor::from_vec(adapted, shape, &Device::Cpu)?),
        ("base", Tensor::from_vec(plain, shape, &Device::Cpu)?),
    ]);
    Ok(candle_core::safetensors::save(&tensors, out)?)
}

/// Logits after each token, in rows.
fn logits(model: &InferModel, tokens: &[u32]) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut cache = model.cache();
    let mut rows = Vec::new();
    for token in tokens {
        rows.extend(model.read(&mut cache, &[*token])?);
    }
    Ok(rows)
}
