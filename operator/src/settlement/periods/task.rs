//! Pure: what a settle run is told, and what compute cost.

use std::collections::BTreeMap;

use cooperator_api::collective::{Collective, CostRecovery, Departed, SplitBy as ApiSplitBy};
use cooperator_api::common::Money;
use cooperator_api::dataset::Dataset;
use cooperator_api::settlement::Settlement;
use cooperator_contract::run::Task;
use cooperator_contract::settle::{
    CostLine, FixedShare, Payee, Period as PeriodSpan, Reserve, SettleTask, SplitBy, SplitRule, StatementRef,
};
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
use cooperator_core::period::Period;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::expense::Expense;
use crate::domain::{parse_time, resources};
use crate::runs::{Bucket, Owner, Plan, Program, Shape, StorageAccess, short};

/// Seconds a settle run may take.
const DEADLINE_SECONDS: i64 = 3600;
/// Seconds a finished settle Job stays: a week, so that a failure is seen.
const TTL_SECONDS: i32 = 604_800;

/// What of the namespace a settlement depends on.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every Settlement.
    pub settlements: Vec<Settlement>,
    /// What every FineTune has cost.
    pub expenses: Vec<Expense>,
    /// Every Dataset: a FineTune belongs to the Collective of its Dataset, until it knows it by itself.
    pub datasets: Vec<Dataset>,
}

impl Ledger {
    fn of<'a>(&'a self, collective: &'a str) -> impl Iterator<Item = &'a Expense> {
        let home: BTreeMap<String, &str> = self
            .datasets
            .iter()
            .map(|dataset| (dataset.name_any(), dataset.spec.collective_ref.name.as_str()))
            .collect();
        self.expenses.iter().filter(move |expense| {
            let known = expense.collective.as_deref();
            known.or_else(|| home.get(&expense.dataset).copied()) == Some(collective)
        })
    }

    /// Whether a Settlement of the Collective has the cost of a FineTune that ended then.
    fn has_settled(&self, collective: &str, fine_tune: &str, ended: Timestamp) -> bool {
        self.settlements.iter().any(|settlement| {
            settlement.spec.collective_ref.name == collective
                && settlement.spec.costs.iter().any(|cost| cost.fine_tune == fine_tune)
                && parse_time(&settlement.spec.period.end).is_some_and(|through| ended < through)
        })
    }

    /// The newest Settlement of the Collective.
    pub fn newest(&self, collective: &str) -> Option<&Settlement> {
        let ours =
            self.settlements.iter().filter(|settlement| settlement.spec.collective_ref.name == collective);
        ours.max_by_key(|settlement| parse_time(&settlement.spec.period.end))
    }
}

/// What a settle run of `period` is told.
pub fn task(collective: &Collective, period: &Period, ledger: &Ledger) -> SettleTask {
    let name = collective.name_any();
    let treasury = &collective.spec.treasury;
    let mut members: Vec<Payee> = collective
        .spec
        .members
        .iter()
        .map(|member| Payee { member: member.name.clone(), account: member.payout.account.clone() })
        .collect();
    members.sort_by(|one, other| one.member.cmp(&other.member));
    let previous = ledger.newest(&name).and_then(|settlement| {
        let digest = settlement.spec.statement.digest.parse().ok()?;
        Some(StatementRef { period: settlement.spec.period.name.clone(), digest })
    });
    SettleTask {
        period: PeriodSpan { name: period.name(), start: period.start(), end: period.end() },
        currency: treasury.currency.clone(),
        decimals: u8::try_from(treasury.decimals).unwrap_or_default(),
        members,
        costs: costs(collective, period.end(), ledger),
        recover_costs: treasury.cost_recovery == CostRecovery::Full,
        reserve: treasury.reserve.as_ref().map(|reserve| Reserve {
            basis_points: u16::try_from(reserve.basis_points).unwrap_or_default(),
            account: reserve.account.clone(),
        }),
        split: treasury.split.iter().map(rule).collect(),
        previous,
        collective: name,
    }
}

