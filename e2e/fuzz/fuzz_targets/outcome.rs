//! What a pod says as it runs and as it ends.
#![no_main]

use cooperator_contract::outcome::{MAX_BYTES, Outcome};
use cooperator_contract::progress::Progress;
use cooperator_fuzz::{example, kept};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([example!("succeeded"), example!("failed"), example!("progress")]),
    |bytes: &[u8]| {
        kept::<Outcome>(bytes);
        kept::<Progress>(bytes);
        if let Ok(failed @ Outcome::Failed { .. }) = serde_json::from_slice::<Outcome>(bytes) {
            assert!(failed.to_termination_message().len() <= MAX_BYTES);
        }
    }
);
