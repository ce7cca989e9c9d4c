//! Pure: what the policies let each pod connect to, and be reached by (networking.k8s.io/v1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};

use crate::endpoints::{Endpoint, Labels, Protocol};

/// The label by which every namespace can be selected; the API server sees to it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// All that the rules follow from.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Pods by address.
    pub endpoints: BTreeMap<Ipv4Addr, Endpoint>,
    /// Labels of each namespace.
    pub namespaces: BTreeMap<String, Labels>,
    /// Every policy.
    pub policies: Vec<NetworkPolicy>,
}

/// Which side of a connection the pod is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It is connected to.
    Ingress,
    /// It connects.
    Egress,
}

/// What a pod may do. `None`: no policy says anything, and it may do all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Who may connect to it.
    pub ingress: Option<Vec<Allow>>,
    /// What it may connect to.
    pub egress: Option<Vec<Allow>>,
}

/// One thing that is let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The other side.
    pub peers: Peers,
    /// Ports of the side that is connected to.
    pub ports: Ports,
}

/// The other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Whoever.
    Anyone,
    /// These pods.
    Pods(BTreeSet<Ipv4Addr>),
    /// The addresses of a block but for those of some blocks in it.
    Block(Ipv4Net, Vec<Ipv4Net>),
}

/// Ports that may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All, and what has no ports.
    All,
    /// All of a protocol.
    Of(Protocol),
    /// From the first to the last.
    Range(Protocol, u16, u16),
}

/// What each pod may do.
#[must_use]
pub fn isolations(world: &World) -> BTreeMap<Ipv4Addr, Isolation> {
    world.endpoints.iter().map(|(address, pod)| (*address, isolation(world, pod))).collect()
}

fn isolation(world: &World, pod: &Endpoint) -> Isolation {
    let mut found = Isolation::default();
    for policy in &world.policies {
        let Some(spec) = policy.spec.as_ref().filter(|_| policy.namespace().as_ref() == Some(&pod.namespace))
        else {
            continue;
        };
        if !is_subject(spec.pod_selector.as_ref(), &pod.labels) {
            continue;
        }
        for direction in directions(spec) {
            match direction {
                Direction::Ingress => found.ingress.get_or_insert_default().extend(ingress(world, pod, spec)),
                Direction::Egress => found.egress.get_or_insert_default().extend(egress(world, pod, spec)),
            }
        }
    }
    found
}

/// What a policy speaks of: what it says, else ingress, and egress where it has rules for it.
fn directions(spec: &NetworkPolicySpec) -> Vec<Direction> {
    match spec.policy_types.as_deref() {
        None | Some([]) if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) => {
            vec![Direction::Ingress, Direction::Egress]
        }
        None | Some([]) => vec![Direction::Ingress],
        Some(types) => types
            .iter()
            .filter_map(|name| match name.as_str() {
                "Ingress" => Some(Direction::Ingress),
                "Egress" => Some(Direction::Egress),
                _ => None,
            })
            .collect(),
    }
}

fn ingress(world: &World, pod: &Endpoint, spec: &NetworkPolicySpec) -> Vec<Allow> {
    let mut found = Vec::new();
    for rule in spec.ingress.iter().flatten() {
        let ports = ports(rule.ports.as_deref());
        for peers in peers(world, &pod.namespace, rule.from.as_deref()) {
            found.extend(ports.iter().flat_map(|port| match port {
                Wanted::Numbers(ports) => vec![Allow { peers: peers.clone(), ports: *ports }],
                Wanted::Named(protocol, name) => {
                    numbers(pod, *protocol, name).map(|ports| Allow { peers: peers.clone(), ports }).collect()
                }
            }));
        }
    }
    found
}

fn egress(world: &World, pod: &Endpoint, spec: &NetworkPolicySpec) -> Vec<Allow> {
    let mut found = Vec::new();
    for rule in spec.egress.iter().flatten() {
        let ports = ports(rule.ports.as_deref());
        for peers in peers(world, &pod.namespace, rule.to.as_deref()) {
            found.extend(ports.iter().flat_map(|port| match port {
                Wanted::Numbers(ports) => vec![Allow { peers: peers.clone(), ports: *ports }],
                Wanted::Named(protocol, name) => named(world, &peers, *protocol, name),
            }));
        }
    }
    found
}

