//! Pure: what may still be spent on a claim's machine: by the claim itself, by its pool, by its Collective. All three are
//! looked at before a machine is rented, and while it is kept: it is given back before the first of them is empty.

use cooperator_api::collective::Collective;
use cooperator_api::names::LABEL_COLLECTIVE;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_core::money::{Amount, MoneyError, PricePerHour};
use cooperator_core::period::Period;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_rental::Record;
use kube::ResourceExt as _;

use super::dereference::World;
use super::{books, bounds, limits, record};
use crate::domain::{Hold, amount, falls_in, sum};
use crate::node_pool;

/// Seconds of a machine's price that are kept back from a budget: the drain, and the vendor's time to end it.
const MARGIN: SignedDuration = SignedDuration::from_secs(300);
/// A machine is not rented for less than so many seconds: it would be given back before it did anything.
const LEAST: u64 = 600;
/// What [`MARGIN`] is, for machines of other claims, whose cost is told once a minute.
const OTHERS_MARGIN: u64 = 360;

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// The field that sets it, of which object.
    field: String,
    most: Amount,
    /// What of it is spent.
    spent: Amount,
    /// What of it will be, before all that runs on it can be ended.
    soon: Amount,
    /// When it is filled again.
    filled_at: Option<Timestamp>,
}

impl Purse {
    fn left(&self) -> Amount {
        self.most.minus(self.spent).unwrap_or(Amount::ZERO)
    }

    /// What is spent, of which bound.
    fn words(&self, currency: &str) -> String {
        let Self { field, most, spent, soon: _, filled_at } = self;
        let until = filled_at.map(|at| format!(" until {at}")).unwrap_or_default();
        format!("{spent} {currency} are spent of {field}, which is {most}{until}")
    }

    fn way_out(&self) -> &'static str {
        if self.filled_at.is_some() { "raise it, or wait until then" } else { "raise it" }
    }
}

/// Every budget that bounds a claim.
///
/// # Errors
/// [`Hold`] with reason PriceInvalid, where one is no amount or a sum is beyond all numbers.
pub fn purses(claim: &NodeClaim, world: &World, record: &Record, now: Timestamp) -> Result<Vec<Purse>, Hold> {
    let launches = claim.status.as_ref().map(|status| status.launches.as_slice()).unwrap_or_default();
    let until = |time| record::cost(record, launches, time).map_err(|error| invalid(&error));
    let (spent, soon) = (until(now)?, until(later(now, MARGIN))?);
    let mut purses = Vec::new();
    if let Some(most) = &claim.spec.budget {
        let (field, most) = ("spec.budget".to_owned(), bounds::amount(most)?);
        purses.push(Purse { field, most, spent, soon, filled_at: None });
    }
    let own = Own { claim, spent, soon, began: record.launches.last().map(|launch| launch.intended_at) };
    if let Some((pool, budget)) =
        world.pool.as_ref().and_then(|pool| Some((pool, pool.spec.limits.budget.as_ref()?)))
    {
        let period = node_pool::period(pool, world.collective.as_ref(), now);
        let field = format!("spec.limits.budget of NodePool `{}`", pool.name_any());
        let earlier = earlier(pool, world, period.as_ref());
        let others = own.others(world, |other| other.spec.node_pool_ref.name == pool.name_any());
        purses.push(own.purse(field, &budget.amount, period, earlier, others)?);
    }
    if let Some((home, budget)) =
        world.collective.as_ref().and_then(|home| Some((home, home.spec.budget.as_ref()?)))
    {
        let field = format!("spec.budget of Collective `{}`", home.name_any());
        let others = own.others(world, |other| is_of(other, home));
        purses.push(own.purse(
            field,
            &budget.amount,
            books::present(home, now),
            world.spent_elsewhere,
            others,
        )?);
    }
    Ok(purses)
}

fn invalid(error: &MoneyError) -> Hold {
    Hold::new("PriceInvalid", error.to_string())
}

/// What a claim has cost so far itself.
struct Own<'a> {
    claim: &'a NodeClaim,
    spent: Amount,
    soon: Amount,
    began: Option<Timestamp>,
}

/// What other claims have cost, and what an hour of those costs that run.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    spent: Amount,
    price: u64,
}

