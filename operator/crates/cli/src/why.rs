//! `kubectl coop why`: what an object waits for, followed to where the cause lies, and what to do.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use cooperator_api::common::{condition, reason};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::access::Access;
use crate::items::{self, Item};
use crate::kind::Kind;
use crate::output;

/// Options of `why`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// KIND/NAME, such as finetune/addresses-v1
    pub object: Object,
    /// How to print.
    #[command(flatten)]
    pub output: output::Options,
}

/// Kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object(Kind, String);

impl FromStr for Object {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, name) = text.split_once('/').context("give KIND/NAME, such as finetune/addresses-v1")?;
        Ok(Self(kind.parse()?, name.to_owned()))
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether the object is as it should be.
    pub ready: bool,
    /// From the object asked about to the one where the cause lies.
    pub chain: Vec<Link>,
    /// What happens next, and what to do for it.
    pub next: String,
}

/// An object and what its status says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// `Kind/name`.
    pub object: String,
    /// Condition reason.
    pub reason: String,
    /// Condition message.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Prints it.
///
/// # Errors
/// When there is no such object, or the cluster does not answer.
pub async fn why(access: &Access, options: &Options) -> Result<()> {
    let items = items::fetch(access).await?; // client
    let Object(kind, name) = &options.object;
    let Some(item) = items.iter().find(|item| item.id() == (*kind, name.as_str())) else {
        bail!("no {kind} `{name}` in namespace `{}`: kubectl -n {0} get coop", access.namespace)
    };
    let answer = answer(&items, item, &access.namespace); // pure
    output::print(options.output, &answer, || paragraph(&answer, Timestamp::now()))
}

/// Follows what an item waits for.
pub fn answer(items: &[Item], item: &Item, namespace: &str) -> Answer {
    let mut chain = vec![item];
    while let Some(cause) = chain.last().and_then(|last| cause(items, last)) {
        // A cause is of a kind before that of what waits for it, so this ends.
        chain.push(cause);
    }
    let root = chain.last().copied().unwrap_or(item);
    Answer {
        ready: item.is_ready(),
        chain: chain.iter().map(|item| link(item)).collect(),
        next: next(root, namespace),
    }
}

fn link(item: &Item) -> Link {
    let object = format!("{}/{}", item.kind, item.name);
    match item.main() {
        Some(main) if item.observed => Link {
            object,
            reason: main.reason.clone(),
            message: main.message.clone(),
            since: Some(main.last_transition_time.0),
        },
        _ => Link {
            object,
            reason: "NotObserved".into(),
            message: "the operator has not looked at its newest spec yet".into(),
            since: item.created,
        },
    }
}

/// What an item says that it waits for, if that is there and not ready.
fn cause<'a>(items: &'a [Item], item: &Item) -> Option<&'a Item> {
    let reason = item.main().filter(|main| item.observed && main.status != "True")?.reason.as_str();
    let kind = match reason {
        "StorageNotReady" | "GatewayNotReady" => Kind::Collective,
        other => Kind::ALL.into_iter().find(|kind| other.strip_prefix(kind.name()) == Some("NotReady"))?,
    };
    let found = upwards(items, item).into_iter().find(|other| other.kind == kind);
    found.filter(|other| !other.is_ready() && other.kind < item.kind)
}

/// All that an item stands on, near things first.
fn upwards<'a>(items: &'a [Item], item: &Item) -> Vec<&'a Item> {
    let named =
        |(kind, name): &(Kind, String)| items.iter().find(|other| other.id() == (*kind, name.as_str()));
    let mut found: Vec<&Item> =
        item.stands_on.iter().filter_map(named).filter(|other| other.kind < item.kind).collect();
    let further: Vec<&Item> = found.iter().flat_map(|other| upwards(items, other)).collect();
    found.extend(further);
    found
}

/// What happens next with the object where the cause lies.
fn next(root: &Item, namespace: &str) -> String {
    let log = root.job.as_ref().map(|job| format!(" Its log: kubectl -n {namespace} logs job/{job}"));
    let log = log.unwrap_or_default();
    let failed = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        condition.type_ == condition::FAILED && condition.status == "True"
    };
    let Some(main) = root.main().filter(|_| root.observed) else {
        return "Is the operator running? kubectl get pods --all-namespaces --selector \
                app.kubernetes.io/component=operator"
            .into();
    };
    if root.is_ready() {
        return "Nothing is to be done.".into();
    }
    if root.conditions.iter().any(|condition| failed(&condition)) {
        return format!("It is not tried again by itself.{log}");
    }
    if main.message.contains("next attempt at") {
        return format!("It is tried again by itself.{log}");
    }
    if main.reason != "Suspended" && reason::UNDER_WAY.contains(&main.reason.as_str()) {
        return format!("It is under way{}: nothing is to be done.", far(root));
    }
    "Once that is done, it and all that waits for it go on by themselves.".into()
}

/// How far a run is, in brackets.
fn far(item: &Item) -> String {
    let Some(progress) = &item.progress else { return String::new() };
    let left = progress.estimated_remaining_seconds.map(SignedDuration::from_secs);
    let left = left.map(|left| format!(", about {} left", output::span(left))).unwrap_or_default();
    format!(" ({}, {} %{left})", progress.phase, progress.percentage)
}

/// One paragraph.
fn paragraph(answer: &Answer, now: Timestamp) -> String {
    let mut text = String::new();
    for (index, Link { object, reason, message, since }) in answer.chain.iter().enumerate() {
        let verb = match (index, answer.ready) {
            (0, true) => "is as it should be",
            (0, false) => "is not ready",
            _ => "is not ready either",
        };
        let since = since.map(|since| format!(", for {}", output::age(since, now))).unwrap_or_default();
        text.push_str(&format!("{object} {verb} ({reason}{since}): {}. ", message.trim_end_matches('.')));
    }
    text + &answer.next
}