/// The pods among these that have a port of this name, each with its number.
fn named(world: &World, peers: &Peers, protocol: Protocol, name: &str) -> Vec<Allow> {
    let among = |address: &Ipv4Addr| match peers {
        Peers::Anyone => true,
        Peers::Pods(pods) => pods.contains(address),
        Peers::Block(block, except) => {
            block.contains(address) && !except.iter().any(|hole| hole.contains(address))
        }
    };
    let pods = world.endpoints.iter().filter(|(address, _)| among(address));
    pods.flat_map(|(address, pod)| {
        let peers = Peers::Pods([*address].into());
        numbers(pod, protocol, name).map(move |ports| Allow { peers: peers.clone(), ports })
    })
    .collect()
}

/// A pod's ports of this name.
fn numbers(pod: &Endpoint, protocol: Protocol, name: &str) -> impl Iterator<Item = Ports> {
    let ports = pod.ports.iter().filter(move |(its, of, _)| its == name && *of == protocol);
    ports.map(move |(_, _, number)| Ports::Range(protocol, *number, *number))
}

/// Ports as a rule says them.
enum Wanted {
    Numbers(Ports),
    Named(Protocol, String),
}

/// None said: all. One that is not understood: none.
fn ports(said: Option<&[NetworkPolicyPort]>) -> Vec<Wanted> {
    let Some(said) = said.filter(|said| !said.is_empty()) else { return vec![Wanted::Numbers(Ports::All)] };
    let one = |said: &NetworkPolicyPort| {
        let protocol = Protocol::parse(said.protocol.as_deref())?;
        Some(match &said.port {
            None => Wanted::Numbers(Ports::Of(protocol)),
            Some(IntOrString::String(name)) => Wanted::Named(protocol, name.clone()),
            Some(IntOrString::Int(first)) => {
                let first = u16::try_from(*first).ok()?;
                let last = said.end_port.map_or(Ok(first), u16::try_from).ok()?;
                Wanted::Numbers(Ports::Range(protocol, first, last))
            }
        })
    };
    said.iter().filter_map(one).collect()
}

/// None said: anyone.
fn peers(world: &World, home: &str, said: Option<&[NetworkPolicyPeer]>) -> Vec<Peers> {
    match said {
        None | Some([]) => vec![Peers::Anyone],
        Some(said) => said.iter().map(|peer| peer_of(world, home, peer)).collect(),
    }
}

fn peer_of(world: &World, home: &str, peer: &NetworkPolicyPeer) -> Peers {
    if let Some(said) = &peer.ip_block {
        return block(said).unwrap_or_else(|| Peers::Pods(BTreeSet::new()));
    }
    let here = |pod: &Endpoint| match &peer.namespace_selector {
        None => pod.namespace == home,
        Some(selector) => selects(selector, &labels_of(world, &pod.namespace)),
    };
    let is_one =
        |pod: &Endpoint| peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels));
    let found = world.endpoints.iter().filter(|(_, pod)| here(pod) && is_one(pod));
    Peers::Pods(found.map(|(address, _)| *address).collect())
}

/// Nobody for a block of IPv6, which pods do not have here, and for one with a hole that is not understood.
fn block(said: &IPBlock) -> Option<Peers> {
    let block: Ipv4Net = said.cidr.parse().ok()?;
    let holes: Vec<IpNet> =
        said.except.iter().flatten().map(|hole| hole.parse()).collect::<Result<_, _>>().ok()?;
    let holes = holes.into_iter().filter_map(|hole| match hole {
        IpNet::V4(hole) => Some(hole.trunc()),
        IpNet::V6(_) => None,
    });
    Some(Peers::Block(block.trunc(), holes.collect()))
}

/// A namespace that is not known yet has the one label that all have.
fn labels_of(world: &World, namespace: &str) -> Labels {
    let known = world.namespaces.get(namespace).cloned();
    known.unwrap_or_else(|| [(NAME_LABEL.to_owned(), namespace.to_owned())].into())
}

/// A selector that is not understood selects no peer.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

/// A selector that is not understood isolates.
fn is_subject(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else { return true };
    Selector::try_from(selector.clone()).map_or(true, |selector| selector.matches(labels))
}

#[cfg(test)]
mod tests;
