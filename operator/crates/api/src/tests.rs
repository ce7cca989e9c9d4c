use super::*;

fn json(crd: &CustomResourceDefinition) -> serde_json::Value {
    serde_json::to_value(crd).unwrap()
}

#[test]
fn every_kind_is_namespaced_and_in_the_category_coop() {
    for crd in crds() {
        let crd = json(&crd);
        assert_eq!(crd["spec"]["scope"], "Namespaced", "{}", crd["metadata"]["name"]);
        assert_eq!(crd["spec"]["names"]["categories"], serde_json::json!(["coop"]));
    }
}

#[test]
fn every_field_of_ours_has_a_description() {
    fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        let Some(properties) = schema["properties"].as_object() else { return };
        for (name, child) in properties {
            let path = format!("{path}.{name}");
            if child["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path.clone());
            }
            walk(&path, child, missing);
            walk(&format!("{path}[]"), &child["items"], missing);
        }
    }
    let mut missing = Vec::new();
    for crd in crds() {
        let crd = json(&crd);
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for part in ["spec", "status"] {
            walk(
                &format!("{}.{part}", crd["spec"]["names"]["kind"]),
                &schema["properties"][part],
                &mut missing,
            );
        }
    }
    missing.retain(|path| !path.contains(".selector.") && !path.contains(".conditions"));
    assert!(missing.is_empty(), "no description: {missing:#?}");
}
