//! Bad custom resources against a real kube-apiserver, with no operator there: each is refused at once, by a line that
//! names the field, its bound and the way out. A table a kind, what no kind takes, and what the definitions themselves
//! say of their bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use cooperator_e2e_api::{Server, examples};
use serde_json::{Value, json};
use sweep::Sweep;

mod api_key;
mod base_model;
mod changes;
mod collective;
mod contribution;
mod dataset;
mod deployment;
mod everywhere;
mod fine_tune;
mod good;
mod node_claim;
mod node_pool;
mod provider;
mod settlement;
mod sweep;

/// JSON pointer into a good object, the value put there, and what the refusal must say.
type Case = (&'static str, Value, &'static str);

/// In a [`Case`]: the field is taken away.
const GONE: Value = Value::Null;

/// Cases that differ in the value alone.
fn each<const N: usize>(field: &'static str, expected: &'static str, values: [Value; N]) -> Vec<Case> {
    values.into_iter().map(|value| (field, value, expected)).collect()
}

/// A number as JSON writes it, which [`Value`] may not hold.
fn number(text: &str) -> Value {
    json!(format!("<number>{text}</number>"))
}

/// The JSON of an object with its [`number`]s.
fn text(object: &Value) -> String {
    object.to_string().replace("\"<number>", "").replace("</number>\"", "")
}

/// The object with one field changed, appended or taken away.
fn with(object: &Value, pointer: &str, value: &Value) -> Value {
    let mut object = object.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("good.yaml has no {parent}"));
    let field = field.replace("~1", "/");
    match (parent, value) {
        (Value::Object(fields), &GONE) => drop(fields.remove(&field).unwrap()),
        (Value::Object(fields), value) => drop(fields.insert(field, value.clone())),
        (Value::Array(items), value) => match field.parse::<usize>() {
            Ok(index) => items[index] = value.clone(),
            Err(_) => items.push(value.clone()),
        },
        (other, _) => panic!("{pointer}: {other} has no fields"),
    }
    object
}

/// What a pointer is called in a refusal: `spec.members[0].name`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{}", part.replace("~1", "/"))),
        }
    }
    path
}

/// Whether a refusal names the field, or one that it is a part of, besides `spec` as a whole.
fn names(message: &str, pointer: &str) -> bool {
    let parents = std::iter::successors(Some(pointer), |at| at.rsplit_once('/').map(|(parent, _)| parent));
    let mut ours = parents.take_while(|at| at.matches('/').count() > 1 || *at == pointer);
    ours.any(|at| message.contains(&dotted(at)))
}

/// The tables, by kind.
fn tables() -> [(&'static str, Vec<Case>); 11] {
    [
        ("Collective", collective::cases()),
        ("Contribution", contribution::cases()),
        ("BaseModel", base_model::cases()),
        ("Dataset", dataset::cases()),
        ("FineTune", fine_tune::cases()),
        ("Deployment", deployment::cases()),
        ("ApiKey", api_key::cases()),
        ("Settlement", settlement::cases()),
        ("Provider", provider::cases()),
        ("NodePool", node_pool::cases()),
        ("NodeClaim", node_claim::cases()),
    ]
}

/// Asks for each, and says what was not refused as it should be.
async fn refused(server: &Server, kind: &str, cases: &[Case]) -> Vec<String> {
    let good = good::object(kind);
    let mut wrong = Vec::new();
    for (pointer, value, expected) in cases {
        let shown: String = value.to_string().chars().take(100).collect();
        let bad = text(&with(&good, pointer, value));
        match server.try_create_text(kind, bad).await.unwrap() {
            Ok(_) => wrong.push(format!("{kind} {pointer} = {shown}: accepted")),
            Err(said) if !said.contains(expected) => {
                wrong.push(format!("{kind} {pointer} = {shown}: says `{said}`, not `{expected}`"));
            }
            Err(said) if !names(&said, pointer) => {
                wrong.push(format!("{kind} {pointer} = {shown}: says `{said}`, which names no field"));
            }
            Err(_) => {}
        }
    }
    wrong
}

#[tokio::test]
async fn each_broken_rule_is_refused_by_a_line_that_names_field_and_bound() {
    let server = Server::start().await.unwrap();
    let mut wrong = good::refused(&server).await;
    let (mut ours, mut all) = (0, 0);
    for (kind, table) in tables() {
        let everywhere = everywhere::cases(kind);
        let swept = sweep::of(kind);
        for cases in [&table, &everywhere] {
            wrong.extend(refused(&server, kind, cases).await);
        }
        wrong.extend(everywhere::refused(&server, kind).await);
        for sweep in &swept {
            wrong.extend(sweep.wrong(&server).await);
        }
        let count = |of: fn(&Sweep) -> usize| swept.iter().map(of).sum::<usize>();
        let bad = count(|sweep| sweep.bad.len());
        eprintln!(
            "{kind:<13}{:>4} in its table, {:>3} as in every kind, {bad:>4} from its definition; {:>3} at a bound taken, {:>3} odd",
            table.len(),
            everywhere.len(),
            count(|sweep| sweep.good.len()),
            count(|sweep| sweep.odd.len())
        );
        ours += table.len();
        all += table.len() + everywhere.len() + bad;
    }
    eprintln!("{all} bad custom resources, {ours} of them by hand; {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ours >= 200, "{ours} cases by hand");
}

#[tokio::test]
async fn what_is_immutable_stays_and_what_is_left_out_is_filled_in() {
    let server = Server::start().await.unwrap();
    for object in examples().unwrap() {
        let kind = object["kind"].as_str().unwrap();
        let dynamic = serde_json::from_value(object.clone()).unwrap();
        server.api(kind).create(&Default::default(), &dynamic).await.unwrap();
    }
    changes::of_the_examples_are_refused(&server).await;
    changes::revoked_stays_revoked(&server).await;
    changes::storage_stays_where_it_is(&server).await;
    changes::a_settlement_never_changes(&server).await;
    changes::whose_machines_they_are_stays(&server).await;
    changes::a_node_claim_never_changes(&server).await;
    changes::status_is_not_written_through_the_object(&server).await;
    changes::defaults_are_filled_in(&server).await;
}
