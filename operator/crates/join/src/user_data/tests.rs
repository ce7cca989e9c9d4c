use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;

mod stage;

/// A value that ends a quotation of any kind, starts a command, and goes over a line.
const HOSTILE: &str = "'\"`$(touch /tmp/x)`\\'; touch /tmp/x #\n${IFS}\n!! EOF\nEOF\n*";

fn authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

fn artifact(name: &str, form: Form) -> Artifact {
    Artifact {
        name: name.into(),
        url: format!("https://dl.example.org/{name}?signature=a%26b&x='").parse().unwrap(),
        sha256: Digest::of(name.as_bytes()),
        form,
    }
}

fn user_data() -> UserData {
    UserData {
        api_server: "https://cluster.example.org:6443".into(),
        ca_pem: authority(),
        token: Token::random().unwrap(),
        node_name: "tune-1".into(),
        claim: Claim { namespace: "art".into(), name: "tune-1".into(), uid: "0a1b".into() },
        labels: [("cooperator.dev/gpu-model".to_owned(), "rtx-4090".to_owned())].into(),
        taints: vec![Taint {
            key: "example.org/slow".into(),
            value: "yes".into(),
            effect: "NoExecute".into(),
        }],
        artifacts: vec![
            artifact("kubelet", Form::Program),
            artifact("containerd", Form::Programs),
            artifact("runc", Form::Program),
            artifact("plugins", Form::Plugins),
            artifact("pause", Form::Image),
        ],
        sandbox_image: SANDBOX_IMAGE.into(),
        pod_subnet: POD_SUBNET.into(),
        tunnel: None,
        kubelet: Map::new(),
        containerd: String::new(),
    }
}

