use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::client::Body;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Claims in memory that note what they are asked, and refuse to be written when told to.
struct Notes {
    log: Log,
    refuse: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("another request is written there")]
struct Conflict;

#[async_trait]
impl Claims for Notes {
    type Error = Conflict;

    async fn expectations(&self) -> Result<Vec<Expectation>, Conflict> {
        let claim = Claim { namespace: "art".into(), name: "tune-1".into(), uid: "0a1b".into() };
        Ok(vec![Expectation {
            token_id: "abc123".into(),
            expires: now() + jiff::SignedDuration::from_mins(30),
            node_name: "tune-1".into(),
            group: claim.group(),
            claim,
            approved: None,
        }])
    }

    async fn record(&self, claim: &Claim, request_uid: &str) -> Result<(), Conflict> {
        self.log.lock().unwrap().push(format!("record {request_uid} for {claim}"));
        if self.refuse { Err(Conflict) } else { Ok(()) }
    }
}

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

/// A request by the claim's token for the certificate of a node of this name.
fn request(node: &str) -> CertificateSigningRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let group = cooperator_join::claim::GROUP;
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some("node-csr-1".into()),
            uid: Some("uid-1".into()),
            resource_version: Some("7".into()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            username: Some("system:bootstrap:abc123".into()),
            groups: Some(vec![group.into(), format!("{group}:0a1b")]),
            signer_name: cooperator_join::approve::SIGNER.into(),
            usages: Some(vec!["digital signature".into(), "client auth".into()]),
            request: ByteString(pem.into_bytes()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// An API server that notes each patch and answers with `status`.
fn server(log: &Log, status: StatusCode) -> Client {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let log = log.clone();
    tokio::spawn(async move {
        while let Some((asked, respond)) = handle.next_request().await {
            let line = format!("{} {}", asked.method(), asked.uri().path());
            let body = asked.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let condition = &body["status"]["conditions"][0];
            let version = &body["metadata"]["resourceVersion"];
            log.lock()
                .unwrap()
                .push(format!("{line} {} {} at {version}", condition["type"], condition["reason"]));
            let answer = if status.is_success() {
                serde_json::to_value(request("tune-1")).unwrap()
            } else {
                json!({"kind": "Status", "code": status.as_u16(), "reason": "Conflict", "message": "changed"})
            };
            respond.send_response(
                Response::builder().status(status).body(Body::from(answer.to_string().into_bytes())).unwrap(),
            );
        }
    });
    Client::new(service, "art")
}

async fn dealt_with(node: &str, refuse: bool, status: StatusCode) -> (bool, Vec<String>) {
    let log = Log::default();
    let client = server(&log, status);
    let notes = Notes { log: log.clone(), refuse };
    let well = reconcile_csr(&client, &request(node), &notes, now()).await.is_ok();
    let log = log.lock().unwrap().clone();
    (well, log)
}

const APPROVAL: &str = "PATCH /apis/certificates.k8s.io/v1/certificatesigningrequests/node-csr-1/approval";

#[tokio::test]
async fn a_first_certificate_is_written_down_before_it_is_approved() {
    let (well, log) = dealt_with("tune-1", false, StatusCode::OK).await;
    assert!(well);
    let approved = format!("{APPROVAL} \"Approved\" \"CooperatorFirst\" at \"7\"");
    assert_eq!(log, ["record uid-1 for art/tune-1".to_owned(), approved]);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_approved() {
    let (well, log) = dealt_with("tune-1", true, StatusCode::OK).await;
    assert!(!well);
    assert_eq!(log, ["record uid-1 for art/tune-1"]);
}

#[tokio::test]
async fn another_nodes_name_is_denied_with_the_reason() {
    let (well, log) = dealt_with("tune-2", false, StatusCode::OK).await;
    assert!(well);
    assert_eq!(log, [format!("{APPROVAL} \"Denied\" \"NodeName\" at \"7\"")]);
}

#[tokio::test]
async fn a_request_that_has_changed_meanwhile_is_an_error_to_be_tried_again() {
    let (well, log) = dealt_with("tune-1", false, StatusCode::CONFLICT).await;
    assert!(!well);
    assert_eq!(log.len(), 2);
}
