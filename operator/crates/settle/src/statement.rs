//! From counted usage to the statement: pure, so that the same inputs give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use cooperator_contract::manifest::MemberWeight;
use cooperator_contract::settle::{
    Carry, Payment, RevenueLine, SettleTask, SplitBy, SplitRule, Statement, Suspense, UsageProof,
};
use cooperator_core::basis_points::{BasisPoints, BasisPointsError};
use cooperator_core::digest::Digest;
use cooperator_core::money::{Amount, Currency, Decimals, MoneyError, Price};
use cooperator_core::settlement::{
    self, Books, By, Credit, Earning, Payee, Rule, Settlement, SettlementError,
};

use crate::tally::{Billing, Count, Tally};

/// A statement that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The task breaks its contract.
    #[error("settle task, {field}: {cause}")]
    Task {
        /// Where.
        field: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Usage in another currency.
    #[error(
        "usage of Deployment `{deployment}` is priced in `{found}`, the Collective settles in `{expected}`; settle before changing the currency"
    )]
    Currency {
        /// Whose usage.
        deployment: String,
        /// The Collective's.
        expected: String,
        /// The row's.
        found: String,
    },
    /// A price that cannot be read.
    #[error("price of Deployment `{deployment}` in the usage log: {error}")]
    Price {
        /// Whose usage.
        deployment: String,
        /// What is wrong.
        error: MoneyError,
    },
    /// The statement before cannot be gone on from.
    #[error("statement of the period before, {field}: {cause}")]
    Previous {
        /// Where.
        field: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The split.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
}

impl From<MoneyError> for StatementError {
    fn from(error: MoneyError) -> Self {
        Self::Settlement(error.into())
    }
}

/// Who gave what to each adapter that earned.
pub type Attributions = BTreeMap<Digest, Vec<MemberWeight>>;

/// Settles the task's period.
///
/// # Errors
/// [`StatementError`]: a task, price or previous statement that cannot be read, or money that cannot be split.
pub fn state(
    task: &SettleTask,
    previous: Option<&Statement>,
    tally: &Tally,
    attributions: &Attributions,
    usage: UsageProof,
) -> Result<Statement, StatementError> {
    let currency: Currency = task.currency.parse().map_err(|error| in_task("currency", &error))?;
    let decimals = Decimals::new(task.decimals).map_err(|error| in_task("decimals", &error))?;
    let lines = |lines: &BTreeMap<Billing, Count>| -> Result<Vec<Line>, StatementError> {
        lines.iter().map(|(billing, count)| Line::of(billing, count, &currency)).collect()
    };
    let (revenue, corrections) = (lines(&tally.revenue)?, lines(&tally.corrections)?);
    let earnings = revenue.iter().chain(&corrections).map(Line::earning).collect();
    let books = books(task, previous, decimals, earnings, attributions)?;
    let settlement = settlement::settle(&books)?;
    let text = |amount: Amount| amount.with_places(task.decimals);
    Ok(Statement {
        task: task.clone(),
        revenue: revenue.into_iter().map(|line| line.written(task.decimals)).collect(),
        corrections: corrections.into_iter().map(|line| line.written(task.decimals)).collect(),
        gross: text(settlement.gross),
        recovered: text(settlement.recovered),
        unrecovered: text(settlement.unrecovered),
        reserve: text(settlement.reserve),
        payments: payments(task, previous, &settlement),
        suspense: Suspense {
            before: text(settlement.suspense_before),
            after: text(settlement.suspense_after),
            carries: carries(&settlement),
        },
        usage,
    })
}

/// A line of revenue with its amount.
struct Line {
    billing: Billing,
    count: Count,
    amount: Amount,
}

impl Line {
    fn of(billing: &Billing, count: &Count, currency: &Currency) -> Result<Self, StatementError> {
        let deployment = || billing.deployment.clone();
        if billing.price.currency != currency.as_str() {
            return Err(StatementError::Currency {
                deployment: deployment(),
                expected: currency.to_string(),
                found: billing.price.currency.chars().take(40).collect(),
            });
        }
        let price = |text: &str| {
            text.parse::<Price>().map_err(|error| StatementError::Price { deployment: deployment(), error })
        };
        let input = price(&billing.price.input)?.amount(count.input_tokens);
        let output = price(&billing.price.output)?.amount(count.output_tokens);
        Ok(Self { billing: billing.clone(), count: *count, amount: input.plus(output)? })
    }

    const fn earning(&self) -> Earning {
        Earning { adapter: self.billing.adapter, amount: self.amount }
    }

    fn written(self, places: u8) -> RevenueLine {
        let Self { billing: Billing { deployment, adapter, price }, count, amount } = self;
        let Count { requests, input_tokens, output_tokens } = count;
        let amount = amount.with_places(places);
        RevenueLine { deployment, adapter, requests, input_tokens, output_tokens, price, amount }
    }
}

