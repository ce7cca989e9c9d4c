//! `tokenizer_config.json` of a model, and a chat for whatever template it has.
#![no_main]

use cooperator_models::chat::{ChatTemplate, Message};
use cooperator_models::testing::byte_tokenizer_config;

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([byte_tokenizer_config().to_string()]),
    |bytes: &[u8]| match ChatTemplate::from_tokenizer_config(bytes, |_| String::new()) {
        Ok(template) => {
            let message = Message { role: "user".to_owned(), content: "Hello".to_owned() };
            if let Err(error) = template.render(&[message], true) {
                cooperator_fuzz::shown(error);
            }
        }
        Err(error) => cooperator_fuzz::shown(error),
    }
);
