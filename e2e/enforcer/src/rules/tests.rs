use serde_json::{Value, json};

use super::*;

/// Two namespaces: `a` with web (10.244.0.1) and db (10.244.0.2), `b` with web (10.244.0.3).
fn world(policies: Value) -> World {
    let pod = |namespace: &str, name: &str, port: u16| Endpoint {
        namespace: namespace.into(),
        name: name.into(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        ports: vec![("main".into(), Protocol::Tcp, port)],
    };
    let labels = |name: &str, team: &str| {
        [(NAME_LABEL.to_owned(), name.to_owned()), ("team".to_owned(), team.to_owned())].into()
    };
    let policies: Vec<Value> = serde_json::from_value(policies).unwrap();
    let policy = |spec: Value| {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec})).unwrap()
    };
    World {
        endpoints: [
            (address(1), pod("a", "web", 80)),
            (address(2), pod("a", "db", 5432)),
            (address(3), pod("b", "web", 8080)),
        ]
        .into(),
        namespaces: [("a".to_owned(), labels("a", "red")), ("b".to_owned(), labels("b", "blue"))].into(),
        policies: policies.into_iter().map(policy).collect(),
    }
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

fn of(policies: Value, last: u8) -> Isolation {
    isolations(&world(policies)).remove(&address(last)).unwrap()
}

fn pods(last: &[u8]) -> Peers {
    Peers::Pods(last.iter().map(|last| address(*last)).collect())
}

fn tcp(port: u16) -> Ports {
    Ports::Range(Protocol::Tcp, port, port)
}

/// What a policy for all pods of `a` with one ingress rule lets web be reached by.
fn from(rule: Value) -> Vec<Allow> {
    of(json!([{"podSelector": {}, "ingress": [rule]}]), 1).ingress.unwrap()
}

/// What a policy for all pods of `a` with one egress rule lets web connect to.
fn to(rule: Value) -> Vec<Allow> {
    of(json!([{"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}]), 1).egress.unwrap()
}

#[test]
fn a_pod_that_no_policy_selects_may_do_all() {
    assert_eq!(of(json!([]), 1), Isolation::default());
    let of_db = json!([{"podSelector": {"matchLabels": {"app": "db"}}}]);
    assert_eq!(of(of_db.clone(), 1), Isolation::default());
    assert_eq!(of(of_db, 2).ingress, Some(vec![]));
}

#[test]
fn a_policy_is_for_the_pods_of_its_own_namespace() {
    assert_eq!(of(json!([{"podSelector": {}}]), 3), Isolation::default());
    assert_eq!(of(json!([{}]), 1).ingress, Some(vec![]), "no selector is one for all");
}

#[test]
fn without_types_a_policy_is_about_ingress_and_about_egress_where_it_has_rules_for_it() {
    let (closed, open) = (Some(vec![]), None);
    let all = Some(vec![Allow { peers: Peers::Anyone, ports: Ports::All }]);
    for (policy, ingress, egress) in [
        (json!({"podSelector": {}}), &closed, &open),
        (json!({"podSelector": {}, "egress": []}), &closed, &open),
        (json!({"podSelector": {}, "egress": [{}]}), &closed, &all),
        (json!({"podSelector": {}, "policyTypes": ["Egress"]}), &open, &closed),
        (json!({"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}), &closed, &open),
        (json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}]}), &all, &closed),
    ] {
        let found = of(json!([policy.clone()]), 1);
        assert_eq!((&found.ingress, &found.egress), (ingress, egress), "{policy}");
    }
}

#[test]
fn peers_are_pods_of_the_same_namespace_of_selected_ones_or_both() {
    for (peer, expected) in [
        (json!({"podSelector": {}}), pods(&[1, 2])),
        (json!({"podSelector": {"matchLabels": {"app": "db"}}}), pods(&[2])),
        (json!({"namespaceSelector": {}}), pods(&[1, 2, 3])),
        (json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}}), pods(&[3])),
        (json!({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}), pods(&[1, 3])),
        (json!({"namespaceSelector": {"matchLabels": {"team": "green"}}}), pods(&[])),
    ] {
        assert_eq!(from(json!({"from": [peer.clone()]}))[0].peers, expected, "{peer}");
    }
}