/// What bash makes of the head of a script: the value of each variable, `-` between two words of a list.
fn values(script: &str, name: &str) -> String {
    let (head, _) = script.split_once("\nset -euo pipefail").unwrap();
    let mut bash =
        Command::new("bash").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = format!("{head}\nprintf '%s' \"${{{name}}}\"\n");
    bash.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn json(script: &str, name: &str) -> Value {
    serde_json::from_str(&values(script, name)).unwrap()
}

#[test]
fn the_script_is_what_bash_can_read_and_vendors_take() {
    let script = user_data().render().unwrap();
    assert!(script.starts_with("#!/bin/bash\n"));
    assert!(script.len() < 12 << 10, "{} bytes", script.len());
    let file = std::env::temp_dir().join(format!("cooperator-join-{}.sh", std::process::id()));
    std::fs::write(&file, &script).unwrap();
    let status = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(status.success());
}

#[test]
fn the_same_values_give_the_same_script() {
    let data = user_data();
    assert_eq!(data.render().unwrap(), data.clone().render().unwrap());
}

#[test]
fn values_reach_the_machine_as_they_are_whatever_is_in_them() {
    let mut data = user_data();
    data.containerd = HOSTILE.into();
    data.kubelet.insert("clusterDomain".into(), json!(HOSTILE));
    data.claim.namespace = HOSTILE.into();
    let script = data.render().unwrap();
    assert_eq!(values(&script, "CONTAINERD"), HOSTILE);
    assert_eq!(json(&script, "KUBELET")["clusterDomain"], HOSTILE);
    assert_eq!(values(&script, "CLAIM"), format!("{HOSTILE}/tune-1"));
    assert_eq!(values(&script, "AUTHORITY").trim(), data.ca_pem.trim());
    assert_eq!(values(&script, "ARTIFACTS[3]"), data.artifacts[0].url.as_str());
    assert_eq!(values(&script, "ARTIFACTS[2]"), Digest::of(b"kubelet").hex());
    assert_eq!(values(&script, "#ARTIFACTS[@]"), "20");
    data.containerd = "a\0b".into();
    assert_eq!(data.render(), Err(Error::Nul("CONTAINERD".into())));
}

#[test]
fn the_token_is_there_once_and_hidden_from_debug_output() {
    let data = user_data();
    let script = data.render().unwrap();
    assert_eq!(script.matches(&data.token.reveal()).count(), 1);
    assert_eq!(json(&script, "BOOTSTRAP")["users"][0]["user"]["token"], data.token.reveal());
    let (_, secret) =
        data.token.reveal().split_once('.').map(|(id, secret)| (id.to_owned(), secret.to_owned())).unwrap();
    assert!(!format!("{data:?}").contains(&secret));
}

#[test]
fn the_kubelet_takes_a_certificate_registers_with_our_taints_and_trusts_no_stranger() {
    let mut data = user_data();
    data.kubelet.insert("evictionHard".into(), json!({"nodefs.available": "1%"}));
    data.kubelet.insert("failSwapOn".into(), json!(true));
    let config = json(&data.render().unwrap(), "KUBELET");
    assert_eq!(config["rotateCertificates"], true);
    assert_eq!(config["serverTLSBootstrap"], false);
    assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
    assert_eq!(config["authorization"]["mode"], "Webhook");
    assert_eq!(config["evictionHard"]["nodefs.available"], "1%");
    assert_eq!(config["failSwapOn"], true);
    assert_eq!(
        config["registerWithTaints"],
        json!([
            {"key": "cooperator.dev/unverified", "value": "", "effect": "NoSchedule"},
            {"key": "cooperator.dev/rented", "value": "tune-1", "effect": "NoSchedule"},
            {"key": "example.org/slow", "value": "yes", "effect": "NoExecute"},
        ])
    );
}

#[test]
fn what_keeps_a_machine_safe_cannot_be_set_otherwise() {
    for field in ["authentication", "authorization", "registerWithTaints", "rotateCertificates", "kind"] {
        let mut data = user_data();
        data.kubelet.insert(field.into(), json!({}));
        assert_eq!(data.render(), Err(Error::Protected(field.into())));
    }
}

#[test]
fn labels_that_kubernetes_lets_no_kubelet_set_are_refused() {
    let render = |key: &str, value: &str| {
        let mut data = user_data();
        data.labels.insert(key.into(), value.into());
        data.render().map(drop)
    };
    for key in [
        "node-restriction.kubernetes.io/x",
        "kubernetes.io/role",
        "node-role.kubernetes.io/control-plane",
        "k8s.io/x",
        "a.k8s.io/x",
    ] {
        assert_eq!(render(key, "y"), Err(Error::Restricted(key.into())));
    }
    for (key, value) in
        [("", "x"), ("a b", "x"), ("a", "b,c=d"), ("a", "-b"), ("a", HOSTILE), ("/a", "b"), ("a/b/c", "d")]
    {
        assert_eq!(render(key, value), Err(Error::Label(format!("{key}={value}"))));
    }
    for key in
        ["topology.kubernetes.io/region", "node.kubernetes.io/instance-type", "mykubernetes.io/x", "plain"]
    {
        assert_eq!(render(key, "eu-1"), Ok(()));
    }
}

#[test]
fn names_addresses_and_references_that_are_none_are_refused() {
    let with = |change: &dyn Fn(&mut UserData)| {
        let mut data = user_data();
        change(&mut data);
        data.render().unwrap_err()
    };
    for server in
        ["http://a:1", "https://", "https://u:p@a:1", "https://a:1/x", "https://a:1/?x", "a:1", HOSTILE]
    {
        assert_eq!(with(&|data| data.api_server = server.into()), Error::ApiServer(server.into()));
    }
    for node in ["", "A", "a_b", "-a", "a.b", "a b", HOSTILE, &"a".repeat(64)] {
        assert_eq!(with(&|data| data.node_name = node.into()), Error::NodeName(node.into()));
    }
    for authority in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert_eq!(with(&|data| data.ca_pem = authority.into()), Error::Authority);
    }
    for image in ["", "a b", "a\"b", HOSTILE] {
        assert_eq!(with(&|data| data.sandbox_image = image.into()), Error::Image(image.into()));
    }
    for subnet in ["", "10.88.0.0", "10.88.0.0/8", "10.88.0.0/30", "x/24", "fd00::/24"] {
        assert_eq!(with(&|data| data.pod_subnet = subnet.into()), Error::Subnet(subnet.into()));
    }
    let taint =
        |value: &str, effect: &str| Taint { key: "a".into(), value: value.into(), effect: effect.into() };
    for (value, effect) in [("x", "Never"), (HOSTILE, "NoSchedule")] {
        let error = with(&|data| data.taints = vec![taint(value, effect)]);
        assert_eq!(error, Error::Taint(format!("a={value}:{effect}")));
    }
}