impl Own<'_> {
    /// Other claims that share a budget.
    fn others(&self, world: &World, share: impl Fn(&NodeClaim) -> bool) -> Others {
        let others = world.claims.iter().filter(|other| other.uid() != self.claim.uid() && share(other));
        others.fold(Others::default(), |sum, other| Others {
            spent: sum.spent.plus(cost(other)).unwrap_or(sum.spent),
            price: sum.price.saturating_add(limits::price(other).map_or(0, PricePerHour::micros)),
        })
    }

    fn purse(
        &self,
        field: String,
        most: &str,
        period: Option<Period>,
        earlier: Amount,
        others: Others,
    ) -> Result<Purse, Hold> {
        // A machine that was rented in the period before is that one's.
        let counts =
            self.began.is_none_or(|began| period.as_ref().is_none_or(|period| period.contains(began)));
        let (own, own_soon) = if counts { (self.spent, self.soon) } else { (Amount::ZERO, Amount::ZERO) };
        let sum = |amounts: [Amount; 3]| Amount::sum(amounts).map_err(|error| invalid(&error));
        let runs_on = PricePerHour::from_micros(others.price).amount(OTHERS_MARGIN);
        let ahead = runs_on.map_err(|error| invalid(&error))?;
        let spent = sum([earlier, others.spent, own])?;
        let soon = sum([earlier, others.spent, own_soon])?.plus(ahead).map_err(|error| invalid(&error))?;
        let filled_at = period.map(|period| period.end());
        Ok(Purse { field, most: bounds::amount(most)?, spent, soon, filled_at })
    }
}

/// What machines of a pool cost in a period whose claims are gone.
fn earlier(pool: &NodePool, world: &World, period: Option<&Period>) -> Amount {
    let bills = pool.status.iter().flat_map(|status| &status.bills);
    let is_here = |uid: &str| world.claims.iter().any(|claim| claim.uid().as_deref() == Some(uid));
    let gone = bills.filter(|bill| !is_here(&bill.uid) && falls_in(period, &bill.started_at));
    sum(gone.map(|bill| amount(&bill.cost)))
}

/// Whether a claim may be the Collective's: one that somebody made by hand does not say.
fn is_of(claim: &NodeClaim, home: &Collective) -> bool {
    claim.labels().get(LABEL_COLLECTIVE).is_none_or(|name| *name == home.name_any())
}

/// What a claim has cost, as it is told.
fn cost(claim: &NodeClaim) -> Amount {
    let cost = claim.status.as_ref().and_then(|status| status.cost.as_ref());
    cost.map_or(Amount::ZERO, |cost| amount(&cost.amount))
}

/// The budget of which least is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// How much.
    pub amount: Amount,
    /// What is spent, of which bound.
    pub words: String,
    way_out: &'static str,
}

impl Left {
    /// Whether it pays for a machine of this price for long enough.
    ///
    /// # Errors
    /// [`Hold`] with reason BudgetSpent.
    pub fn pays_for(&self, price: PricePerHour) -> Result<(), Hold> {
        let least = price.amount(LEAST).map_err(|error| invalid(&error))?;
        let message = || {
            let Self { amount, words, way_out } = self;
            format!("{words}: {amount} are left, ten minutes cost {least}; {way_out}")
        };
        if self.amount < least { Err(Hold::new("BudgetSpent", message())) } else { Ok(()) }
    }
}

/// The budget of which least is left, before a machine is rented; none: none is set.
///
/// # Errors
/// [`Hold`] with reason BudgetSpent, if that is nothing.
pub fn least(purses: &[Purse], currency: &str) -> Result<Option<Left>, Hold> {
    let Some(purse) = purses.iter().min_by_key(|purse| purse.left()) else { return Ok(None) };
    let (words, way_out) = (purse.words(currency), purse.way_out());
    if purse.left() <= Amount::ZERO {
        return Err(Hold::new("BudgetSpent", format!("{words}: {way_out}")));
    }
    Ok(Some(Left { amount: purse.left(), words, way_out }))
}

/// Why a machine cannot be kept any longer: a budget of it is about to be empty.
pub fn is_empty_soon(purses: &[Purse], currency: &str) -> Option<String> {
    let purse = purses.iter().find(|purse| purse.soon >= purse.most)?;
    Some(format!("{}: the rest pays for its end; to go on, {}", purse.words(currency), purse.way_out()))
}