#[test]
fn every_operator_of_a_selector_means_what_the_api_says() {
    for (expression, expected) in [
        (json!({"key": "app", "operator": "In", "values": ["web", "cache"]}), pods(&[1])),
        (json!({"key": "app", "operator": "NotIn", "values": ["web"]}), pods(&[2])),
        (json!({"key": "tier", "operator": "NotIn", "values": ["web"]}), pods(&[1, 2])),
        (json!({"key": "app", "operator": "Exists"}), pods(&[1, 2])),
        (json!({"key": "app", "operator": "DoesNotExist"}), pods(&[])),
        (json!({"key": "app", "operator": "Near"}), pods(&[])),
    ] {
        let peer = json!({"podSelector": {"matchExpressions": [expression]}});
        assert_eq!(from(json!({"from": [peer.clone()]}))[0].peers, expected, "{peer}");
    }
    let unknown = json!([{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}}]);
    assert_eq!(of(unknown, 1).ingress, Some(vec![]), "what is not understood isolates");
}

#[test]
fn a_block_has_holes_and_one_that_is_not_understood_is_nobody() {
    let block = |cidr: &str, except: &[&str]| {
        let peer = json!({"ipBlock": {"cidr": cidr, "except": except}});
        from(json!({"from": [peer]}))[0].peers.clone()
    };
    let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
    let expected = Peers::Block(net("10.0.0.0/8"), vec![net("10.1.0.0/16")]);
    assert_eq!(block("10.0.0.0/8", &["10.1.0.0/16"]), expected);
    assert_eq!(block("10.0.0.7/8", &["10.1.9.9/16"]), expected, "bits beyond the mask say nothing");
    for (cidr, except) in [("fd00::/8", [""; 0].as_slice()), ("10.0.0.0", &[]), ("10.0.0.0/8", &["10.1"])] {
        assert_eq!(block(cidr, except), pods(&[]), "{cidr} {except:?}");
    }
}

#[test]
fn ports_are_all_of_a_protocol_one_a_range_or_those_of_a_name() {
    for (port, expected) in [
        (json!({}), vec![Ports::Of(Protocol::Tcp)]),
        (json!({"protocol": "UDP"}), vec![Ports::Of(Protocol::Udp)]),
        (json!({"port": 80}), vec![tcp(80)]),
        (json!({"port": 53, "protocol": "UDP"}), vec![Ports::Range(Protocol::Udp, 53, 53)]),
        (json!({"port": 80, "endPort": 90}), vec![Ports::Range(Protocol::Tcp, 80, 90)]),
        (json!({"port": "main"}), vec![tcp(80)]),
        (json!({"port": "main", "protocol": "UDP"}), vec![]),
        (json!({"port": "other"}), vec![]),
        (json!({"port": 70000}), vec![]),
        (json!({"port": 80, "protocol": "QUIC"}), vec![]),
    ] {
        let found: Vec<Ports> =
            from(json!({"ports": [port.clone()]})).iter().map(|allow| allow.ports).collect();
        assert_eq!(found, expected, "{port}");
    }
    assert_eq!(from(json!({}))[0].ports, Ports::All);
}

#[test]
fn a_named_port_on_the_way_out_is_each_peers_own() {
    let main = json!([{"port": "main"}]);
    assert_eq!(
        to(json!({"to": [{"podSelector": {}}], "ports": main})),
        [Allow { peers: pods(&[1]), ports: tcp(80) }, Allow { peers: pods(&[2]), ports: tcp(5432) }]
    );
    assert_eq!(to(json!({"ports": main})).len(), 3);
    let block = json!({"ipBlock": {"cidr": "10.244.0.0/30", "except": ["10.244.0.2/32"]}});
    let found: Vec<Ports> = to(json!({"to": [block], "ports": main})).iter().map(|a| a.ports).collect();
    assert_eq!(found, [tcp(80), tcp(8080)]);
}

#[test]
fn policies_add_up() {
    let both = json!([
        {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]},
        {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"podSelector": {}}]}]},
    ]);
    assert_eq!(
        of(both, 1).ingress.unwrap(),
        [Allow { peers: Peers::Anyone, ports: tcp(80) }, Allow { peers: pods(&[1, 2]), ports: Ports::All }]
    );
}

#[test]
fn a_namespace_that_is_not_known_yet_has_its_name() {
    let mut world = world(json!([{"podSelector": {}, "ingress": [{"from": [
        {"namespaceSelector": {"matchLabels": {NAME_LABEL: "b"}}}]}]}]));
    world.namespaces.clear();
    let found = isolations(&world).remove(&address(1)).unwrap();
    assert_eq!(found.ingress.unwrap()[0].peers, pods(&[3]));
}
