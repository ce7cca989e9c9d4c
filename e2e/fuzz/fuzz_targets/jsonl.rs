//! Works of contributors as text and as rows, by the files that read them: their crate would bring S3 and HTTP.
#![no_main]
#![allow(dead_code)]

#[path = "../../../trainer-image/crates/data/src/text/formats.rs"]
mod formats;
#[path = "../../../trainer-image/crates/data/src/text/read.rs"]
mod read;
#[path = "../../../trainer-image/crates/data/src/text/row.rs"]
mod row;

use cooperator_contract::run::{TextFormat, TextOptions};
use read::{ReadError, documents};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        "{\"text\":\"one\",\"id\":1}\r\n\n{\"deep\":[{\"a\":[1e9,null]}],\"text\":\"tw\\u00f6\"}\n",
        "Fellow citizens,\n\nI am.\n",
        "\u{feff}{\"text\":\"a\",\"text\":\"b\"}\n{\"title\":5}\n{\"text\":",
    ]),
    |bytes: &[u8]| {
        for format in [TextFormat::JsonLines, TextFormat::Plain] {
            let options = TextOptions { format, text_field: "text".to_owned(), record_tokens: 512 };
            let mut held = 0;
            let read = documents("a", bytes, &options, |text| {
                held += text.len();
                Ok::<_, ReadError>(())
            });
            // Escapes only grow shorter.
            assert!(held <= bytes.len());
            if let Err(error) = read {
                cooperator_fuzz::shown(error);
            }
        }
    }
);
