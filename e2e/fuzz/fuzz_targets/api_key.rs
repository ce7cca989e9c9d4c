//! What a caller sends as a key.
#![no_main]

use cooperator_core::api_key::{ENTROPY_BYTES, Key, KeyHash};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        Key::mint([7; ENTROPY_BYTES]).expose().to_owned(),
        Key::mint([7; ENTROPY_BYTES]).hash().to_string(),
    ]),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match Key::parse(text) {
            Ok(key) => {
                assert_eq!(key.expose(), text);
                assert_eq!(key.hash().to_string().parse::<KeyHash>(), Ok(key.hash()));
            }
            Err(error) => cooperator_fuzz::shown(error),
        }
        if let Ok(hash) = text.parse::<KeyHash>() {
            assert_eq!(hash.to_string(), text);
        }
    }
);
