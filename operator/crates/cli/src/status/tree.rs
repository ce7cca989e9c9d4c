//! Pure: what belongs to what.

use cooperator_api::common::Progress;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::items::Item;
use crate::kind::Kind;
use crate::output;

/// An object with what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
    /// Whether it is as it should be: `True`, `False`, or `Unknown` before the operator has looked at it.
    pub ready: String,
    /// Why.
    pub reason: String,
    /// One line about it.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What it is, in a few words.
    pub summary: String,
    /// How far its run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What belongs to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// The tree of a Collective; none when there is none of that name.
pub fn tree(items: &[Item], collective: &str) -> Option<Node> {
    let root = items.iter().find(|item| item.id() == (Kind::Collective, collective))?;
    Some(node(items, root))
}

fn node(items: &[Item], item: &Item) -> Node {
    let children =
        items.iter().filter(|child| owner(items, child).is_some_and(|owner| owner.id() == item.id()));
    let (ready, reason, message, since) = match item.main() {
        _ if item.deleting.is_some() => {
            ("False".into(), "Deleting".into(), "it is being deleted".into(), item.deleting)
        }
        Some(condition) if item.observed => (
            condition.status.clone(),
            condition.reason.clone(),
            condition.message.clone(),
            Some(condition.last_transition_time.0),
        ),
        _ => (
            "Unknown".into(),
            "NotObserved".into(),
            "the operator has not looked at its newest spec yet".into(),
            item.created,
        ),
    };
    Node {
        kind: item.kind,
        name: item.name.clone(),
        ready,
        reason,
        message,
        since,
        summary: item.summary.clone(),
        progress: item.progress.clone(),
        children: children.map(|child| node(items, child)).collect(),
    }
}

/// What an item belongs to: the first of what it stands on that is there, else the namespace's only Collective. It is
/// always of a kind before its own, so that the tree ends.
fn owner<'a>(items: &'a [Item], item: &Item) -> Option<&'a Item> {
    let named =
        |(kind, name): &(Kind, String)| items.iter().find(|other| other.id() == (*kind, name.as_str()));
    let owner = item.stands_on.iter().find_map(named);
    let only = || {
        let mut collectives = items.iter().filter(|other| other.kind == Kind::Collective);
        collectives.next().filter(|_| collectives.next().is_none())
    };
    owner.or_else(only).filter(|owner| owner.kind < item.kind)
}

/// The lines of the table: name with its branch, ready, reason, for how long, detail.
pub fn rows(nodes: &[Node], now: Timestamp) -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    for node in nodes {
        push(&mut rows, node, "", "", now);
    }
    rows
}

fn push(rows: &mut Vec<[String; 5]>, node: &Node, branch: &str, below: &str, now: Timestamp) {
    rows.push([
        format!("{branch}{}/{}", node.kind, node.name),
        node.ready.clone(),
        node.reason.clone(),
        node.since.map(|since| output::age(since, now)).unwrap_or_default(),
        detail(node),
    ]);
    for (index, child) in node.children.iter().enumerate() {
        let (own, next) =
            if index + 1 == node.children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        push(rows, child, &format!("{below}{own}"), &format!("{below}{next}"), now);
    }
}

/// What matters most: how far it is, else what is wrong, else what it is.
fn detail(node: &Node) -> String {
    if node.ready == "True" {
        return node.summary.clone();
    }
    match &node.progress {
        Some(progress) if progress.percentage < 100 => bar(progress),
        _ => node.message.clone(),
    }
}

