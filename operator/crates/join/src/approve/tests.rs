use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::*;

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn expectation(number: u8) -> Expectation {
    let claim = Claim {
        namespace: "art".into(),
        name: format!("tune-{number}"),
        uid: format!("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f{number}"),
    };
    Expectation {
        token_id: format!("token{number}"),
        expires: "2026-11-29T12:30:00Z".parse().unwrap(),
        node_name: format!("tune-{number}"),
        group: claim.group(),
        claim,
        approved: None,
    }
}

fn waiting() -> Vec<Expectation> {
    vec![expectation(1), expectation(2)]
}

/// As [`waiting`], but the first has its node.
fn joined() -> Vec<Expectation> {
    vec![Expectation { approved: Some("uid-of-csr-0".into()), ..expectation(1) }, expectation(2)]
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn pem(params: &CertificateParams) -> String {
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// The request of an honest kubelet: that of claim 1, by its token.
fn honest() -> CertificateSigningRequest {
    of(&pem(&params("system:node:tune-1")))
}

fn of(request: &str) -> CertificateSigningRequest {
    let groups = ["system:bootstrappers", GROUP, &expectation(1).group, "system:authenticated"]
        .map(str::to_owned)
        .into();
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some("node-csr-1".into()),
            uid: Some("uid-of-csr-1".into()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            username: Some("system:bootstrap:token1".into()),
            groups: Some(groups),
            signer_name: SIGNER.into(),
            usages: Some(vec!["digital signature".into(), "client auth".into()]),
            request: ByteString(request.as_bytes().to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// The request of a node that has its certificate and wants the next.
fn renewing() -> CertificateSigningRequest {
    let mut csr = honest();
    csr.spec.username = Some("system:node:tune-1".into());
    csr.spec.groups = Some(vec!["system:nodes".into(), "system:authenticated".into()]);
    csr
}

fn approval() -> Approval {
    Approval::First { claim: expectation(1).claim, uid: "uid-of-csr-1".into() }
}

fn altered(change: impl FnOnce(&mut CertificateSigningRequest)) -> CertificateSigningRequest {
    let mut csr = honest();
    change(&mut csr);
    csr
}

fn asking(change: impl FnOnce(&mut CertificateParams)) -> CertificateSigningRequest {
    let mut params = params("system:node:tune-1");
    change(&mut params);
    of(&pem(&params))
}

/// The word of the reason it is denied for.
fn word(csr: &CertificateSigningRequest, claims: &[Expectation]) -> &'static str {
    match decide(csr, claims, now()) {
        Decision::Deny { reason, .. } => reason.word(),
        Decision::Approve(_) => "approved",
        Decision::Ignore => "ignored",
    }
}

#[test]
fn the_first_request_by_a_claims_token_for_its_node_is_approved() {
    let first = Decision::Approve(approval());
    assert_eq!(decide(&honest(), &waiting(), now()), first);
    let mut rsa = honest();
    rsa.spec.usages.as_mut().unwrap().push("key encipherment".into());
    assert_eq!(decide(&rsa, &waiting(), now()), first);
}

#[test]
fn what_a_kubelet_of_kubernetes_1_34_sent_is_read() {
    let subject = Subject::of_request(include_bytes!("tests/kubelet-1.34.csr.pem")).unwrap();
    assert_eq!(subject.common_name, "system:node:joiner");
    assert_eq!(subject.organization, "system:nodes");
}

#[test]
fn a_request_that_was_written_down_before_a_crash_is_approved_after_it() {
    let claims = vec![Expectation { approved: Some("uid-of-csr-1".into()), ..expectation(1) }];
    assert_eq!(decide(&honest(), &claims, now()), Decision::Approve(approval()));
}

#[test]
fn a_second_request_by_the_same_token_is_denied_even_under_the_name_of_the_first() {
    let second = altered(|csr| csr.metadata.uid = Some("uid-of-csr-2".into()));
    let claims = vec![Expectation { approved: Some("uid-of-csr-1".into()), ..expectation(1) }];
    assert_eq!(word(&second, &claims), "SecondCertificate");
    assert_eq!(word(&altered(|csr| csr.metadata.uid = None), &claims), "NoUid");
}

#[test]
fn a_node_renews_its_own_certificate_as_long_as_its_claim_lives() {
    let renewal = Decision::Approve(Approval::Renewal(expectation(1).claim));
    assert_eq!(decide(&renewing(), &joined(), now()), renewal);
    let years_later = "2028-11-29T12:00:00Z".parse().unwrap();
    assert_eq!(decide(&renewing(), &joined(), years_later), renewal);
    assert_eq!(
        decide(&renewing(), &waiting(), now()),
        Decision::Deny { claim: Some(expectation(1).claim), reason: Reason::NotJoined }
    );
    assert_eq!(decide(&renewing(), &[], now()), Decision::Ignore);
}

#[test]
fn what_is_decided_already_is_left_alone() {
    for kind in ["Approved", "Denied", "Failed"] {
        let condition = CertificateSigningRequestCondition { type_: kind.into(), ..Default::default() };
        let decided = altered(|csr| {
            csr.status = Some(CertificateSigningRequestStatus {
                conditions: Some(vec![condition]),
                ..Default::default()
            });
        });
        assert_eq!(decide(&decided, &waiting(), now()), Decision::Ignore, "{kind}");
    }
    let signed = altered(|csr| {
        let certificate = Some(ByteString(b"x".to_vec()));
        csr.status = Some(CertificateSigningRequestStatus { certificate, ..Default::default() });
    });
    assert_eq!(decide(&signed, &waiting(), now()), Decision::Ignore);
}

#[test]
fn requests_that_do_not_concern_our_machines_are_left_to_others() {
    for user in [
        "",
        "alice",
        "system:serviceaccount:a:b",
        "system:node:other",
        "system:bootstrap:kubead",
        "system:nodes",
    ] {
        let csr = altered(|csr| {
            csr.spec.username = Some(user.into());
            csr.spec.groups = Some(vec!["system:bootstrappers:kubeadm:default-node-token".into()]);
        });
        assert_eq!(decide(&csr, &waiting(), now()), Decision::Ignore, "{user}");
    }
    assert_eq!(decide(&altered(|csr| csr.spec.username = None), &waiting(), now()), Decision::Ignore);
}

#[test]
fn a_token_of_ours_without_a_claim_gets_nothing() {
    assert_eq!(word(&honest(), &[]), "NoClaim");
    assert_eq!(word(&honest(), &[expectation(2)]), "NoClaim");
}

#[test]
fn a_token_that_two_claims_have_gets_nothing() {
    let twin = Expectation { token_id: "token1".into(), ..expectation(2) };
    assert_eq!(word(&honest(), &[expectation(1), twin]), "NotUnique");
    let namesake = Expectation { node_name: "tune-1".into(), ..expectation(2) };
    let joined = Expectation { approved: Some("x".into()), ..expectation(1) };
    assert_eq!(word(&renewing(), &[joined, namesake]), "NotUnique");
}

#[test]
fn a_token_that_has_expired_gets_nothing() {
    let claim = expectation(1);
    for (at, approved) in [(claim.expires, false), ("2026-11-29T12:29:59Z".parse().unwrap(), true)] {
        let decision = decide(&honest(), std::slice::from_ref(&claim), at);
        assert_eq!(matches!(decision, Decision::Approve(_)), approved, "{at}: {decision:?}");
    }
    assert_eq!(
        decide(&honest(), std::slice::from_ref(&claim), claim.expires),
        Decision::Deny { claim: Some(claim.claim.clone()), reason: Reason::Expired(claim.expires) }
    );
}

#[test]
fn a_user_outside_of_its_claims_group_gets_nothing() {
    let groups = |groups: &[&str]| {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        altered(|csr| csr.spec.groups = Some(groups))
    };
    assert_eq!(word(&groups(&["system:bootstrappers", GROUP]), &waiting()), "Group");
    assert_eq!(word(&groups(&[GROUP, &expectation(2).group]), &waiting()), "Group");
    assert_eq!(word(&groups(&[&expectation(1).group]), &waiting()), "Group");
    assert_eq!(word(&altered(|csr| csr.spec.groups = None), &waiting()), "Group");
    let mut node = renewing();
    node.spec.groups = Some(vec!["system:authenticated".into()]);
    assert_eq!(word(&node, &joined()), "Group");
}

mod hostile;