fn rule(rule: &cooperator_api::collective::SplitRule) -> SplitRule {
    let shares = || {
        let share = |share: &cooperator_api::collective::FixedShare| FixedShare {
            member: share.member.clone(),
            parts: u32::try_from(share.parts).unwrap_or_default(),
        };
        rule.shares.iter().map(share).collect()
    };
    SplitRule {
        name: rule.name.clone(),
        basis_points: u16::try_from(rule.basis_points).unwrap_or_default(),
        by: match rule.by {
            ApiSplitBy::Contribution => SplitBy::Contribution,
            ApiSplitBy::Membership => SplitBy::Membership,
            ApiSplitBy::Fixed => SplitBy::Fixed { shares: shares() },
        },
    }
}

/// Cost of every FineTune that ended before `end` and is in no Settlement yet, those deleted since included, sorted by
/// name. One whose end was written down late is in the next period, none in two.
fn costs(collective: &Collective, end: Timestamp, ledger: &Ledger) -> Vec<CostLine> {
    let name = collective.name_any();
    let present =
        ledger.of(&name).filter(|expense| !has_departed(collective, expense)).filter_map(|expense| {
            Some((
                expense.over?,
                CostLine { fine_tune: expense.fine_tune.clone(), amount: expense.amount.clone() },
            ))
        });
    let departed = departed(collective).iter().filter_map(|departed| {
        let Departed { uid: _, fine_tune, cost, ended_at } = departed.clone();
        Some((parse_time(&ended_at)?, CostLine { fine_tune, amount: cost }))
    });
    let due = present
        .chain(departed)
        .filter(|(ended, line)| *ended < end && !ledger.has_settled(&name, &line.fine_tune, *ended));
    let mut lines: Vec<CostLine> = due.map(|(_, line)| line).collect();
    lines.sort_by(|one, other| (&one.fine_tune, &one.amount).cmp(&(&other.fine_tune, &other.amount)));
    lines
}

fn departed(collective: &Collective) -> &[Departed] {
    collective.status.as_ref().map(|status| status.departed.as_slice()).unwrap_or_default()
}

/// Whether what a FineTune cost is written down already: it is about to go, and counts once.
fn has_departed(collective: &Collective, expense: &Expense) -> bool {
    departed(collective).iter().any(|departed| departed.uid == expense.uid)
}

/// Those of the Collective's departed FineTunes that no Settlement has yet.
pub fn unsettled(collective: &Collective, ledger: &Ledger) -> Vec<Departed> {
    let name = collective.name_any();
    let open = |departed: &&Departed| {
        parse_time(&departed.ended_at)
            .is_none_or(|ended| !ledger.has_settled(&name, &departed.fine_tune, ended))
    };
    departed(collective).iter().filter(open).cloned().collect()
}

/// Compute cost of the FineTunes whose newest attempt lies in the present budget period, those deleted since included.
pub fn spent(collective: &Collective, ledger: &Ledger, now: Timestamp) -> Money {
    let treasury = &collective.spec.treasury;
    let period = collective.spec.budget.as_ref().map_or(treasury.settlement_period, |budget| budget.period);
    let present = super::due::length(period).containing(now).ok();
    let name = collective.name_any();
    let amounts =
        ledger.of(&name).filter(|expense| !has_departed(collective, expense)).filter_map(|expense| {
            present.filter(|present| present.contains(expense.at))?;
            expense.amount.parse::<Amount>().ok()
        });
    let departed = departed(collective).iter().filter_map(|departed| {
        present.filter(|present| parse_time(&departed.ended_at).is_some_and(|at| present.contains(at)))?;
        departed.cost.parse::<Amount>().ok()
    });
    let total = amounts.chain(departed).fold(Amount::ZERO, |sum, amount| sum.plus(amount).unwrap_or(sum));
    Money { amount: total.to_string(), currency: treasury.currency.clone() }
}

/// The settle run of a period.
pub fn plan(owner: Owner, bucket: Bucket, task: SettleTask) -> Plan {
    Plan {
        job_prefix: format!("{}-settle-{}", owner.name, short(&Digest::of(task.period.name.as_bytes()))),
        collective: owner.name.clone(),
        program: Program::Settle,
        bucket,
        storage: StorageAccess::Key,
        task: Task::Settle(Box::new(task)),
        source_secret: None,
        claims: Default::default(),
        shape: Shape { resources: resources("100m", "128Mi", "1Gi"), ..Shape::default() },
        machine: None,
        leave: None,
        deadline_seconds: DEADLINE_SECONDS,
        ttl_seconds: TTL_SECONDS,
        queue: None,
        owner,
    }
}
