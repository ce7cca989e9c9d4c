use super::*;
use crate::basis_points::BasisPoints;
use crate::market::{CapacityType, Gpus, Shape, Terms};

fn requirement(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Requirement { key: key.to_owned(), operator, values }
}

fn parsed(key: &str, operator: Operator, values: &[&str]) -> Result<Requirements, RequirementError> {
    Requirements::parse(&[requirement(key, operator, values)])
}

fn offer() -> Offer {
    Offer {
        provider: "vast".into(),
        id: "1".into(),
        host: Some("h7".into()),
        region: "SE".into(),
        shape: Shape::Container,
        capacity_type: CapacityType::Spot,
        cpu_millis: 7900,
        memory_mib: 32_000,
        disk_gib: 200,
        gpus: Some(Gpus { model: "rtx-4090".into(), count: 2, memory_mib: 24_564 }),
        gigaflops: None,
        reliability: Some(BasisPoints::new(9950).unwrap()),
        until: None,
        terms: Terms::default(),
    }
}

/// One that tells nothing it need not tell.
fn silent() -> Offer {
    Offer { host: None, region: String::new(), gpus: None, reliability: None, ..offer() }
}

fn meets(offer: &Offer, key: Key, operator: Operator, values: &[&str]) -> bool {
    parsed(key.as_str(), operator, values).unwrap().refuses(offer, "Vast").is_none()
}

#[test]
fn every_key_reads_what_the_offer_says() {
    let says = [
        (Key::Provider, "vast"),
        (Key::ProviderType, "Vast"),
        (Key::CapacityType, "spot"),
        (Key::Shape, "container"),
        (Key::Region, "SE"),
        (Key::GpuModel, "rtx-4090"),
        (Key::GpuCount, "2"),
        (Key::GpuMemory, "24564"),
        (Key::Cpu, "7"),
        (Key::Memory, "32000"),
        (Key::Disk, "200"),
        (Key::Reliability, "9950"),
        (Key::Host, "h7"),
    ];
    assert_eq!(says.map(|(key, _)| key), Key::ALL);
    for (key, value) in says {
        assert!(meets(&offer(), key, Operator::In, &[value]), "{key}");
        assert!(!meets(&offer(), key, Operator::NotIn, &[value]), "{key}");
        assert!(meets(&offer(), key, Operator::Exists, &[]), "{key}");
        assert!(!meets(&offer(), key, Operator::DoesNotExist, &[]), "{key}");
    }
}

#[test]
fn what_an_offer_does_not_tell_is_a_label_that_is_absent() {
    let untold = [
        (Key::Region, "SE"),
        (Key::GpuModel, "rtx-4090"),
        (Key::GpuCount, "2"),
        (Key::GpuMemory, "24564"),
        (Key::Reliability, "9950"),
        (Key::Host, "h7"),
    ];
    for (key, value) in untold {
        assert!(!meets(&silent(), key, Operator::In, &[value]), "{key}");
        assert!(!meets(&silent(), key, Operator::Exists, &[]), "{key}");
        assert!(meets(&silent(), key, Operator::NotIn, &[value]), "{key}");
        assert!(meets(&silent(), key, Operator::DoesNotExist, &[]), "{key}");
    }
    for operator in [Operator::Gt, Operator::Gte, Operator::Lt, Operator::Lte] {
        assert!(!meets(&silent(), Key::Reliability, operator, &["5"]), "{operator:?}");
    }
}

#[test]
fn numbers_are_compared_as_numbers() {
    use Operator::{Gt, Gte, Lt, Lte};
    let cases = [(Gt, "7", false), (Gt, "6", true), (Gte, "7", true), (Gte, "8", false)];
    let more = [(Lt, "7", false), (Lt, "8", true), (Lte, "7", true), (Lte, "6", false), (Lt, "0", false)];
    for (operator, value, met) in cases.into_iter().chain(more) {
        assert_eq!(meets(&offer(), Key::Cpu, operator, &[value]), met, "{operator:?} {value}");
    }
    // As texts, 10 would be below 7.
    assert!(meets(&offer(), Key::Cpu, Lt, &["10"]));
    assert!(meets(&offer(), Key::Cpu, Operator::In, &["07"]));
}

#[test]
fn a_model_is_meant_however_it_is_written() {
    for written in ["RTX 4090", "NVIDIA GeForce RTX 4090", "rtx-4090"] {
        assert!(meets(&offer(), Key::GpuModel, Operator::In, &["H100", written]), "{written}");
    }
}

#[test]
fn the_first_that_is_not_met_is_named() {
    let written = [
        requirement("cooperator.dev/cpu", Operator::Gte, &["4"]),
        requirement("cooperator.dev/memory", Operator::Gt, &["64000"]),
        requirement("cooperator.dev/shape", Operator::In, &["machine"]),
    ];
    let requirements = Requirements::parse(&written).unwrap();
    assert_eq!(requirements.refuses(&offer(), "Vast"), Some(&written[1]));
    assert_eq!(requirements.refused(&offer(), "Vast"), 0b110);
    assert!(requirements.written().eq(&written));
}

#[test]
fn what_cannot_be_understood_is_refused_in_one_line_that_names_the_way_out() {
    use Operator::{Exists, Gt, In, NotIn};
    let long = "x".repeat(500);
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases: [(&str, Operator, &[&str], &str); 13] = [
        ("kubernetes.io/arch\n", In, &["amd64"], "cooperator.dev/gpu-model"),
        (&long, Exists, &[], "use one of"),
        ("cooperator.dev/gpu-memory", Gt, &[], "exactly one whole number; it has 0"),
        ("cooperator.dev/gpu-memory", Gt, &["1", "2"], "exactly one whole number; it has 2"),
        ("cooperator.dev/gpu-memory", Gt, &["24Gi"], "whole number of MiB a GPU from 0"),
        ("cooperator.dev/cpu", Gt, &["-1"], "`-1` is no whole number"),
        ("cooperator.dev/cpu", Gt, &["+1"], "`+1` is no whole number"),
        ("cooperator.dev/reliability", Gt, &["10001"], "from 0 to 10000"),
        ("cooperator.dev/gpu-model", Gt, &["4090"], "use In or NotIn"),
        ("cooperator.dev/shape", In, &["vm"], "use machine or container"),
        ("cooperator.dev/region", Exists, &[], "topology.kubernetes.io/region"),
        ("cooperator.dev/host", Exists, &["h7"], "takes no value; it has 1"),
        ("cooperator.dev/host", NotIn, &many, "takes 1 to 64 values; it has 65"),
    ];
    for (key, operator, values, part) in cases {
        let error = parsed(key, operator, values).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n') && error.len() < 600, "{error}");
    }
    for value in ["", "a\nb", &long] {
        let error = parsed("cooperator.dev/host", In, &[value]).unwrap_err().to_string();
        assert!(error.contains("1 to 128 bytes") && !error.contains('\n') && error.len() < 300, "{error}");
    }
    let too_many = vec![requirement("cooperator.dev/host", Exists, &[]); 65];
    assert_eq!(Requirements::parse(&too_many), Err(RequirementError::TooMany(65)));
    assert!(Requirements::parse(&too_many[1..]).is_ok());
}

#[test]
fn a_requirement_reads_as_kubernetes_writes_it() {
    let json = r#"{"key":"cooperator.dev/gpu-count","operator":"Gte","values":["2"]}"#;
    let read: Requirement = serde_json::from_str(json).unwrap();
    assert_eq!(read, requirement("cooperator.dev/gpu-count", Operator::Gte, &["2"]));
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    assert_eq!(read.to_string(), "`cooperator.dev/gpu-count` Gte 2");
}
