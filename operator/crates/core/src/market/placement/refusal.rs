//! Why no offer will do, in one line.

use std::fmt;

use jiff::Timestamp;

use crate::money::{Amount, PricePerHour};

/// The offers that a constraint takes away: all, or those that others left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub offers: usize,
    /// Of how many.
    pub all: usize,
}

impl fmt::Display for Left {
    /// What a sentence begins with: `no offer of 40`, `no offer of 7 left of 40`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { offers, all } if offers == all => write!(f, "no offer of {all}"),
            Self { offers, all } => write!(f, "no offer of {offers} left of {all}"),
        }
    }
}

/// No offer keeps every bound. Names the bound without which most offers would do; where there is none, the one that
/// excludes all by itself; else the one that excludes the last.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoOffer {
    /// Nothing is for rent.
    #[error("nothing is for rent at any provider of the pool now; wait, or add a provider")]
    Empty,
    /// No offer is of a provider that may be rented from.
    #[error("{left} is of a provider that the pool names; add its provider to the pool")]
    Unlisted {
        /// Those that are taken away.
        left: Left,
    },
    /// The providers are closed.
    #[error("{left} can be rented now: {why}")]
    Closed {
        /// Those that are taken away.
        left: Left,
        /// Each provider, and why.
        why: String,
    },
    /// A machine is wanted, or a container.
    #[error("{left} is a {wanted}; allow the other shape, or add a provider of {wanted}s")]
    Shape {
        /// Those that are taken away.
        left: Left,
        /// `machine` or `container`.
        wanted: &'static str,
    },
    /// Spot is wanted, or not.
    #[error("{left} is {wanted}; `spot: Prefer` takes either")]
    CapacityType {
        /// Those that are taken away.
        left: Left,
        /// `spot` or `on demand`.
        wanted: &'static str,
    },
    /// Too small a machine.
    #[error("{left} has {wanted} {unit}; the most is {most}: ask for less")]
    Needs {
        /// Those that are taken away.
        left: Left,
        /// How much the job needs.
        wanted: u64,
        /// Of what: `MiB of memory`.
        unit: &'static str,
        /// The most that one has.
        most: u64,
    },
    /// A requirement.
    #[error("{left} has {requirement}; {seen}")]
    Requirement {
        /// Those that are taken away.
        left: Left,
        /// As it was written.
        requirement: String,
        /// What they have instead.
        seen: String,
    },
    /// All were tried in vain.
    #[error("{left} is still to be tried: they failed before or are on blocked hosts; wait for that to pass")]
    Blocked {
        /// Those that are taken away.
        left: Left,
    },
    /// Beyond all numbers.
    #[error(
        "{left} does the job at a cost and in a time that a number holds; check prices and the work asked for"
    )]
    Range {
        /// Those that are taken away.
        left: Left,
    },
    /// Bids above the price on demand.
    #[error("{left} takes a bid at or below the price on demand; `spot: Prefer` takes what is cheaper")]
    Overbid {
        /// Those that are taken away.
        left: Left,
    },
    /// All must be given back too early.
    #[error(
        "{left} can be kept until the job's end; the longest ends {until}, the job takes {seconds} s there"
    )]
    Until {
        /// Those that are taken away.
        left: Left,
        /// When the one that can be kept longest ends.
        until: Timestamp,
        /// What the job is expected to take on that.
        seconds: u64,
    },
    /// All take too long.
    #[error("{left} ends the job within {deadline} s; the fastest is expected to take {fastest} s")]
    Deadline {
        /// Those that are taken away.
        left: Left,
        /// Seconds that the job may take.
        deadline: u64,
        /// Seconds that it takes at least.
        fastest: u64,
    },
    /// All are too dear an hour.
    #[error("the cheapest that would do costs {cheapest} an hour with its disk; at most {most} is allowed ({offers} of {all} offers were left)", offers = left.offers, all = left.all)]
    Price {
        /// Those that are taken away.
        left: Left,
        /// The lowest price.
        cheapest: PricePerHour,
        /// The bound on it.
        most: PricePerHour,
    },
    /// All are too dear for the whole job.
    #[error("the cheapest that would do is expected to cost {cheapest} in all; {budget} of the budget is left ({offers} of {all} offers were left)", offers = left.offers, all = left.all)]
    Budget {
        /// Those that are taken away.
        left: Left,
        /// The lowest expected cost.
        cheapest: Amount,
        /// What is left of the budget.
        budget: Amount,
    },
}
