//! How many tokens a second a LoRA step takes on a random model of SmolLM2-135M's shape (r 8 on every linear layer).
//!
//! `cargo run -p cooperator-models --example train_speed [sequences] [tokens a sequence] [steps]`; 2, 256 and 5 by default.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use cooperator_models::config::{LINEARS, LlamaConfig};
use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::optimizer::{Accumulator, AdamW, AdamWConfig};
use cooperator_models::train::{Batch, TrainModel};
use cooperator_models::weights::Weights;

const SMOLLM2: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    "vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
    "tie_word_embeddings": true, "hidden_act": "silu"}"#;

fn random_model(config: &LlamaConfig) -> Result<Weights, Box<dyn Error>> {
    let mut tensors = Vec::new();
    for (name, shape) in config.tensors() {
        let spread = if shape.len() == 1 { 0.0 } else { 0.04 };
        let centre = if shape.len() == 1 { 1.0 } else { 0.0 };
        tensors.push((name, Tensor::randn(centre, spread, shape, &Device::Cpu)?.to_dtype(DType::BF16)?));
    }
    Ok(Weights::from_tensors(config, tensors)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, otherwise| numbers.get(place).copied().unwrap_or(otherwise);
    let (count, length, steps) = (number(0, 2), number(1, 256), number(2, 5));
    let config = LlamaConfig::from_json(SMOLLM2.as_bytes())?;
    let target_modules = LINEARS.iter().map(|name| (*name).to_owned()).collect();
    let lora = LoraConfig { rank: 8, alpha: 16.0, dropout: 0.0, target_modules };
    let adapter = LoraAdapter::init(lora, &config, 1)?;
    let mut model = TrainModel::new(&config, &random_model(&config)?, adapter)?;
    let mut optimizer = AdamW::new(AdamWConfig::default(), model.adapter().tensors());
    let tokens = |i: usize| {
        (0..length).map(|j| ((i * 7919 + j * j * 31) % config.vocab_size) as u32).collect::<Vec<_>>()
    };
    let batch = Batch::new(&(0..count).map(tokens).collect::<Vec<_>>())?;
    let mut out = std::io::stdout().lock();
    for step in 0..steps {
        let start = Instant::now();
        let (loss, gradients) = model.loss_and_grads(&batch, 0)?;
        let mut sum = Accumulator::new(model.adapter().tensors());
        sum.add(loss, &gradients)?;
        let whole = sum.finish(model.adapter().tensors(), 1.0)?;
        optimizer.step(model.adapter_mut().tensors_mut(), &whole.gradients, 1e-3)?;
        let seconds = start.elapsed().as_secs_f64();
        let speed = batch.tokens() as f64 / seconds;
        writeln!(
            out,
            "step {step}: {speed:.1} tokens/s, {seconds:.2} s, loss {:.4}, norm {:.3}",
            loss.mean(),
            whole.norm
        )?;
    }
    Ok(())
}
