//! The statement of a period.
#![no_main]

use cooperator_contract::settle::Statement;
use cooperator_fuzz::{example, kept};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([example!("statement")]),
    |bytes: &[u8]| kept::<Statement>(bytes)
);
