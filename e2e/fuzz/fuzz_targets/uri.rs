//! `storageUri`, by the file that reads it.
#![no_main]
#![allow(dead_code)]

#[path = "../../../trainer-image/crates/data/src/source/address.rs"]
mod address;

use address::Address;

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        "s3://bucket/works/a b/c.txt",
        "https://example.org:8443/a/b.txt?signature=hunter2#hunter2",
        "https://[::ffff:169.254.169.254]/a.txt",
        "hf://owner/model:refs/pr/1",
        "pvc://claim/works/",
    ]),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match text.parse::<Address>() {
            Err(error) => cooperator_fuzz::shown(error),
            Ok(address @ Address::Web(_)) => {
                if let Address::Web(url) = &address {
                    assert!(address::is_safe(&address::file_name(url)));
                }
                assert!(!address.to_string().contains(char::is_control));
            }
            Ok(address) => {
                let written = address.to_string();
                assert!(written.len() > 2048 || written.parse::<Address>() == Ok(address));
            }
        }
    }
);
