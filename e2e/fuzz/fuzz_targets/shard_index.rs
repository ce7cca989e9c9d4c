//! The index that names the shards of a model.
#![no_main]

use cooperator_models::weights::shards;

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        r#"{"metadata":{"total_size":1},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"b.safetensors"}}"#,
        r#"{"weight_map":{"a":"../b.safetensors"}}"#,
    ]),
    |bytes: &[u8]| match shards(bytes) {
        Ok(names) => assert!(names.iter().all(|name| !name.contains(['/', '\\']))),
        Err(error) => cooperator_fuzz::shown(error),
    }
);
