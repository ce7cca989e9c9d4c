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

#[test]
fn a_providers_type_is_named_as_it_is_written() {
    for kind in provider::ProviderType::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    let crd = json(&provider::Provider::crd());
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let written = schema["properties"]["type"]["enum"].as_array().unwrap();
    assert_eq!(written.len(), provider::ProviderType::ALL.len());
}

#[test]
fn what_a_node_pool_leaves_out_is_what_its_descriptions_say() {
    let bare = serde_json::json!({"collectiveRef": {"name": "band"}, "providerRefs": [{"name": "vast"}]});
    let spec: node_pool::NodePoolSpec = serde_json::from_value(bare).unwrap();
    assert_eq!((spec.limits.machines, spec.disk_gi, spec.price_headroom), (4, 40, 2000));
    assert_eq!((spec.template.spec.expire_after.as_str(), spec.provider_refs[0].weight), ("24h", 1));
    assert_eq!(spec.disruption, node_pool::Disruption::default());
    let floors = serde_json::to_value(&spec.preflight).unwrap();
    let said = serde_json::json!({
        "minGflops": 1, "minDiskMibPerSecond": 2, "minDownloadMbitPerSecond": 2, "minUploadMbitPerSecond": 2,
        "maxModelDownload": "1h",
    });
    assert_eq!(floors, said);
}

#[test]
fn an_offer_stays_what_it_is_from_the_market_to_status_and_back() {
    use cooperator_core::market;
    for shape in [market::Shape::Machine, market::Shape::Container] {
        assert_eq!(market::Shape::from(node_claim::Shape::from(shape)), shape);
    }
    for kind in [market::CapacityType::OnDemand, market::CapacityType::Spot] {
        assert_eq!(market::CapacityType::from(node_claim::CapacityType::from(kind)), kind);
    }
}
