//! Pure: what pods may do, as a table for `nft -f`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::endpoints::Protocol;
use crate::rules::{Allow, Direction, Isolation, Peers, Ports, World, isolations};

/// The table, replaced as a whole. It is made first, so that removing the old one works when there is none.
const BEGIN: &str = "\
table inet cooperator-policies
delete table inet cooperator-policies
table inet cooperator-policies {
";

/// What is no pod's is refused, and so is what a pod's own chain does not let pass. `veth*` is the node's end of every
/// pod's cable. Answers pass because what they answer did. What pods send to the node itself, as to kube-apiserver, comes
/// by `input`; what the node sends to its pods goes by neither.
const END: &str = "	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname \"veth*\" meta nfproto ipv6 drop
		iifname \"veth*\" fib saddr . iif oif missing drop
	}
	chain input {
		type filter hook input priority filter + 10; policy accept;
		ct state related accept
		ct direction reply accept
		iifname \"veth*\" jump egress
	}
	chain forward {
		type filter hook forward priority filter + 10; policy accept;
		ct state related accept
		ct direction reply accept
		iifname \"veth*\" jump egress
		oifname \"veth*\" jump ingress
	}
}
";

/// The answer to what may not pass: a caller fails at once, and can tell it from a port that nobody listens at.
const REFUSE: &str = "reject with icmpx type admin-prohibited";

/// The whole table.
#[must_use]
pub fn ruleset(world: &World) -> String {
    let pods = isolations(world);
    let mut text = BEGIN.to_owned();
    for (direction, name) in [(Direction::Ingress, "ingress"), (Direction::Egress, "egress")] {
        for (address, isolation) in &pods {
            if let Some(allowed) = allowed(isolation, direction) {
                let pod = &world.endpoints[address];
                let _ = writeln!(text, "\t# {}/{}", pod.namespace, pod.name);
                let lines = allowed.iter().filter_map(|allow| line(allow, direction)).collect();
                chain(&mut text, &format!("{name}-{address}"), lines);
            }
        }
        chain(&mut text, name, dispatch(&pods, direction, name));
    }
    text + END
}

fn allowed(isolation: &Isolation, direction: Direction) -> Option<&Vec<Allow>> {
    match direction {
        Direction::Ingress => isolation.ingress.as_ref(),
        Direction::Egress => isolation.egress.as_ref(),
    }
}

/// A chain of these lines, which refuses what none of them has returned.
fn chain(text: &mut String, name: &str, mut lines: Vec<String>) {
    lines.dedup();
    lines.push(REFUSE.to_owned());
    let _ = writeln!(text, "\tchain {name} {{\n\t\t{}\n\t}}", lines.join("\n\t\t"));
}

/// To the chain of the pod whose address it is; back at once where no policy speaks of that pod.
fn dispatch(pods: &BTreeMap<Ipv4Addr, Isolation>, direction: Direction, name: &str) -> Vec<String> {
    let entry = |(address, isolation): (&Ipv4Addr, &Isolation)| match allowed(isolation, direction) {
        Some(_) => format!("{address} : goto {name}-{address}"),
        None => format!("{address} : return"),
    };
    let entries: Vec<String> = pods.iter().map(entry).collect();
    let own = match direction {
        Direction::Ingress => "daddr",
        Direction::Egress => "saddr",
    };
    // nft knows no empty map.
    if entries.is_empty() { vec![] } else { vec![format!("ip {own} vmap {{ {} }}", entries.join(", "))] }
}

/// None where the peers are nobody.
fn line(allow: &Allow, direction: Direction) -> Option<String> {
    let other = match direction {
        Direction::Ingress => "ip saddr",
        Direction::Egress => "ip daddr",
    };
    let mut words = match &allow.peers {
        Peers::Anyone => vec![],
        Peers::Pods(pods) if pods.is_empty() => return None,
        Peers::Pods(pods) => {
            let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
            vec![format!("{other} {{ {} }}", pods.join(", "))]
        }
        Peers::Block(block, holes) => {
            let all =
                if block.prefix_len() == 0 { "meta nfproto ipv4".into() } else { format!("{other} {block}") };
            let holes = holes.iter().map(|hole| format!("{other} != {hole}"));
            [all].into_iter().chain(holes).collect()
        }
    };
    match allow.ports {
        Ports::All => {}
        Ports::Of(protocol) => words.push(format!("meta l4proto {}", word(protocol))),
        Ports::Range(protocol, first, last) if first == last => {
            words.push(format!("{} dport {first}", word(protocol)));
        }
        Ports::Range(protocol, first, last) => words.push(format!("{} dport {first}-{last}", word(protocol))),
    }
    words.push("return".into());
    Some(words.join(" "))
}

const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::endpoints::Endpoint;

    fn world(policies: Value) -> World {
        let pod = |name: &str| Endpoint {
            namespace: "a".into(),
            name: name.into(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            ports: vec![("main".into(), Protocol::Tcp, 8080)],
        };
        let policies: Vec<Value> = serde_json::from_value(policies).unwrap();
        let policy = |spec: Value| {
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "a"}, "spec": spec}))
                .unwrap()
        };
        World {
            endpoints: [("10.244.0.2", pod("web")), ("10.244.0.3", pod("db")), ("10.244.0.4", pod("free"))]
                .map(|(address, pod)| (address.parse().unwrap(), pod))
                .into(),
            policies: policies.into_iter().map(policy).collect(),
            ..World::default()
        }
    }

    #[test]
    fn without_pods_nothing_passes() {
        insta::assert_snapshot!(ruleset(&World::default()));
    }

    #[test]
    fn every_kind_of_rule_is_a_line() {
        insta::assert_snapshot!(ruleset(&world(json!([
            {
                "podSelector": {"matchLabels": {"app": "web"}},
                "ingress": [
                    {"ports": [{"port": "main"}, {"port": 9000, "endPort": 9010, "protocol": "UDP"}]},
                    {"from": [{"ipBlock": {"cidr": "192.168.0.0/16", "except": ["192.168.77.0/24"]}}]},
                    {"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]},
                ],
            },
            {
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["free"]}]},
                "policyTypes": ["Ingress", "Egress"],
                "egress": [
                    {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]},
                    {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"protocol": "SCTP"}]},
                    {
                        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}],
                        "ports": [{"port": 443}],
                    },
                ],
            },
        ]))));
    }
}
