use serde_json::json;

use super::*;

fn tune() -> FineTune {
    serde_json::from_value(json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "FineTune", "metadata": { "name": "addresses-v1" },
        "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" } },
        "status": {
            "collective": "presidents", "cost": { "amount": "0.03", "currency": "USD" },
            "machines": [
                { "claim": "addresses-v1-m2", "uid": "2", "provider": "there", "nodePool": "cheap", "instance": "lambda://7",
                  "offer": "8 cpu, 16 GiB", "pricePerHour": "0.6", "startedAt": "2026-12-31T23:00:00Z", "seconds": 60, "cost": "0.01" },
                { "claim": "addresses-v1-m1", "uid": "1", "provider": "here", "nodePool": "cheap", "instance": "hetzner://4711",
                  "node": "n1", "offer": "4 cpu, 8 GiB, fsn1", "pricePerHour": "0.4", "startedAt": "2026-11-24T12:00:00Z",
                  "endedAt": "2026-11-24T12:03:00Z", "seconds": 180, "cost": "0.02", "final": true },
            ],
        },
    }))
    .unwrap()
}

#[test]
fn machines_are_listed_from_the_first_and_what_is_not_final_says_so() {
    let text = table(&of(&[tune()], &[], &[]));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].contains("here") && lines[1].contains("0.02 USD") && !lines[1].contains("so far"),
        "{text}"
    );
    assert!(lines[2].contains("runs") && lines[2].contains("0.01 USD so far"), "{text}");
}

#[test]
fn focus_rows_add_up_to_what_is_final_and_name_their_columns() {
    let text = focus::csv(&of(&[tune()], &[], &[]).machines).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1, "what still runs has no final cost");
    let field = |name: &str| rows[0].get(header.iter().position(|column| column == name).unwrap()).unwrap();
    assert_eq!(field("BilledCost"), "0.02");
    assert_eq!(field("BillingPeriodStart"), "2026-11-01T00:00:00Z");
    assert_eq!(field("BillingPeriodEnd"), "2026-12-01T00:00:00Z");
    assert_eq!((field("ProviderName"), field("ResourceId")), ("hetzner", "hetzner://4711"));
    assert_eq!(field("ChargePeriodEnd"), "2026-11-24T12:03:00Z");
}

#[test]
fn a_machine_without_a_claim_is_told_once_with_what_was_booked_for_it() {
    let provider: Provider = serde_json::from_value(json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Provider", "metadata": { "name": "here" },
        "spec": { "collectiveRef": { "name": "presidents" }, "type": "Hetzner", "secretRef": { "name": "key" } },
        "status": { "strays": [
            { "name": "coop-a-b", "booked": "0.07", "machine": { "instance": "4711", "madeAt": "2026-11-24T12:00:00Z",
              "knownAt": "2026-11-24T12:00:00Z", "hourly": "0.4", "endedAt": "2026-11-24T12:10:00Z" } },
            { "name": "coop-a-c", "machine": { "instance": "4712", "madeAt": "2026-11-24T12:00:00Z", "knownAt": "2026-11-24T12:00:00Z" } },
        ] },
    }))
    .unwrap();
    let home: Collective = serde_json::from_value(json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Collective", "metadata": { "name": "presidents" },
        "spec": { "members": [], "policy": { "baseModelLicenses": [], "contributionLicenses": [] }, "treasury": { "currency": "USD", "split": [] } },
        "status": { "departed": [
            { "uid": "stray/u/4711", "fineTune": "machine 4711", "cost": "0.07", "endedAt": "2026-11-24T12:10:00Z" },
            { "uid": "u", "fineTune": "v0", "cost": "1", "endedAt": "2026-11-24T12:10:00Z" },
        ] },
    }))
    .unwrap();
    let text = table(&of(&[], &[provider], &[home]));
    assert_eq!(text.matches("4711").count(), 1, "{text}");
    assert!(text.contains("0.07") && text.contains("not final") && text.contains("v0"), "{text}");
}
