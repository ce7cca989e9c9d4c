//! Who may write a Contribution, by the admission policy of the chart, against a real kube-apiserver.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use cooperator_cluster::command::{command, output};
use cooperator_cluster::tools::{self, HELM};
use cooperator_cluster::{Progress, paths};
use cooperator_e2e_api::{NAMESPACE, Server};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

/// The policy as helm renders it, applied.
async fn install(client: &Client) {
    tools::ensure(&[HELM], &Progress::new()).unwrap();
    let mut helm = command(HELM.program("helm"), ["template", "cooperator", "--kube-version", "1.34.4"]);
    helm.arg(paths::workspace().join("charts/cooperator")).args(["--show-only", "templates/admission.yaml"]);
    let rendered = output("helm template", &mut helm).unwrap();
    let mut documents = serde_yaml::Deserializer::from_str(&rendered);
    let mut next = || -> Value { serde::Deserialize::deserialize(documents.next().unwrap()).unwrap() };
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(next()).unwrap();
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(next()).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &policy).await.unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

fn collective(name: &str) -> Value {
    let subject = |kind: &str, name: &str| json!({"kind": kind, "name": name});
    json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Collective", "metadata": {"name": name},
        "spec": {
            "members": [
                {"name": "ann", "subject": subject("User", "ann@example.org")},
                {"name": "bob", "subject": subject("Group", "bobs")},
                {"name": "cat", "subject": subject("ServiceAccount", "cat")},
                {"name": "dan"},
            ],
            "policy": {"baseModelLicenses": ["MIT"], "contributionLicenses": ["CC0-1.0"]},
            "treasury": {"currency": "EUR", "split": [{"name": "works", "basisPoints": 10000, "by": "Contribution"}]},
        },
    })
}

fn contribution(collective: &str, member: &str) -> Value {
    json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "Contribution", "metadata": {"name": format!("of-{member}")},
        "spec": {
            "collectiveRef": {"name": collective}, "memberRef": {"name": member},
            "source": {"storageUri": "s3://band/a/"}, "license": "CC0-1.0",
        },
    })
}

#[tokio::test]
async fn a_contribution_is_written_by_the_member_it_is_of_and_by_nobody_else() {
    let server = Server::start().await.unwrap();
    install(&server.client).await;
    for name in ["band", "choir"] {
        let object = serde_json::from_value(collective(name)).unwrap();
        server.api("Collective").create(&PostParams::default(), &object).await.unwrap();
    }
    let cat = format!("system:serviceaccount:{NAMESPACE}:cat");
    let elsewhere = "system:serviceaccount:elsewhere:cat";
    let cases: [(&str, &str, &[&str], bool); 10] = [
        ("ann", "ann@example.org", &[], true),
        ("ann", "mallory@example.org", &[], false),
        ("ann", "ann@example.org.evil", &[], false),
        ("bob", "anyone", &["bobs"], true),
        ("bob", "bobs", &[], false),
        ("bob", "ann@example.org", &["anns"], false),
        ("cat", &cat, &[], true),
        ("cat", elsewhere, &[], false),
        ("dan", "mallory@example.org", &[], true),
        ("nobody", "mallory@example.org", &[], true),
    ];
    // The server takes a moment to see a new policy.
    let forged = contribution("band", "ann");
    for _ in 0..100 {
        if server.as_user("mallory", &[]).await.unwrap().try_create(&forged).await.unwrap().is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (member, user, groups, allowed) in cases {
        let theirs = server.as_user(user, groups).await.unwrap();
        let said = theirs.try_create(&contribution("band", member)).await.unwrap();
        assert_eq!(said.is_ok(), allowed, "{user} {groups:?} for {member}: {said:?}");
        if let Err(message) = said {
            let expected = format!("may write a Contribution of member {member} (spec.members[].subject of");
            assert!(message.contains(&expected), "{message}");
        }
    }

    let stored = serde_json::from_value(contribution("choir", "ann")).unwrap();
    let ann = server.as_user("ann@example.org", &[]).await.unwrap();
    ann.api("Contribution").create(&PostParams::default(), &stored).await.unwrap();
    let mallory = server.as_user("mallory", &[]).await.unwrap();
    let label = json!({"metadata": {"labels": {"corpus": "songs"}}});
    let revoke = json!({"spec": {"revoked": true}});
    let name = "of-ann";
    assert!(
        mallory.try_update("Contribution", name, &label).await.unwrap().is_ok(),
        "labels are not consent"
    );
    assert!(mallory.try_update("Contribution", name, &revoke).await.unwrap().is_err());
    assert!(ann.try_update("Contribution", name, &revoke).await.unwrap().is_ok());
}
