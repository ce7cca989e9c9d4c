//! What a machine that does not play by the rules asks for.

use proptest::prelude::*;
use rcgen::{Attribute, DnValue, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use super::*;

/// PKCS#9 calls it a challenge password.
const CHALLENGE: &[u64] = &[1, 2, 840, 113549, 1, 9, 7];

#[test]
fn another_signer_is_denied_to_tokens_and_nodes_alike() {
    for signer in [
        "kubernetes.io/kube-apiserver-client",
        "kubernetes.io/kubelet-serving",
        "kubernetes.io/legacy-unknown",
        "example.org/own",
        "",
    ] {
        assert_eq!(
            word(&altered(|csr| csr.spec.signer_name = signer.into()), &waiting()),
            "Signer",
            "{signer}"
        );
        let mut node = renewing();
        node.spec.signer_name = signer.into();
        assert_eq!(word(&node, &joined()), "Signer", "{signer}");
    }
}

#[test]
fn other_usages_are_denied() {
    for usages in [
        vec![],
        vec!["client auth"],
        vec!["digital signature"],
        vec!["digital signature", "server auth"],
        vec!["digital signature", "client auth", "server auth"],
        vec!["digital signature", "client auth", "cert sign"],
        vec!["digital signature", "client auth", "client auth"],
        vec!["digital signature", "client auth", "key encipherment", "key encipherment"],
        vec!["any"],
    ] {
        let names = usages.iter().map(|usage| (*usage).to_owned()).collect();
        assert_eq!(word(&altered(|csr| csr.spec.usages = Some(names)), &waiting()), "Usages", "{usages:?}");
    }
    assert_eq!(word(&altered(|csr| csr.spec.usages = None), &waiting()), "Usages");
}

#[test]
fn a_certificate_for_any_other_user_is_denied() {
    for name in [
        "system:node:tune-2",
        "system:node:node0",
        "system:node:",
        "system:node:tune-1 ",
        "system:node:tune-10",
        "system:node:TUNE-1",
        "system:node:tune-1\u{200b}",
        "tune-1",
        "system:admin",
        "kubernetes-admin",
        "system:kube-controller-manager",
        "system:serviceaccount:cooperator:operator",
        "",
    ] {
        let mut csr = of(&pem(&params(name)));
        assert_eq!(word(&csr, &waiting()), "NodeName", "{name:?} by the token");
        let CertificateSigningRequestSpec { username, groups, .. } = renewing().spec;
        (csr.spec.username, csr.spec.groups) = (username, groups);
        assert_eq!(word(&csr, &joined()), "NodeName", "{name:?} by the node");
    }
}

#[test]
fn another_organisation_or_one_beside_that_of_nodes_is_denied() {
    let second = |value: &str| {
        asking(|params| params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), value))
    };
    assert_eq!(word(&second("system:masters"), &waiting()), "Request");
    assert_eq!(word(&second("system:nodes"), &waiting()), "Request");
    for organization in ["system:masters", "system:node", "SYSTEM:NODES", "system:nodes,system:masters", ""] {
        let csr = asking(|params| params.distinguished_name.push(DnType::OrganizationName, organization));
        assert_eq!(word(&csr, &waiting()), "Organization", "{organization}");
    }
    let none = asking(|params| assert!(params.distinguished_name.remove(DnType::OrganizationName)));
    assert_eq!(word(&none, &waiting()), "Request");
}

#[test]
fn a_subject_with_anything_beside_is_denied() {
    let with = |kind: DnType, value: DnValue| asking(|params| params.distinguished_name.push(kind, value));
    for csr in [
        with(DnType::CustomDnType(vec![2, 5, 4, 3]), DnValue::Utf8String("system:node:tune-2".into())),
        with(DnType::OrganizationalUnitName, DnValue::Utf8String("system:masters".into())),
        with(DnType::CountryName, DnValue::Utf8String("AT".into())),
        with(DnType::CustomDnType(vec![2, 5, 4, 5]), DnValue::Utf8String("1".into())),
        with(DnType::CommonName, DnValue::BmpString("system:node:tune-1".parse().unwrap())),
        asking(|params| assert!(params.distinguished_name.remove(DnType::CommonName))),
        asking(|params| params.distinguished_name = rcgen::DistinguishedName::new()),
    ] {
        assert_eq!(word(&csr, &waiting()), "Request");
    }
}