#[test]
fn artifacts_have_different_plain_names_and_lie_where_anyone_may_fetch_them() {
    let with = |artifacts: Vec<Artifact>| UserData { artifacts, ..user_data() }.render().map(drop);
    let kubelet = artifact("kubelet", Form::Program);
    assert_eq!(with(vec![kubelet.clone(), kubelet.clone()]), Err(Error::Artifact("kubelet".into())));
    for name in ["", "../x", "a b", HOSTILE] {
        let named = Artifact { name: name.into(), ..kubelet.clone() };
        assert_eq!(with(vec![named]), Err(Error::Artifact(name.into())));
    }
    for url in ["ftp://a/b", "file:///etc/shadow", "https://user:secret@a/b"] {
        let placed = Artifact { url: url.parse().unwrap(), ..kubelet.clone() };
        assert_eq!(with(vec![placed]), Err(Error::Url("kubelet".into())));
    }
}

#[test]
fn a_script_that_is_too_long_is_refused() {
    let mut data = user_data();
    data.containerd = "# x\n".repeat(4096);
    assert!(matches!(data.render(), Err(Error::TooLong(bytes)) if bytes > MOST));
}

fn tunnelled() -> UserData {
    let tunnel =
        Tunnel { server: "tunnel.example.org:6445".into(), authority_pem: authority(), port: 30_017 };
    UserData { tunnel: Some(tunnel), ..user_data() }
}

#[test]
fn a_machine_with_a_tunnel_opens_no_port_and_leaves_its_addresses_to_others() {
    let script = tunnelled().render().unwrap();
    assert_eq!(values(&script, "TUNNEL"), "tunnel.example.org:6445");
    assert_eq!(values(&script, "TUNNEL_PORT"), "30017");
    assert!(values(&script, "TUNNEL_AUTHORITY").starts_with("-----BEGIN CERTIFICATE-----"));
    let kubelet = json(&script, "KUBELET");
    assert_eq!((&kubelet["address"], &kubelet["port"]), (&json!("127.0.0.1"), &json!(30_017)));
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn a_machine_without_a_tunnel_is_as_before() {
    let script = user_data().render().unwrap();
    assert_eq!(values(&script, "TUNNEL:-none"), "none");
    let kubelet = json(&script, "KUBELET");
    assert_eq!((kubelet.get("address"), kubelet.get("port")), (None, None));
}

#[test]
fn a_tunnel_that_leads_nowhere_is_refused() {
    let with = |change: fn(&mut Tunnel)| {
        let mut data = tunnelled();
        data.tunnel.as_mut().map(change);
        data.render().map(drop)
    };
    let changes: [fn(&mut Tunnel); 6] = [
        |tunnel| tunnel.server = "tunnel.example.org".into(),
        |tunnel| tunnel.server = "tunnel.example.org:0".into(),
        |tunnel| tunnel.server = "user@tunnel.example.org:6445".into(),
        |tunnel| tunnel.server = "tunnel.example.org:6445/path".into(),
        |tunnel| tunnel.authority_pem = "none".into(),
        |tunnel| tunnel.port = 443,
    ];
    for change in changes {
        assert!(matches!(with(change), Err(Error::Tunnel(_))));
    }
    let protected = Map::from_iter([("port".to_owned(), json!(10_250))]);
    let set = UserData { kubelet: protected, ..tunnelled() }.render();
    assert_eq!(set, Err(Error::Protected("port".into())));
}
