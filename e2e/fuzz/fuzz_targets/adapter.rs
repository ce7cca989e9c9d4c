//! `adapter_config.json`, PEFT's words about an adapter.
#![no_main]

use std::sync::LazyLock;

use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::testing::tiny_config;

static ADAPTER: LazyLock<LoraAdapter> = LazyLock::new(|| {
    let target_modules = vec!["q_proj".to_owned()];
    let config = LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, target_modules };
    LoraAdapter::init(config, &tiny_config(8), 1).unwrap()
});
static TENSORS: LazyLock<Vec<u8>> = LazyLock::new(|| ADAPTER.to_safetensors().unwrap());

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        ADAPTER.config_json("base"),
        include_str!("../../../trainer-image/crates/models/tests/fixtures/tied/adapter_config.json").to_owned(),
    ]),
    |bytes: &[u8]| match LoraAdapter::from_peft(&tiny_config(8), bytes, &TENSORS) {
        Ok(adapter) => assert!(adapter.config().scale().is_normal()),
        Err(error) => cooperator_fuzz::shown(error),
    }
);
