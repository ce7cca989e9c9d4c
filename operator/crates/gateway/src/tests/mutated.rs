//! Bodies that are almost requests: refused with 400, or sent on within the bounds.

use cooperator_mutate::mutated;
use proptest::prelude::*;
use serde_json::Value;

use crate::request::{Endpoint, Request};
use crate::snapshot::RouteLimits;

const LIMITS: RouteLimits = RouteLimits {
    max_input_tokens: 1000,
    max_output_tokens: 100,
    requests_per_minute: 1,
    tokens_per_minute: 1,
};

const CHAT: &str = r#"{"model":"presidents","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hello"}],"name":"a"}],"max_tokens":50,"n":1,"stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"function"}],"temperature":0.7}"#;
const COMPLETION: &str = r#"{"model":"presidents","prompt":"Fellow citizens,","max_completion_tokens":7,"best_of":1,"suffix":"x","stream":false}"#;

proptest! {
    #[test]
    fn a_body_that_was_changed_is_refused_or_within_the_bounds(
        body in mutated(vec![CHAT.into(), COMPLETION.into()]), chat: bool,
    ) {
        let endpoint = if chat { Endpoint::Chat } else { Endpoint::Completions };
        match Request::parse(endpoint, &body).and_then(|request| request.check(&LIMITS)) {
            Err(error) => {
                prop_assert_eq!(error.status(), 400);
                prop_assert!(!error.to_string().contains(char::is_control));
            }
            Ok(checked) => {
                prop_assert!((1..=100).contains(&checked.most_output));
                prop_assert!(1 <= checked.likely_input && checked.likely_input <= checked.most_input);
                prop_assert!(checked.most_input <= 1000);
                let sent: Value = serde_json::from_slice(&checked.body).unwrap();
                prop_assert_eq!(sent["max_tokens"].as_u64(), Some(checked.most_output));
                prop_assert_eq!(&sent["max_completion_tokens"], &Value::Null);
            }
        }
    }
}
