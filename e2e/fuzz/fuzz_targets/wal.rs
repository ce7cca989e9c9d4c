//! A segment of a gateway's write-ahead log, as a crash or a bad disk leaves it; by the gateway's own file.
#![no_main]

#[path = "../../../operator/crates/gateway/src/wal/record.rs"]
mod record;

use cooperator_contract::usage::UsageRow;
use cooperator_fuzz::example;

fn log() -> Vec<u8> {
    let row: UsageRow = serde_json::from_slice(example!("usage-row")).unwrap();
    let mut log = Vec::new();
    (0..3).for_each(|_| record::encode(&row, &mut log).unwrap());
    log
}

libfuzzer_sys::fuzz_target!(init: cooperator_fuzz::plant([log()]), |bytes: &[u8]| {
    let (rows, good) = record::decode(bytes);
    assert!(good <= bytes.len());
    let mut written = Vec::new();
    rows.iter().for_each(|row| record::encode(row, &mut written).unwrap());
    assert_eq!(record::decode(&written).0, rows);
});