fn books(
    task: &SettleTask,
    previous: Option<&Statement>,
    decimals: Decimals,
    earnings: Vec<Earning>,
    attributions: &Attributions,
) -> Result<Books, StatementError> {
    let costs = task.costs.iter().map(|cost| cost.amount.parse::<Amount>());
    let costs = costs.collect::<Result<Vec<_>, _>>().map_err(|error| in_task("costs", &error))?;
    if costs.iter().any(|cost| cost.is_negative()) {
        return Err(in_task("costs", &"a cost is below zero; costs are zero or more"));
    }
    let reserve =
        task.reserve.as_ref().map_or(Ok(BasisPoints::ZERO), |reserve| BasisPoints::new(reserve.basis_points));
    let unrecovered = previous.map_or(Ok(Amount::ZERO), |statement| statement.unrecovered.parse());
    Ok(Books {
        decimals,
        members: task.members.iter().map(|payee| payee.member.clone()).collect(),
        earnings,
        attributions: attributions.iter().map(|(adapter, weights)| (*adapter, credits(weights))).collect(),
        costs: Amount::sum(costs)?,
        recover_costs: task.recover_costs,
        unrecovered: unrecovered.map_err(|error| in_previous("unrecovered", &error))?,
        reserve: reserve.map_err(|error| in_task("reserve", &error))?,
        rules: task
            .split
            .iter()
            .map(rule)
            .collect::<Result<_, _>>()
            .map_err(|error| in_task("split", &error))?,
        carries: previous.map_or(Ok(BTreeMap::new()), carried)?,
    })
}

fn rule(rule: &SplitRule) -> Result<Rule, BasisPointsError> {
    let by = match &rule.by {
        SplitBy::Contribution => By::Contribution,
        SplitBy::Membership => By::Membership,
        SplitBy::Fixed { shares } => {
            let mut parts = BTreeMap::<String, u32>::new();
            for share in shares {
                let sum = parts.entry(share.member.clone()).or_default();
                *sum = sum.saturating_add(share.parts);
            }
            By::Fixed(parts)
        }
    };
    Ok(Rule { basis_points: BasisPoints::new(rule.basis_points)?, by })
}

fn credits(weights: &[MemberWeight]) -> Vec<Credit> {
    let credit = |weight: &MemberWeight| {
        let MemberWeight { member, tokens, weight } = weight.clone();
        Credit { member, tokens, weight }
    };
    weights.iter().map(credit).collect()
}

fn carried(previous: &Statement) -> Result<BTreeMap<Payee, i128>, StatementError> {
    let read = |carry: &Carry| {
        let payee = carry.payee.parse().map_err(|error| in_previous("suspense.carries", &error))?;
        let numerator = carry.numerator.parse().map_err(|error| in_previous("suspense.carries", &error))?;
        Ok((payee, numerator))
    };
    previous.suspense.carries.iter().map(read).collect()
}

fn carries(settlement: &Settlement) -> Vec<Carry> {
    let written = |(payee, numerator): (&Payee, &i128)| Carry {
        payee: payee.to_string(),
        numerator: numerator.to_string(),
    };
    settlement.carries.iter().map(written).collect()
}

/// Payments with accounts: the members' own, and for who has left the account of the last statement that had it.
fn payments(task: &SettleTask, previous: Option<&Statement>, settlement: &Settlement) -> Vec<Payment> {
    let mut accounts: BTreeMap<&str, &str> = BTreeMap::new();
    for payment in previous.into_iter().flat_map(|statement| &statement.payments) {
        accounts.insert(&payment.member, &payment.account);
    }
    accounts.extend(task.members.iter().map(|payee| (&*payee.member, &*payee.account)));
    let written = |payment: &settlement::Payment| Payment {
        member: payment.member.clone(),
        account: accounts.get(payment.member.as_str()).copied().unwrap_or_default().to_owned(),
        tokens: payment.tokens,
        basis_points: payment.basis_points.get(),
        amount: payment.amount.with_places(task.decimals),
    };
    settlement.payments.iter().map(written).collect()
}

/// The adapters that a tally names.
pub fn adapters(tally: &Tally) -> BTreeSet<Digest> {
    tally.revenue.keys().chain(tally.corrections.keys()).filter_map(|billing| billing.adapter).collect()
}

fn in_task(field: &'static str, cause: &dyn std::fmt::Display) -> StatementError {
    StatementError::Task { field, cause: cause.to_string() }
}

fn in_previous(field: &'static str, cause: &dyn std::fmt::Display) -> StatementError {
    StatementError::Previous { field, cause: cause.to_string() }
}
