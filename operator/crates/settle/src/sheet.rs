//! The statement as a sheet for a treasurer: CSV (RFC 4180), one line a payee, whose amounts add up to the revenue.

use cooperator_contract::settle::Statement;
use cooperator_core::money::{Amount, MoneyError};

/// A statement that is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// An amount that cannot be read, or a sum out of range.
    #[error("amount in a statement: {0}")]
    Amount(#[from] MoneyError),
    /// The amounts are not what came in: nothing is written.
    #[error("lines of the statement add up to {sum}, revenue is {gross}; the statement was changed")]
    Sum {
        /// Of the lines.
        sum: Amount,
        /// What came in.
        gross: Amount,
    },
    /// CSV could not be written.
    #[error("statement as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// CSV could not be written.
    #[error("statement as CSV: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes the sheet: members, then reserve, recovered cost, what is carried on and what was carried in (below zero),
/// and last the sum, which is the period's revenue. Shares are rounded for people; amounts are exact.
///
/// # Errors
/// [`SheetError`]; [`SheetError::Sum`] if the lines are not the revenue.
pub fn csv(statement: &Statement) -> Result<Vec<u8>, SheetError> {
    let Statement { task, payments, suspense, .. } = statement;
    let places = task.decimals;
    let gross: Amount = statement.gross.parse()?;
    let mut sheet = Sheet { csv: csv::Writer::from_writer(Vec::new()), statement, sum: Amount::ZERO };
    sheet.csv.write_record(["period", "payee", "account", "tokens", "share", "amount", "currency"])?;
    for payment in payments {
        let share = percent(payment.basis_points);
        let tokens = payment.tokens.to_string();
        sheet.line(&payment.member, &payment.account, &tokens, &share, payment.amount.parse()?)?;
    }
    if let Some(reserve) = &task.reserve {
        sheet.line("(reserve)", &reserve.account, "", "", statement.reserve.parse()?)?;
    } else if statement.reserve.parse::<Amount>()? != Amount::ZERO {
        sheet.line("(reserve)", "", "", "", statement.reserve.parse()?)?;
    }
    sheet.line("(compute cost)", "", "", "", statement.recovered.parse()?)?;
    sheet.line("(carried to the next period)", "", "", "", suspense.after.parse()?)?;
    sheet.line(
        "(carried from the period before)",
        "",
        "",
        "",
        Amount::ZERO.minus(suspense.before.parse()?)?,
    )?;
    if sheet.sum != gross {
        return Err(SheetError::Sum { sum: sheet.sum, gross });
    }
    let tokens = payments.iter().fold(0_u64, |sum, payment| sum.saturating_add(payment.tokens)).to_string();
    let share = percent(payments.iter().map(|payment| payment.basis_points).sum());
    let amount = gross.with_places(places);
    sheet.csv.write_record([&task.period.name, "SUM", "", &tokens, &share, &amount, &task.currency])?;
    sheet.csv.into_inner().map_err(|error| SheetError::Write(error.into_error()))
}

struct Sheet<'a> {
    csv: csv::Writer<Vec<u8>>,
    statement: &'a Statement,
    sum: Amount,
}

impl Sheet<'_> {
    fn line(
        &mut self,
        payee: &str,
        account: &str,
        tokens: &str,
        share: &str,
        amount: Amount,
    ) -> Result<(), SheetError> {
        self.sum = self.sum.plus(amount)?;
        let task = &self.statement.task;
        let amount = amount.with_places(task.decimals);
        let (payee, account) = (harmless(payee), harmless(account));
        self.csv.write_record([
            &task.period.name,
            &payee,
            &account,
            tokens,
            share,
            &amount,
            &task.currency,
        ])?;
        Ok(())
    }
}

/// A spreadsheet takes text that begins so for a formula and runs it; an apostrophe says that it is text. Accounts
/// are written by members, the sheet is opened by the treasurer.
fn harmless(text: &str) -> String {
    let runs = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if runs { format!("'{text}") } else { text.to_owned() }
}

fn percent(basis_points: u16) -> String {
    format!("{}.{:02}%", basis_points / 100, basis_points % 100)
}
