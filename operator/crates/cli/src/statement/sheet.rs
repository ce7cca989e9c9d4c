//! Pure: a statement as a table for a terminal.

use anyhow::{Context, Result};
use cooperator_api::settlement::SettlementSpec;
use cooperator_contract::settle::Statement;
use cooperator_core::money::Amount;

/// A member's line: name, tokens given, basis points, amount.
struct Line<'a> {
    member: &'a str,
    tokens: String,
    basis_points: u32,
    amount: &'a str,
}

/// The statement: what each member gave and gets, and that it adds up.
///
/// # Errors
/// When an amount is no decimal or the sum is out of range.
pub fn table(statement: &Statement) -> Result<String> {
    let task = &statement.task;
    let title = format!("Statement of {}, {} to {}", task.collective, task.period.start, task.period.end);
    let payments: Vec<Line> = statement
        .payments
        .iter()
        .map(|payment| Line {
            member: &payment.member,
            tokens: payment.tokens.to_string(),
            basis_points: payment.basis_points.into(),
            amount: &payment.amount,
        })
        .collect();
    let (carried, sum) = (carried(statement)?, sum(statement)?);
    let rest = [
        ("reserve", statement.reserve.clone()),
        ("compute cost", statement.recovered.clone()),
        ("carried over", carried.with_places(task.decimals)),
    ];
    let totals = [("sum", sum.with_places(task.decimals)), ("revenue", statement.gross.clone())];
    Ok(lay_out(&title, &task.currency, &payments, &rest, &totals))
}

/// What the Settlement itself says; what was carried over into it only its statement knows.
pub fn of_settlement(spec: &SettlementSpec) -> String {
    let title =
        format!("Statement of {}, {} to {}", spec.collective_ref.name, spec.period.start, spec.period.end);
    let payments = spec.payments.iter().map(|payment| Line {
        member: &payment.member,
        tokens: payment.tokens.to_string(),
        basis_points: payment.basis_points.unsigned_abs(),
        amount: &payment.amount,
    });
    let payments: Vec<Line> = payments.collect();
    let rest = [("reserve", spec.reserve.clone()), ("compute cost", spec.recovered.clone())];
    let totals = [("revenue", spec.gross.clone()), ("not yet payable", spec.suspense.clone())];
    lay_out(&title, &spec.currency, &payments, &rest, &totals)
}

fn lay_out(
    title: &str,
    currency: &str,
    payments: &[Line],
    rest: &[(&str, String)],
    totals: &[(&str, String)],
) -> String {
    let width = payments.iter().map(|payment| payment.member.chars().count()).max().unwrap_or(0).max(15);
    let line = |name: &str, tokens: &str, share: &str, amount: &str| {
        format!("  {name:<width$} {tokens:>10} {share:>8} {amount:>18}")
    };
    let rule = format!("  {}", "-".repeat(width + 39));
    let mut lines = vec![title.to_owned(), line("member", "tokens", "share", currency), rule.clone()];
    for Line { member, tokens, basis_points, amount } in payments {
        let share = format!("{}.{:02} %", basis_points / 100, basis_points % 100);
        lines.push(line(member, tokens, &share, amount));
    }
    lines.extend(rest.iter().map(|(name, amount)| line(name, "", "", amount)));
    lines.push(rule);
    lines.extend(totals.iter().map(|(name, amount)| line(name, "", "", amount)));
    lines.join("\n")
}

/// All that became of the period's revenue: paid, put aside, recovered, carried over.
///
/// # Errors
/// When an amount is no decimal or the sum is out of range.
pub fn sum(statement: &Statement) -> Result<Amount> {
    let mut amounts = vec![amount(&statement.reserve)?, amount(&statement.recovered)?, carried(statement)?];
    for payment in &statement.payments {
        amounts.push(amount(&payment.amount)?);
    }
    Ok(Amount::sum(amounts)?)
}

/// What this period adds to what is not yet payable.
fn carried(statement: &Statement) -> Result<Amount> {
    Ok(amount(&statement.suspense.after)?.minus(amount(&statement.suspense.before)?)?)
}

fn amount(text: &str) -> Result<Amount> {
    text.parse().with_context(|| format!("`{text}` in the statement is no amount"))
}

#[cfg(test)]
mod tests {
    use cooperator_contract::layout;

    use super::*;
    use crate::statement::tests::settled;

    #[tokio::test]
    async fn a_statement_shows_tokens_share_and_amount_and_that_it_adds_up() {
        let (bucket, digest) = settled().await;
        let text = bucket.text(&layout::statement("2026-11", &digest, "statement.json"));
        let statement: Statement = serde_json::from_str(&text).unwrap();
        assert_eq!(sum(&statement).unwrap(), amount(&statement.gross).unwrap());
        insta::assert_snapshot!(table(&statement).unwrap());
    }
}