#[cfg(test)]
mod tests {
    use cooperator_api::common::Progress;

    use super::*;
    use crate::items::tests::{NOW, item};

    fn ask(items: &[Item], kind: Kind) -> String {
        let item = items.iter().find(|item| item.kind == kind).unwrap();
        paragraph(&answer(items, item, "band"), NOW)
    }

    fn world(model: (&str, &str), dataset: (&str, &str), tune: (&str, &str)) -> Vec<Item> {
        let on_both = [(Kind::Dataset, "works"), (Kind::BaseModel, "base")];
        vec![
            item(Kind::Collective, "band", &[], "True", "Ready"),
            item(Kind::BaseModel, "base", &[(Kind::Collective, "band")], model.0, model.1),
            item(
                Kind::Dataset,
                "works",
                &[(Kind::Collective, "band"), (Kind::BaseModel, "base")],
                dataset.0,
                dataset.1,
            ),
            item(Kind::FineTune, "v1", &on_both, tune.0, tune.1),
            item(Kind::Deployment, "song", &[(Kind::FineTune, "v1")], "False", "FineTuneNotReady"),
        ]
    }

    #[test]
    fn a_chain_is_followed_to_where_the_cause_lies() {
        let items =
            world(("False", "SourceNotFound"), ("False", "BaseModelNotReady"), ("False", "DatasetNotReady"));
        assert_eq!(
            ask(&items, Kind::Deployment),
            "Deployment/song is not ready (FineTuneNotReady, for 3m10s): it is FineTuneNotReady. \
             FineTune/v1 is not ready either (DatasetNotReady, for 3m10s): it is DatasetNotReady. \
             Dataset/works is not ready either (BaseModelNotReady, for 3m10s): it is BaseModelNotReady. \
             BaseModel/base is not ready either (SourceNotFound, for 3m10s): it is SourceNotFound. \
             Once that is done, it and all that waits for it go on by themselves."
        );
    }

    #[test]
    fn what_failed_for_good_names_its_log_and_blames_nothing_else() {
        let mut items = world(("True", "Imported"), ("False", "Building"), ("False", "OutOfMemory"));
        let tune = items.iter_mut().find(|item| item.kind == Kind::FineTune).unwrap();
        tune.job = Some("v1-1".into());
        let mut failed = tune.conditions[0].clone();
        failed.type_ = "Failed".into();
        failed.status = "True".into();
        tune.conditions.push(failed);
        let text = ask(&items, Kind::FineTune);
        assert!(
            text.ends_with("It is not tried again by itself. Its log: kubectl -n band logs job/v1-1"),
            "{text}"
        );
        assert!(!text.contains("Dataset/"), "{text}");
    }

    #[test]
    fn work_without_a_machine_is_followed_to_the_provider() {
        let provider = (Kind::Provider, "vast");
        let pool = (Kind::NodePool, "gpus");
        let mut items = vec![
            item(Kind::Provider, "vast", &[], "False", "CredentialsInvalid"),
            item(Kind::NodePool, "gpus", &[provider], "False", "ProviderNotReady"),
            item(Kind::FineTune, "v1", &[pool], "False", "NodePoolNotReady"),
        ];
        let text = ask(&items, Kind::FineTune);
        assert!(text.contains("Provider/vast is not ready either (CredentialsInvalid, for 3m10s)"), "{text}");
        assert!(text.ends_with("go on by themselves."), "{text}");
        items[2] = item(Kind::FineTune, "v1", &[pool], "False", "WaitingForMachine");
        let text = ask(&items, Kind::FineTune);
        assert!(text.ends_with("It is under way: nothing is to be done."), "{text}");
    }

    #[test]
    fn what_is_under_way_says_how_far_it_is() {
        let mut items = world(("True", "Imported"), ("True", "Built"), ("False", "Training"));
        let tune = items.iter_mut().find(|item| item.kind == Kind::FineTune).unwrap();
        tune.progress = Some(Progress {
            percentage: 45,
            phase: "training".into(),
            estimated_remaining_seconds: Some(130),
            ..Progress::default()
        });
        let text = ask(&items, Kind::Deployment);
        assert!(
            text.ends_with("It is under way (training, 45 %, about 2m10s left): nothing is to be done."),
            "{text}"
        );
    }

    #[test]
    fn what_is_ready_says_so() {
        let items = world(("True", "Imported"), ("True", "Built"), ("True", "Trained"));
        assert_eq!(
            ask(&items, Kind::FineTune),
            "FineTune/v1 is as it should be (Trained, for 3m10s): it is Trained. Nothing is to be done."
        );
    }

    #[test]
    fn what_nobody_looked_at_points_to_the_operator() {
        let mut items = world(("True", "Imported"), ("True", "Built"), ("True", "Trained"));
        items[3].observed = false;
        let text = ask(&items, Kind::FineTune);
        assert!(text.contains("FineTune/v1 is not ready (NotObserved"), "{text}");
        assert!(text.contains("kubectl get pods"), "{text}");
    }

    #[test]
    fn an_object_is_named_by_kind_and_name() {
        assert_eq!("ft/v1".parse::<Object>().unwrap(), Object(Kind::FineTune, "v1".into()));
        assert!("v1".parse::<Object>().unwrap_err().to_string().starts_with("give KIND/NAME"));
    }
}
