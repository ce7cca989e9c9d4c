//! What conditions say, without times and words: two operators that do the same agree on it.

use std::collections::BTreeMap;

use anyhow::Result;
use cooperator_faults::stage::Stage;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::Value;

/// Kinds that have conditions here.
const KINDS: [&str; 7] =
    ["ApiKey", "BaseModel", "Collective", "Contribution", "Dataset", "Deployment", "FineTune"];
/// Differences that are told.
const SHOWN: usize = 5;

/// `Ready=True Trained, ...` by kind and name.
pub type Said = BTreeMap<String, String>;

/// What all objects of the stage say.
///
/// # Errors
/// When the API server does not answer.
pub async fn said(stage: &Stage) -> Result<Said> {
    let mut said = Said::new();
    for kind in KINDS {
        let api = stage.access().dynamic(kind);
        let mut page = ListParams::default().limit(500);
        loop {
            let list = api.list(&page).await?;
            said.extend(list.items.iter().map(|object| {
                (format!("{kind}/{}", object.name_any()), shown(&object.data["status"]["conditions"]))
            }));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(said)
}

fn shown(conditions: &Value) -> String {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let all = conditions.as_array().into_iter().flatten().map(|condition| {
        format!("{}={} {}", text(condition, "type"), text(condition, "status"), text(condition, "reason"))
    });
    all.collect::<Vec<_>>().join(", ")
}

/// The first few objects that do not say the same.
pub fn differences(one: &Said, other: &Said) -> Vec<String> {
    let of = |said: &Said, name: &String| said.get(name).cloned().unwrap_or_default();
    let names = one.keys().filter(|name| of(one, name) != of(other, name));
    names.take(SHOWN).map(|name| format!("{name}: `{}` and `{}`", of(one, name), of(other, name))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_and_words_make_no_difference_and_reasons_do() {
        let condition = |reason: &str, time: &str| json!([{"type": "Ready", "status": "True", "reason": reason, "lastTransitionTime": time}]);
        let said = |conditions: Value| Said::from([("FineTune/a".to_owned(), shown(&conditions))]);
        let one = said(condition("Trained", "1"));
        assert_eq!(differences(&one, &said(condition("Trained", "2"))), Vec::<String>::new());
        assert_eq!(
            differences(&one, &said(condition("GateFailed", "1"))),
            ["FineTune/a: `Ready=True Trained` and `Ready=True GateFailed`"]
        );
    }
}
