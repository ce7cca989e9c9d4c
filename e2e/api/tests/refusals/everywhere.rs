//! What no kind takes.

use cooperator_e2e_api::Server;
use serde_json::json;

use super::{Case, GONE, good, number, text, with};

/// Names that are no names, a spec that is none, fields that nobody knows, another's namespace.
pub fn cases(kind: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = vec![
        ("/metadata/name", json!("Presidents"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a b"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a_b"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("-a"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a-"), "metadata.name: Invalid value"),
        ("/metadata/name", json!(".."), "metadata.name: Invalid value"),
        ("/metadata/name", json!("../up"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("other/name"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a%2fb"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a\nb"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a\u{0}b"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("président"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("pr\u{435}sidents"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("pre\u{200b}sidents"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("\u{202e}stnediserp"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("\u{1f3b8}"), "metadata.name: Invalid value"),
        ("/metadata/name", json!("a".repeat(254)), "must be no more than 253"),
        ("/metadata/labels", json!({"a/b/c": "d"}), "metadata.labels: Invalid value"),
        ("/metadata/labels", json!({"a": "b c"}), "metadata.labels: Invalid value"),
        ("/metadata/annotations", json!({"a b": "c"}), "metadata.annotations: Invalid value"),
        ("/spec", GONE, "spec: Required value"),
        ("/spec", json!([]), "spec in body must be of type object"),
        ("/spec", json!("{}"), "spec in body must be of type object"),
        ("/spec/unknown", json!(1), "unknown field \"spec.unknown\""),
        ("/unknown", json!({}), "unknown field \"unknown\""),
    ];
    if !["Collective", "FineTune", "Deployment", "NodeClaim"].contains(&kind) {
        let expected = "unknown field \"spec.collectiveRef.namespace\"";
        cases.push(("/spec/collectiveRef/namespace", json!("elsewhere"), expected));
    }
    cases
}

/// What the server refuses before it looks at fields: whole objects that are not what they say, or no JSON.
pub async fn refused(server: &Server, kind: &str) -> Vec<String> {
    let good = good::object(kind);
    let plain = text(&good);
    let doubled = plain.replacen("\"spec\":", "\"spec\":{},\"spec\":", 1);
    let bodies = [
        (
            text(&with(&good, "/apiVersion", &json!("cooperator.dev/v9"))),
            "in version \"v9\" cannot be handled",
        ),
        (text(&with(&good, "/kind", &json!("Pod"))), "kind: Invalid value: \"Pod\": must be"),
        (
            text(&with(&good, "/metadata/namespace", &json!("elsewhere"))),
            "namespace of the provided object does not match",
        ),
        (text(&with(&good, "/metadata/name", &GONE)), "name or generateName is required"),
        (text(&with(&good, "/metadata/generation", &number("1e400"))), "cannot unmarshal number"),
        (doubled, "duplicate field \"spec\""),
        (plain[..plain.len() - 1].to_owned(), "unexpected end of JSON input"),
        (String::new(), "unexpected end of JSON input (<empty>)"),
        (format!("{}{plain}", "[".repeat(20_000)), "exceeded max depth"),
    ];
    let mut wrong = Vec::new();
    for (body, expected) in bodies {
        match server.try_create_text(kind, body).await.unwrap() {
            Ok(_) => wrong.push(format!("{kind}: accepted, and should say `{expected}`")),
            Err(said) if !said.contains(expected) => {
                wrong.push(format!("{kind}: `{said}`, not `{expected}`"))
            }
            Err(_) => {}
        }
    }
    wrong
}
