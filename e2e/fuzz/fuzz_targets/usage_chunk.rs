//! A chunk of a usage log, and the keys by which segments lie in object storage.
#![no_main]

use cooperator_contract::layout;
use cooperator_contract::usage::UsageRow;
use cooperator_core::digest::Digest;
use cooperator_fuzz::example;
use cooperator_usage::chain::Chain;
use cooperator_usage::{chunk, key};

fn seeds() -> Vec<Vec<u8>> {
    let first: UsageRow = serde_json::from_slice(example!("usage-row")).unwrap();
    let second = UsageRow { sequence: 2, adapter: None, ..first.clone() };
    let chunk = chunk::encode(&mut Chain::genesis(&first.gateway), &[first.clone(), second]).unwrap().1;
    let digest = Digest::of(&chunk);
    let hour = layout::usage_hour(&first.gateway, &key::hour(first.time), &digest);
    vec![
        chunk::unpack(&chunk).unwrap(),
        chunk,
        hour.into_bytes(),
        layout::usage_chunk(&first.gateway, 42, &digest).into_bytes(),
    ]
}

libfuzzer_sys::fuzz_target!(init: cooperator_fuzz::plant(seeds()), |bytes: &[u8]| {
    // As they are, and as what a chunk unpacks to: few changes of packed bytes come through to the lines.
    for bytes in [bytes, &chunk::pack(bytes).unwrap()] {
        let Ok((header, rows)) = chunk::decode(bytes) else { continue };
        let mut chain = Chain::resume(&header.gateway, header.first_sequence - 1, header.previous);
        let (again, written) = chunk::encode(&mut chain, &rows).unwrap();
        assert_eq!((&again, chain.head()), (&header, header.head));
        assert_eq!(chunk::decode(&written).unwrap(), (header, rows));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = key::parse(text);
    }
});
