//! A safetensors file, as weights and as an adapter.
#![no_main]
#![allow(dead_code)]

#[path = "../../../trainer-image/crates/models/tests/hostile/safetensors_file.rs"]
mod safetensors_file;

use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::testing::tiny_config;
use cooperator_models::weights::Weights;

fn config() -> LoraConfig {
    LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, target_modules: vec!["q_proj".to_owned()] }
}

fn seeds() -> Vec<Vec<u8>> {
    let adapter = LoraAdapter::init(config(), &tiny_config(8), 1).unwrap();
    let mut model = safetensors_file::model();
    let whole = safetensors_file::pack(&model);
    model.truncate(2);
    vec![adapter.to_safetensors().unwrap(), safetensors_file::pack(&model), whole]
}

libfuzzer_sys::fuzz_target!(init: cooperator_fuzz::plant(seeds()), |bytes: &[u8]| {
    if let Err(error) = Weights::from_files(&tiny_config(64), &[("m.safetensors", bytes)]) {
        cooperator_fuzz::shown(error);
    }
    if let Err(error) = LoraAdapter::from_safetensors(&tiny_config(8), config(), bytes) {
        cooperator_fuzz::shown(error);
    }
});