/// Progress in a line: a bar of ten, what is done now, how long yet.
fn bar(progress: &Progress) -> String {
    let tenths = usize::try_from(progress.percentage / 10).unwrap_or(0).min(10);
    let mut line = format!("[{:<10}] {:>3} % {}", "=".repeat(tenths), progress.percentage, progress.phase);
    if let (Some(step), Some(steps)) = (progress.step, progress.steps) {
        line.push_str(&format!(" {step}/{steps}"));
    }
    if let Some(loss) = &progress.loss {
        line.push_str(&format!(", loss {loss}"));
    }
    if let Some(seconds) = progress.estimated_remaining_seconds {
        line.push_str(&format!(", {} left", output::span(SignedDuration::from_secs(seconds))));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::tests::{NOW, item};

    fn world() -> Vec<Item> {
        let mut tune = item(Kind::FineTune, "v1", &[(Kind::Dataset, "works")], "False", "Training");
        tune.progress = Some(Progress {
            percentage: 45,
            phase: "training".into(),
            step: Some(18),
            steps: Some(40),
            loss: Some("3.41".into()),
            estimated_remaining_seconds: Some(130),
            ..Progress::default()
        });
        vec![
            item(Kind::Collective, "band", &[], "True", "Ready"),
            item(Kind::BaseModel, "base", &[(Kind::Collective, "band")], "True", "Imported"),
            item(Kind::Dataset, "works", &[(Kind::Collective, "band")], "True", "Built"),
            tune,
            item(Kind::Deployment, "song", &[(Kind::FineTune, "v1")], "False", "FineTuneNotReady"),
            item(Kind::ApiKey, "radio", &[(Kind::Collective, "band")], "True", "Minted"),
        ]
    }

    #[test]
    fn what_belongs_to_a_collective_hangs_below_it_with_its_progress() {
        let nodes = vec![tree(&world(), "band").unwrap()];
        let lines: Vec<String> =
            rows(&nodes, NOW).iter().map(|row| row.join("  ").trim_end().into()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        Collective/band  True  Ready  3m10s  a few words
        ├─ BaseModel/base  True  Imported  3m10s  a few words
        ├─ Dataset/works  True  Built  3m10s  a few words
        │  └─ FineTune/v1  False  Training  3m10s  [====      ]  45 % training 18/40, loss 3.41, 2m10s left
        │     └─ Deployment/song  False  FineTuneNotReady  3m10s  it is FineTuneNotReady
        └─ ApiKey/radio  True  Minted  3m10s  a few words
        ");
    }

    #[test]
    fn what_names_something_that_is_not_there_still_hangs_on_the_only_collective() {
        let mut items = world();
        items.retain(|item| item.kind != Kind::Dataset);
        let node = tree(&items, "band").unwrap();
        assert!(node.children.iter().any(|child| child.kind == Kind::FineTune));
    }

    #[test]
    fn what_the_operator_has_not_looked_at_is_unknown() {
        let mut items = world();
        items[0].observed = false;
        let node = tree(&items, "band").unwrap();
        assert_eq!((node.ready.as_str(), node.reason.as_str()), ("Unknown", "NotObserved"));
    }

    #[test]
    fn a_rented_machine_hangs_below_its_work_and_a_spare_one_below_its_pool() {
        let mut items = world();
        items.push(item(Kind::NodePool, "gpus", &[(Kind::Collective, "band")], "True", "Ready"));
        let pool = (Kind::NodePool, "gpus");
        items.push(item(Kind::NodeClaim, "v1-1", &[(Kind::FineTune, "v1"), pool], "False", "Launching"));
        items.push(item(Kind::NodeClaim, "spare", &[pool], "True", "Ready"));
        let lines = rows(&[tree(&items, "band").unwrap()], NOW);
        let names: Vec<&str> = lines.iter().map(|row| row[0].as_str()).collect();
        assert!(
            names.contains(&"│  └─ FineTune/v1") && names.contains(&"│     └─ NodeClaim/v1-1"),
            "{names:?}"
        );
        assert!(names.contains(&"   └─ NodeClaim/spare"), "{names:?}");
    }

    #[test]
    fn another_collectives_objects_are_not_in_the_tree() {
        let mut items = world();
        items.push(item(Kind::Collective, "choir", &[], "True", "Ready"));
        items.push(item(Kind::ApiKey, "chapel", &[(Kind::Collective, "choir")], "True", "Minted"));
        let names: Vec<String> =
            tree(&items, "choir").unwrap().children.into_iter().map(|node| node.name).collect();
        assert_eq!(names, ["chapel"]);
    }
}
