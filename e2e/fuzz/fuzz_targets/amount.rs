//! Words of manifests: amounts, prices, licences and digests.
#![no_main]

use cooperator_core::digest::Digest;
use cooperator_core::license::LicensePolicy;
use cooperator_core::money::{Amount, Currency};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        "-14757395258967.641292000001",
        "USD",
        "(Apache-2.0 WITH LLVM-exception OR MIT) AND CC-BY-4.0",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ]),
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match text.parse::<Amount>() {
            Ok(amount) => assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount)),
            Err(error) => cooperator_fuzz::shown(error),
        }
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text);
        }
        if let Err(error) = text.parse::<Currency>() {
            cooperator_fuzz::shown(error);
        }
        if let Ok(policy) = LicensePolicy::new(&["Apache-2.0", "MIT", "CC-BY-4.0"]) {
            let _ = policy.check(text);
        }
        let _ = LicensePolicy::new(&[text]);
    }
);
