//! A GGUF file, all the way to checked weights and a tokenizer.
#![no_main]
#![allow(dead_code)]

#[path = "../../../trainer-image/crates/models/tests/hostile/gguf_file.rs"]
mod gguf_file;

use std::io::Cursor;

use gguf_file::File;

fn seeds() -> Vec<Vec<u8>> {
    let whole = File::valid();
    let mut no_tensors = File::valid();
    no_tensors.tensors.clear();
    let mut few_entries = File::valid();
    few_entries.entries.truncate(9);
    few_entries.tensors.truncate(2);
    vec![whole.bytes(), no_tensors.bytes(), few_entries.bytes()]
}

libfuzzer_sys::fuzz_target!(init: cooperator_fuzz::plant(seeds()), |bytes: &[u8]| {
    if let Err(error) = cooperator_models::gguf::read(Cursor::new(bytes)) {
        cooperator_fuzz::shown(error);
    }
});
