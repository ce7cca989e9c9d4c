//! Pure: the Settlement of a statement.

use std::collections::BTreeMap;

use cooperator_api::common::LocalRef;
use cooperator_api::names;
use cooperator_api::settlement::{
    CostLine, Payment, Period, RevenueLine, Settlement, SettlementSpec, StatementRef, UsageProof,
};
use cooperator_contract::settle::{self, Statement};
use cooperator_core::digest::Digest;
use kube::core::ObjectMeta;

use crate::domain::count;

/// Most lines of a kind that a Settlement repeats; the statement has all.
const LINES: usize = 1024;

/// Name of a Settlement: two operators, or one twice, make the same.
pub fn name(collective: &str, period: &str) -> String {
    format!("{collective}-{period}")
}

/// The Settlement that says what `statement` says. It has no owner: it outlives its Collective.
pub fn settlement(
    namespace: &str,
    statement: &Statement,
    digest: &Digest,
    storage_uri: String,
) -> Settlement {
    let spec = spec(statement, digest, storage_uri);
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE.to_owned(), spec.collective_ref.name.clone()),
    ]);
    Settlement {
        metadata: ObjectMeta {
            name: Some(name(&spec.collective_ref.name, &spec.period.name)),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

fn spec(statement: &Statement, digest: &Digest, storage_uri: String) -> SettlementSpec {
    let Statement {
        task,
        revenue,
        corrections,
        gross,
        recovered,
        unrecovered: _,
        reserve,
        payments,
        suspense,
        usage,
    } = statement;
    SettlementSpec {
        collective_ref: LocalRef { name: task.collective.clone() },
        period: Period {
            name: task.period.name.clone(),
            start: task.period.start.to_string(),
            end: task.period.end.to_string(),
        },
        currency: task.currency.clone(),
        decimals: i32::from(task.decimals),
        gross: gross.clone(),
        revenue: revenue.iter().take(LINES).map(line).collect(),
        corrections: corrections.iter().take(LINES).map(line).collect(),
        costs: task.costs.iter().take(LINES).map(cost).collect(),
        recovered: recovered.clone(),
        reserve: reserve.clone(),
        payments: payments.iter().map(payment).collect(),
        suspense: suspense.after.clone(),
        usage: UsageProof { rows: count(usage.rows), root_digest: usage.root_digest.to_string() },
        statement: StatementRef { storage_uri, digest: digest.to_string() },
    }
}

fn line(line: &settle::RevenueLine) -> RevenueLine {
    RevenueLine {
        deployment: line.deployment.clone(),
        adapter_digest: line.adapter.map(|digest| digest.to_string()),
        requests: count(line.requests),
        input_tokens: count(line.input_tokens),
        output_tokens: count(line.output_tokens),
        amount: line.amount.clone(),
    }
}

fn cost(cost: &settle::CostLine) -> CostLine {
    CostLine { fine_tune: cost.fine_tune.clone(), amount: cost.amount.clone() }
}

fn payment(payment: &settle::Payment) -> Payment {
    let settle::Payment { member, account, tokens, basis_points, amount } = payment;
    Payment {
        member: member.clone(),
        account: account.clone(),
        tokens: count(*tokens),
        basis_points: i32::from(*basis_points),
        amount: amount.clone(),
    }
}
