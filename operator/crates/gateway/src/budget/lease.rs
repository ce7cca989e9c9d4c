//! Parts of a key's budget, as they stand in `ApiKey.status`. Pure: one exchange is a function of what was read, and
//! what it gives is written back only if nobody wrote meanwhile.

use cooperator_core::money::{Amount, MoneyError};

/// What an ApiKey says of its money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseState {
    /// Prepaid in all; none: no bound.
    pub budget: Option<Amount>,
    /// Reported as spent by all gateways, ever.
    pub spent: Amount,
    /// Parts held.
    pub leases: Vec<Lease>,
}

/// The part of one gateway. Both amounts only grow while the gateway lives, so that writing one twice is no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Gateway id.
    pub gateway: String,
    /// Given to it in all.
    pub granted: Amount,
    /// Reported by it as spent.
    pub spent: Amount,
}

/// What a gateway brings to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Gateway id.
    pub gateway: &'a str,
    /// Spent by it in all.
    pub spent: Amount,
    /// What it last reported, where it knows; counts if its entry was removed.
    pub reported: Amount,
    /// Promised to calls under way.
    pub reserved: Amount,
    /// Needed for one more call; zero: only report.
    pub need: Amount,
    /// Whether it gives back all it does not need.
    pub release: bool,
}

/// Of what is free, a gateway takes this part at most, beyond its need.
const PART: i128 = 4;

/// What the ApiKey says after the exchange; `granted` of the gateway's own entry is what it may spend in all.
///
/// # Errors
/// [`MoneyError::Overflow`] on amounts out of range.
pub fn exchange(state: &LeaseState, claim: &Claim<'_>) -> Result<(LeaseState, Lease), MoneyError> {
    let (own, others): (Vec<_>, Vec<_>) =
        state.leases.iter().partition(|lease| lease.gateway == claim.gateway);
    let reported = own.first().map_or(claim.reported, |lease| lease.spent);
    let news = claim.spent.minus(reported)?.max(Amount::ZERO);
    let spent = state.spent.plus(news)?;
    let granted = match state.budget {
        // Without a bound nothing is held; the entry only says what was reported.
        None => claim.spent,
        Some(budget) => {
            let mut free = budget.minus(spent)?;
            for lease in &others {
                free = free.minus(outstanding(lease)?)?;
            }
            let held = own.first().map_or(Ok(Amount::ZERO), |lease| lease.granted.minus(claim.spent))?;
            let wanted = wanted(claim, held.max(claim.reserved), free)?;
            // Money promised to calls under way cannot be given back, even if the budget was lowered.
            claim.spent.plus(wanted.min(free.max(claim.reserved)))?
        }
    };
    let lease = Lease { gateway: claim.gateway.to_owned(), granted, spent: claim.spent };
    let mut leases: Vec<Lease> = others.into_iter().cloned().collect();
    leases.push(lease.clone());
    leases.sort_by(|a, b| a.gateway.cmp(&b.gateway));
    Ok((LeaseState { budget: state.budget, spent, leases }, lease))
}

/// Given to a gateway and not yet reported as spent.
fn outstanding(lease: &Lease) -> Result<Amount, MoneyError> {
    Ok(lease.granted.minus(lease.spent)?.max(Amount::ZERO))
}

fn wanted(claim: &Claim<'_>, held: Amount, free: Amount) -> Result<Amount, MoneyError> {
    if claim.release {
        return Ok(claim.reserved);
    }
    if claim.need == Amount::ZERO {
        return Ok(held);
    }
    let part = Amount::from_pico(free.pico().max(0) / PART);
    Ok(held.max(claim.reserved.plus(claim.need.max(part))?))
}
