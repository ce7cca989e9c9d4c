use cooperator_api::settlement::{PaymentMark, Settlement, SettlementStatus};
use cooperator_contract::layout;
use cooperator_contract::settle::{
    Payee, Payment, Period, RevenueLine, SettleTask, SplitBy, SplitRule, Statement, Suspense, UsageProof,
};
use cooperator_contract::usage::PriceTag;
use cooperator_core::digest::Digest;

use super::build;
use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME};

pub fn task() -> SettleTask {
    SettleTask {
        collective: HOME.into(),
        period: Period {
            name: "2026-11".into(),
            start: "2026-11-01T00:00:00Z".parse().unwrap(),
            end: "2026-12-01T00:00:00Z".parse().unwrap(),
        },
        currency: "USD".into(),
        decimals: 2,
        members: vec![Payee { member: "lincoln".into(), account: "IBAN".into() }],
        costs: Vec::new(),
        recover_costs: true,
        reserve: None,
        split: vec![SplitRule { name: "works".into(), basis_points: 10_000, by: SplitBy::Contribution }],
        previous: None,
    }
}

pub fn statement(task: SettleTask) -> Statement {
    Statement {
        task,
        revenue: vec![RevenueLine {
            deployment: "presidents".into(),
            adapter: Some(Digest::of(b"adapter")),
            requests: 12,
            input_tokens: 340,
            output_tokens: 1200,
            price: PriceTag { currency: "USD".into(), input: "0.20".into(), output: "0.80".into() },
            amount: "3.405".into(),
        }],
        corrections: Vec::new(),
        gross: "3.405".into(),
        recovered: "0".into(),
        unrecovered: "0".into(),
        reserve: "0".into(),
        payments: vec![Payment {
            member: "lincoln".into(),
            account: "IBAN".into(),
            tokens: 100,
            basis_points: 10_000,
            amount: "3.40".into(),
        }],
        suspense: Suspense { before: "0".into(), after: "0.005".into(), carries: Vec::new() },
        usage: UsageProof { rows: 12, root_digest: Digest::of(b"log"), gateways: Vec::new() },
    }
}

async fn cluster(statement: &Statement) -> Cluster {
    let cluster = Cluster::new().await;
    let key = |digest: &Digest| layout::statement("2026-11", digest, "statement.json");
    let digest = cluster.storage.store(HOME).put_manifest(key, statement).await.unwrap();
    let settlement = build::settlement(HOME, statement, &digest, "s3://presidents/x/".into());
    cluster.coop("settlements", serde_json::to_value(settlement).unwrap());
    cluster
}

async fn conditions(cluster: &Cluster) -> Vec<(String, String, String)> {
    settle!(cluster, Settlement, "settlements", "presidents-2026-11", reconcile);
    let settlement: Settlement = cluster.read("settlements", "presidents-2026-11");
    let conditions = settlement.status.unwrap().conditions;
    conditions.into_iter().map(|found| (found.type_, found.status, found.reason)).collect()
}

fn is(found: &(String, String, String), expected: [&str; 3]) -> bool {
    (found.0.as_str(), found.1.as_str(), found.2.as_str()) == expected.into()
}

#[tokio::test]
async fn a_settlement_whose_statement_adds_up_is_verified_and_waits_for_payment() {
    let cluster = cluster(&statement(task())).await;
    let found = conditions(&cluster).await;
    assert!(is(&found[0], ["Verified", "True", "StatementVerified"]), "{found:?}");
    assert!(is(&found[1], ["Paid", "False", "Unpaid"]), "{found:?}");
}

#[tokio::test]
async fn it_is_paid_once_every_payment_is_marked_and_the_marks_stay() {
    let cluster = cluster(&statement(task())).await;
    cluster.edit("settlements", "presidents-2026-11", |settlement: &mut Settlement| {
        let mark = PaymentMark {
            member: "lincoln".into(),
            at: "2026-12-03T09:00:00Z".into(),
            reference: "7".into(),
        };
        settlement.status = Some(SettlementStatus { paid: vec![mark], ..SettlementStatus::default() });
    });
    let found = conditions(&cluster).await;
    assert!(is(&found[1], ["Paid", "True", "Paid"]), "{found:?}");
    let settlement: Settlement = cluster.read("settlements", "presidents-2026-11");
    assert_eq!(settlement.status.unwrap().paid.len(), 1);
}

#[tokio::test]
async fn a_statement_that_was_changed_or_does_not_add_up_is_not_verified() {
    let cluster = cluster(&statement(task())).await;
    let key = cluster.storage.keys(HOME).remove(0);
    cluster.storage.set_object(HOME, &key, "{}");
    assert!(is(&conditions(&cluster).await[0], ["Verified", "False", "StatementUnreadable"]));

    let mut wrong = statement(task());
    wrong.payments[0].amount = "3.41".into();
    let cluster = self::cluster(&wrong).await;
    assert!(is(&conditions(&cluster).await[0], ["Verified", "False", "SumsDiffer"]));
}

#[tokio::test]
async fn an_object_that_says_something_else_than_its_statement_is_not_verified() {
    let cluster = cluster(&statement(task())).await;
    cluster.edit("settlements", "presidents-2026-11", |settlement: &mut Settlement| {
        settlement.spec.payments[0].amount = "34.00".into();
    });
    assert!(is(&conditions(&cluster).await[0], ["Verified", "False", "StatementMismatch"]));
}