#[test]
fn alternative_names_extensions_and_attributes_are_denied() {
    let name = |name: &str| SanType::DnsName(name.try_into().unwrap());
    for (what, csr) in [
        ("DNS", asking(|params| params.subject_alt_names = vec![name("kubernetes.default.svc")])),
        ("own name", asking(|params| params.subject_alt_names = vec![name("tune-1")])),
        ("IP", asking(|params| params.subject_alt_names = vec![SanType::IpAddress([10, 96, 0, 1].into())])),
        (
            "URI",
            asking(|params| {
                params.subject_alt_names = vec![SanType::URI("spiffe://x/y".try_into().unwrap())];
            }),
        ),
        (
            "mail",
            asking(|params| {
                params.subject_alt_names = vec![SanType::Rfc822Name("a@example.org".try_into().unwrap())];
            }),
        ),
        ("usage", asking(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign])),
        (
            "extended usage",
            asking(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
    ] {
        assert_eq!(word(&csr, &waiting()), "Request", "{what}");
    }
    let attribute = Attribute { oid: CHALLENGE, values: vec![0x31, 3, 0x0c, 1, b'x'] };
    let key = KeyPair::generate().unwrap();
    let request =
        params("system:node:tune-1").serialize_request_with_attributes(&key, vec![attribute]).unwrap();
    assert_eq!(word(&of(&request.pem().unwrap()), &waiting()), "Request");
}

#[test]
fn what_is_no_single_plain_request_is_denied() {
    let good = pem(&params("system:node:tune-1"));
    let other = pem(&params("system:node:tune-2"));
    let key = KeyPair::generate().unwrap();
    let certificate = params("system:node:tune-1").self_signed(&key).unwrap().pem();
    let padded = pem::encode(&pem::Pem::new(
        "CERTIFICATE REQUEST",
        [pem::parse(&good).unwrap().contents(), &[0]].concat(),
    ));
    for (what, text) in [
        ("nothing", String::new()),
        ("garbage", "garbage".to_owned()),
        ("a cut one", good[..good.len() / 2].to_owned()),
        ("two", format!("{good}{other}")),
        ("one after words", format!("words\n{good}")),
        ("one before words", format!("{good}words\n")),
        ("one with a header", good.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1)),
        ("one in long lines", good.replacen("\nM", "\n\nM", 1)),
        ("another tag", good.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")),
        ("a certificate", certificate.clone()),
        ("a certificate called a request", certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
        ("a private key", key.serialize_pem()),
        (
            "an empty block",
            "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n".to_owned(),
        ),
        ("a byte more", padded),
        ("a megabyte", "A".repeat(1 << 20)),
    ] {
        assert_eq!(word(&of(&text), &waiting()), "Request", "{what}");
    }
}

#[test]
fn a_request_signed_with_another_key_or_altered_after_it_was_signed_is_denied() {
    let good = pem(&params("system:node:tune-1"));
    let block = pem::parse(&good).unwrap();
    let place = block.contents().windows(6).position(|window| window == b"tune-1").unwrap();
    for (position, value) in
        [(place + 5, b'2'), (block.contents().len() - 1, !block.contents()[block.contents().len() - 1])]
    {
        let mut bytes = block.contents().to_vec();
        bytes[position] = value;
        let text = pem::encode_config(
            &pem::Pem::new("CERTIFICATE REQUEST", bytes),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        let reason = decide(&of(&text), &waiting(), now());
        let expected = Reason::Request(request::Error::Signature);
        assert_eq!(reason, Decision::Deny { claim: Some(expectation(1).claim), reason: expected });
    }
}

#[test]
fn a_message_shows_a_strangers_text_cut_and_on_one_line() {
    let csr = of(&pem(&params(&format!("system:node:x\n\u{1b}[31m{}", "y".repeat(500)))));
    let Decision::Deny { reason, .. } = decide(&csr, &waiting(), now()) else { panic!("not denied") };
    let text = reason.to_string();
    assert!(!text.chars().any(char::is_control) && text.len() < 200, "{text}");
    assert!(
        text.starts_with("the certificate has to be for `system:node:tune-1`; got `system:node:x\\n"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_that_are_almost_a_request_are_never_read_as_one_for_somebody_else(
        bytes in cooperator_mutate::mutated(vec![pem(&params("system:node:tune-1")).into_bytes()]),
    ) {
        if let Ok(subject) = Subject::of_request(&bytes) {
            prop_assert_eq!(subject.common_name, "system:node:tune-1");
            prop_assert_eq!(subject.organization, "system:nodes");
        }
    }
}
