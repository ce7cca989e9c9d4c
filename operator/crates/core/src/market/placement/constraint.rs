//! What can stand between a job and an offer, as bits: an offer breaks a set of constraints.

use crate::market::requirement;

/// One thing that can stand between a job and an offer. In the order in which they are looked at: what the offer is comes
/// before what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constraint {
    /// Its provider is none of those that may be rented from.
    Unlisted,
    /// Its provider is closed.
    Closed,
    Shape,
    CapacityType,
    Cpu,
    Memory,
    Disk,
    Gpus,
    GpuMemory,
    /// The nth requirement.
    Requirement(usize),
    /// It, or its host, is blocked.
    Blocked,
    /// What it would take is beyond all numbers.
    Range,
    /// Its lowest bid is above the price on demand.
    Overbid,
    /// It must be given back before the job ends.
    Until,
    Deadline,
    Price,
    Budget,
}

/// Before the requirements.
const FIRST: [Constraint; 9] = [
    Constraint::Unlisted,
    Constraint::Closed,
    Constraint::Shape,
    Constraint::CapacityType,
    Constraint::Cpu,
    Constraint::Memory,
    Constraint::Disk,
    Constraint::Gpus,
    Constraint::GpuMemory,
];
/// After them.
const LAST: [Constraint; 7] = [
    Constraint::Blocked,
    Constraint::Range,
    Constraint::Overbid,
    Constraint::Until,
    Constraint::Deadline,
    Constraint::Price,
    Constraint::Budget,
];

impl Constraint {
    /// All there can be, in order.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let middle = (0..requirement::MOST).map(Self::Requirement);
        FIRST.into_iter().chain(middle).chain(LAST)
    }

    const fn bit(self) -> u32 {
        let after = FIRST.len() as u32 + requirement::MOST as u32;
        match self {
            Self::Unlisted => 0,
            Self::Closed => 1,
            Self::Shape => 2,
            Self::CapacityType => 3,
            Self::Cpu => 4,
            Self::Memory => 5,
            Self::Disk => 6,
            Self::Gpus => 7,
            Self::GpuMemory => 8,
            Self::Requirement(at) => FIRST.len() as u32 + at as u32,
            Self::Blocked => after,
            Self::Range => after + 1,
            Self::Overbid => after + 2,
            Self::Until => after + 3,
            Self::Deadline => after + 4,
            Self::Price => after + 5,
            Self::Budget => after + 6,
        }
    }
}

/// Constraints that an offer breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Broken(u128);

impl Broken {
    pub(super) const fn none(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn add(&mut self, constraint: Constraint, broken: bool) {
        self.0 |= (broken as u128) << constraint.bit();
    }

    /// The nth requirement by the nth bit.
    pub(super) fn add_requirements(&mut self, bits: u64) {
        self.0 |= u128::from(bits) << Constraint::Requirement(0).bit();
    }

    pub(super) const fn has(self, constraint: Constraint) -> bool {
        self.0 & (1 << constraint.bit()) != 0
    }

    /// Whether it breaks this one alone.
    pub(super) const fn only(self, constraint: Constraint) -> bool {
        self.0 == 1 << constraint.bit()
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_constraint_has_a_bit_of_its_own_in_the_order_in_which_they_are_looked_at() {
        let bits: Vec<u32> = Constraint::all().map(Constraint::bit).collect();
        assert_eq!(bits, (0..u32::try_from(bits.len()).unwrap()).collect::<Vec<_>>());
        assert!(bits.len() <= 128);
    }
}
