//! An hour of a usage log, in Parquet.
#![no_main]

use bytes::Bytes;
use cooperator_contract::usage::UsageRow;
use cooperator_fuzz::example;
use cooperator_usage::chain::Chain;
use cooperator_usage::hour::{HourReader, HourWriter};

fn hour() -> Vec<u8> {
    let row: UsageRow = serde_json::from_slice(example!("usage-row")).unwrap();
    let mut writer = HourWriter::new(Vec::new(), &Chain::genesis(&row.gateway)).unwrap();
    for sequence in 1..=3 {
        writer.push(UsageRow { sequence, ..row.clone() }).unwrap();
    }
    writer.finish().unwrap().2
}

fn begin() {
    cooperator_fuzz::plant([hour()]);
    // The reader catches panics of the Parquet library, over which libfuzzer-sys would abort. One that is not caught still
    // ends the run.
    drop(std::panic::take_hook());
}

libfuzzer_sys::fuzz_target!(init: begin(), |bytes: &[u8]| {
    let Ok(mut reader) = HourReader::open(Bytes::copy_from_slice(bytes)) else { return };
    while let Ok(Some(_)) = reader.next_group() {}
});
