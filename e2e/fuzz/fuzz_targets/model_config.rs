//! `config.json` of a model.
#![no_main]

use cooperator_models::config::LlamaConfig;

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        include_str!("../../../trainer-image/crates/models/tests/fixtures/tied/config.json"),
        include_str!("../../../trainer-image/crates/models/tests/fixtures/untied_llama3/config.json"),
    ]),
    |bytes: &[u8]| match LlamaConfig::from_json(bytes) {
        Ok(config) => {
            assert!(config.inverse_frequencies().iter().all(|frequency| frequency.is_finite()));
            let again = LlamaConfig::from_json(config.to_json("bfloat16").to_string().as_bytes());
            assert_eq!(again, Ok(config));
        }
        Err(error) => cooperator_fuzz::shown(error),
    }
);
