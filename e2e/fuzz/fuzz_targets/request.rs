//! The body of a call to a gateway, by the gateway's own files: its crate would bring Kubernetes and S3.
#![no_main]
#![allow(dead_code)]

#[path = "../../../operator/crates/gateway/src/error.rs"]
mod error;
#[path = "../../../operator/crates/gateway/src/request/mod.rs"]
mod request;
#[path = "../../../operator/crates/gateway/src/snapshot.rs"]
mod snapshot;

use request::{Endpoint, Request};
use snapshot::RouteLimits;

const LIMITS: RouteLimits = RouteLimits {
    max_input_tokens: 1000,
    max_output_tokens: 100,
    requests_per_minute: 1,
    tokens_per_minute: 1,
};

libfuzzer_sys::fuzz_target!(
    init: cooperator_fuzz::plant([
        r#"{"model":"presidents","messages":[{"role":"user","content":[{"type":"text","text":"Hello"}],"name":"a"}],"max_tokens":50,"n":1,"stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"function"}],"temperature":0.7}"#,
        r#"{"model":"presidents","prompt":"Fellow citizens,","max_completion_tokens":7,"best_of":1,"suffix":"x","stream":false}"#,
    ]),
    |body: &[u8]| {
        for endpoint in [Endpoint::Chat, Endpoint::Completions] {
            match Request::parse(endpoint, body).and_then(|request| request.check(&LIMITS)) {
                Err(error) => {
                    assert_eq!(error.status(), 400);
                    cooperator_fuzz::shown(error);
                }
                Ok(checked) => {
                    assert!((1..=100).contains(&checked.most_output));
                    assert!(1 <= checked.likely_input && checked.likely_input <= checked.most_input);
                    assert!(checked.most_input <= 1000);
                    let sent: serde_json::Value = serde_json::from_slice(&checked.body).unwrap();
                    assert_eq!(sent["max_tokens"].as_u64(), Some(checked.most_output));
                }
            }
        }
    }
);
