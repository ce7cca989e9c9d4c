//! ServiceAccounts of one namespace in the other.

use cooperator_cli::access::Access;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::{SYSTEM, as_user, connect, told};
use crate::senators::{SENATORS, founded};

/// Every verb on everything a namespace holds that is worth having.
fn sweep() -> Vec<(&'static str, &'static str, &'static str)> {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let resources = [
        ("", "secrets"),
        ("", "configmaps"),
        ("", "pods"),
        ("", "pods/exec"),
        ("", "pods/log"),
        ("", "services"),
        ("", "serviceaccounts"),
        ("", "serviceaccounts/token"),
        ("batch", "jobs"),
        ("apps", "deployments"),
        ("coordination.k8s.io", "leases"),
        ("networking.k8s.io", "networkpolicies"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("cooperator.dev", "apikeys"),
        ("cooperator.dev", "apikeys/status"),
        ("cooperator.dev", "collectives"),
        ("cooperator.dev", "contributions"),
        ("cooperator.dev", "deployments"),
        ("cooperator.dev", "finetunes"),
        ("cooperator.dev", "settlements"),
    ];
    resources.iter().flat_map(|(group, name)| verbs.map(|verb| (verb, *group, *name))).collect()
}

async fn may(cluster: &Cluster, user: &str, namespace: &str, ask: (&str, &str, &str)) -> bool {
    let (verb, group, resource) = ask;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: Some(subresource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn no_service_account_of_one_namespace_may_do_anything_in_the_other() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let mut tries = 0;
    for (home, other) in [(PRESIDENTS, SENATORS), (SENATORS, PRESIDENTS)] {
        let gateway = format!("system:serviceaccount:{home}:{home}-gateway");
        assert!(may(&cluster, &gateway, home, ("list", "cooperator.dev", "apikeys")).await, "the control");
        for user in [gateway, format!("system:serviceaccount:{home}:default")] {
            for namespace in [other, SYSTEM] {
                for ask in sweep() {
                    assert!(!may(&cluster, &user, namespace, ask).await, "{user} may {ask:?} in {namespace}");
                    tries += 1;
                }
            }
        }
    }
    eprintln!("{tries} rights asked for and not held");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_gateway_cannot_touch_keys_and_leases_of_the_other() {
    told().await;
    founded().await;
    let mut tries = 0;
    for (home, other) in [(PRESIDENTS, SENATORS), (SENATORS, PRESIDENTS)] {
        let gateway = as_user(&format!("system:serviceaccount:{home}:{home}-gateway")).await;
        let access = Access { client: gateway.client.clone(), namespace: other.into() };
        let secrets: Api<Secret> = Api::namespaced(gateway.client.clone(), other);
        let key = if other == PRESIDENTS { "reader" } else { "clerk" };
        let lease = Patch::Merge(json!({"status": {"spent": {"amount": "10", "currency": "USD"}}}));
        let patch = PatchParams::default();
        for (what, outcome) in [
            ("read the key's Secret", secrets.get(&format!("{key}-key")).await.map(drop)),
            ("list Secrets", secrets.list(&ListParams::default()).await.map(drop)),
            ("read the ApiKey", access.dynamic("ApiKey").get(key).await.map(drop)),
            ("list ApiKeys", access.dynamic("ApiKey").list(&ListParams::default()).await.map(drop)),
            ("spend its budget", access.dynamic("ApiKey").patch_status(key, &patch, &lease).await.map(drop)),
            ("read the Collective", access.dynamic("Collective").get(other).await.map(drop)),
            ("list Deployments", access.dynamic("Deployment").list(&ListParams::default()).await.map(drop)),
        ] {
            let forbidden = matches!(&outcome, Err(kube::Error::Api(status)) if status.code == 403);
            assert!(forbidden, "the gateway of {home} could {what} of {other}: {outcome:?}");
            tries += 1;
        }
    }
    eprintln!("{tries} calls of a gateway to the other's objects forbidden");
}
