//! Pure: whether a Settlement says what its statement says, whether that adds up, and whether all is paid.

use cooperator_api::common::condition;
use cooperator_api::settlement::Settlement;
use cooperator_contract::settle::Statement;
use cooperator_core::digest::Digest;
use cooperator_core::money::{Amount, MoneyError};

use super::build;
use crate::domain::Finding;

/// What was found in object storage.
#[derive(Clone, Debug)]
pub enum Found {
    /// The statement, its digest verified.
    Statement(Box<Statement>),
    /// It is not there, or not what it should be.
    Missing {
        /// CamelCase reason.
        reason: &'static str,
        /// One line.
        message: String,
    },
}

/// Verified and Paid.
pub fn findings(settlement: &Settlement, found: &Found) -> Vec<Finding> {
    vec![verified(settlement, found), paid(settlement)]
}

fn verified(settlement: &Settlement, found: &Found) -> Finding {
    let no = |reason: &str, message: String| Finding::no(condition::VERIFIED, reason, message);
    let statement = match found {
        Found::Statement(statement) => statement,
        Found::Missing { reason, message } => return no(reason, message.clone()),
    };
    let spec = &settlement.spec;
    let Ok(digest) = spec.statement.digest.parse::<Digest>() else {
        return no("StatementMismatch", "spec.statement.digest is no digest".into());
    };
    let namespace = settlement.metadata.namespace.clone().unwrap_or_default();
    let said = build::settlement(&namespace, statement, &digest, spec.statement.storage_uri.clone());
    if said.spec != *spec {
        return no(
            "StatementMismatch",
            "the statement in storage says something else than this object".into(),
        );
    }
    match adds_up(statement) {
        Ok(true) => Finding::yes(
            condition::VERIFIED,
            "StatementVerified",
            "the statement in storage has this digest, and its sums are exact",
        ),
        Ok(false) => no("SumsDiffer", "before + gross is not recovered + reserve + payments + after".into()),
        Err(error) => no("SumsDiffer", error.to_string()),
    }
}

/// before + gross = recovered + reserve + payments + after, to the last unit; and gross is the sum of its lines.
fn adds_up(statement: &Statement) -> Result<bool, MoneyError> {
    let parse = |text: &String| text.parse::<Amount>();
    let lines = statement.revenue.iter().chain(&statement.corrections).map(|line| parse(&line.amount));
    let lines = Amount::sum(lines.collect::<Result<Vec<_>, _>>()?)?;
    let payments = statement.payments.iter().map(|payment| parse(&payment.amount));
    let payments = Amount::sum(payments.collect::<Result<Vec<_>, _>>()?)?;
    let gross = parse(&statement.gross)?;
    let before = parse(&statement.suspense.before)?.plus(gross)?;
    let after = payments
        .plus(parse(&statement.recovered)?)?
        .plus(parse(&statement.reserve)?)?
        .plus(parse(&statement.suspense.after)?)?;
    Ok(lines == gross && before == after)
}

fn paid(settlement: &Settlement) -> Finding {
    let marks = settlement.status.as_ref().map(|status| status.paid.as_slice()).unwrap_or_default();
    let due: Vec<&str> = settlement
        .spec
        .payments
        .iter()
        .filter(|payment| payment.amount.parse::<Amount>() != Ok(Amount::ZERO))
        .filter(|payment| !marks.iter().any(|mark| mark.member == payment.member))
        .map(|payment| payment.member.as_str())
        .collect();
    if due.is_empty() {
        return Finding::yes(condition::PAID, "Paid", "every payment is marked in status.paid");
    }
    let named: Vec<&str> = due.iter().copied().take(8).collect();
    let message = format!("{} payments are not marked in status.paid: {}", due.len(), named.join(", "));
    Finding::no(condition::PAID, "Unpaid", message)
}
