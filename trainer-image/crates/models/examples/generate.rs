//! Speaks with a model by hand: `cargo run -p cooperator-models --example generate -- MODEL PROMPT [TEXT_FILE]`.
//! `MODEL` is a GGUF file or a folder in Hugging Face layout. Prints the greedy answer to `PROMPT`, its speed, and
//! the loss on the first 512 tokens of `TEXT_FILE`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cooperator_models::chat::{ChatTemplate, Message};
use cooperator_models::config::LlamaConfig;
use cooperator_models::infer::InferModel;
use cooperator_models::sampling::{Sampler, SamplingOptions};
use cooperator_models::tokenizer::Tokenizer;
use cooperator_models::weights::Weights;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = PathBuf::from(arguments.next().ok_or("which model?")?);
    let prompt = arguments.next().ok_or("which prompt?")?;
    let folder = folder(&model)?;
    let config = LlamaConfig::from_json(&std::fs::read(folder.join("config.json"))?)?;
    let start = Instant::now();
    let model = InferModel::new(&config, &Weights::read(&config, &folder)?, None)?;
    println!("{model:?}, loaded in {:.2?}", start.elapsed());
    let tokenizer =
        Tokenizer::for_vocabulary(&std::fs::read(folder.join("tokenizer.json"))?, config.vocab_size)?;
    let chat = std::fs::read(folder.join("tokenizer_config.json"))?;
    let chat = ChatTemplate::from_tokenizer_config(&chat, |_| String::new())?;
    let message = Message { role: "user".to_owned(), content: prompt };
    answer(&model, &tokenizer, &chat.render(&[message], true)?)?;
    if let Some(text) = arguments.next() {
        loss(&model, &tokenizer, &std::fs::read_to_string(text)?)?;
    }
    Ok(())
}

/// The folder of a model, converted beside the file first where it is GGUF.
fn folder(model: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if model.is_dir() {
        return Ok(model.to_owned());
    }
    let folder = model.with_extension("converted");
    std::fs::create_dir_all(&folder)?;
    let start = Instant::now();
    let config = cooperator_models::gguf::convert(model, &folder)?;
    println!("converted {} parameters in {:.2?}", config.parameters(), start.elapsed());
    Ok(folder)
}

fn answer(model: &InferModel, tokenizer: &Tokenizer, prompt: &str) -> Result<(), Box<dyn Error>> {
    let tokens = tokenizer.encode_with_markers(prompt)?;
    println!("{prompt:?}\n{tokens:?}");
    let mut cache = model.cache();
    let mut sampler = Sampler::new(SamplingOptions { temperature: 0.0, top_p: 1.0, seed: 0 });
    let start = Instant::now();
    let mut logits = model.read(&mut cache, &tokens)?;
    let read = start.elapsed();
    let mut said = Vec::new();
    let start = Instant::now();
    while said.len() < 100 {
        let Some(token) = sampler.next(&logits) else { break };
        if model.config().eos_token_ids.contains(&token) {
            break;
        }
        said.push(token);
        logits = model.decode(&mut [(&mut cache, token)])?;
    }
    let spoke = start.elapsed();
    println!("{}", tokenizer.decode(&said)?);
    println!("read {:.1} tokens/s", tokens.len() as f64 / read.as_secs_f64());
    println!("spoke {:.1} tokens/s", said.len() as f64 / spoke.as_secs_f64());
    Ok(())
}

fn loss(model: &InferModel, tokenizer: &Tokenizer, text: &str) -> Result<(), Box<dyn Error>> {
    let tokens = tokenizer.encode(text)?;
    let tokens = &tokens[..tokens.len().min(512)];
    let start = Instant::now();
    let mut cache = model.cache();
    model.read(&mut cache, tokens)?;
    println!("read {:.1} tokens/s", tokens.len() as f64 / start.elapsed().as_secs_f64());
    let mut cache = model.cache();
    let mut total = 0.0;
    for pair in tokens.windows(2) {
        let logits = model.decode(&mut [(&mut cache, pair[0])])?;
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
        total += f64::from(highest) + sum.ln() - f64::from(logits[pair[1] as usize]);
    }
    println!("loss {:.4} nats/token over {} tokens", total / (tokens.len() - 1) as f64, tokens.len() - 1);
    Ok(())
}
