//! The run file that a pod starts from.
#![no_main]

use cooperator_contract::run::RunFile;
use cooperator_fuzz::{example, kept};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        example!("run-import"),
        example!("run-ingest"),
        example!("run-train"),
        example!("run-serve"),
        example!("run-settle"),
    ]),
    |bytes: &[u8]| kept::<RunFile>(bytes)
);
