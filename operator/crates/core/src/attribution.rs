//! Who gave how much of what a model learned from, as integer weights.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use num_bigint::BigUint;

use crate::basis_points::BasisPoints;
use crate::consent::Share;

/// What all weights of one adapter add up to.
pub const WEIGHT: u64 = 1_000_000_000;

/// Attribution that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributionError {
    /// A split sheet that is not a whole.
    #[error(
        "split sheet of member `{member}`'s contribution adds up to {sum} basis points; it must add up to 10000"
    )]
    SplitSheet {
        /// Who gave the contribution.
        member: String,
        /// What its shares add up to.
        sum: u64,
    },
    /// More tokens than can be counted.
    #[error("a member's tokens are too many to count; the most is 2^64 - 1")]
    Overflow,
}

/// What one contribution gave.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Who gave it.
    pub member: &'a str,
    /// Accepted training tokens.
    pub tokens: u64,
    /// Who is credited; empty: the member alone.
    pub split_sheet: &'a [Share],
}

/// One member's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberWeight {
    /// Member name.
    pub member: String,
    /// Tokens credited, rounded down.
    pub tokens: u64,
    /// Part of [`WEIGHT`].
    pub weight: u64,
    /// The same for people; all members' add up to 10,000.
    pub basis_points: BasisPoints,
}

/// Credits each contribution's tokens by its split sheet and weighs the members: weights add up to exactly
/// [`WEIGHT`], what rounding leaves goes to the largest remainders, between equals to the first by name. Sorted by
/// member, whatever the order given. Without any token nobody has a weight: the answer is empty, and a settlement
/// then divides equally among the members.
///
/// # Errors
/// [`AttributionError`], naming the contribution.
pub fn weigh(given: &[Given<'_>]) -> Result<Vec<MemberWeight>, AttributionError> {
    let mut credit = BTreeMap::<&str, u128>::new();
    for Given { member, tokens, split_sheet } in given {
        let alone = [(*member, u64::from(BasisPoints::FULL.get()))];
        let sheet: Vec<_> =
            split_sheet.iter().map(|line| (&*line.member, u64::from(line.basis_points))).collect();
        let sheet = if sheet.is_empty() { alone.as_slice() } else { sheet.as_slice() };
        let sum = sheet.iter().map(|(_, points)| points).sum();
        if sum != u64::from(BasisPoints::FULL.get()) {
            return Err(AttributionError::SplitSheet { member: (*member).to_owned(), sum });
        }
        for (credited, points) in sheet {
            // Cannot overflow: 2^64 tokens * 10^4, added up fewer than 2^50 times.
            *credit.entry(credited).or_default() += u128::from(*tokens) * u128::from(*points);
        }
    }
    credit.retain(|_, part| *part > 0);
    let whole = BasisPoints::FULL.get();
    let weights = apportion(&credit, u128::from(WEIGHT));
    let points = apportion(&credit, u128::from(whole));
    (credit.iter().zip(weights).zip(points))
        .map(|(((member, part), weight), points)| {
            let narrow = |number: u128| u64::try_from(number).map_err(|_| AttributionError::Overflow);
            let basis_points = u16::try_from(points).ok().and_then(|points| BasisPoints::new(points).ok());
            Ok(MemberWeight {
                member: (*member).to_owned(),
                tokens: narrow(part / u128::from(whole))?,
                weight: narrow(weight)?,
                basis_points: basis_points.ok_or(AttributionError::Overflow)?,
            })
        })
        .collect()
}

/// Divides `total` in proportion to `parts` by largest remainder; between equal remainders the smaller key wins, so
/// the answer does not depend on any order but that of the keys. In the order of the keys; all zeros where all parts
/// are zero.
pub fn apportion<K: Ord>(parts: &BTreeMap<K, u128>, total: u128) -> Vec<u128> {
    let sum: BigUint = parts.values().copied().map(BigUint::from).sum();
    if sum == BigUint::ZERO {
        return vec![0; parts.len()];
    }
    let mut missing = total;
    let mut shares = Vec::with_capacity(parts.len());
    let mut remainders = Vec::with_capacity(parts.len());
    for (index, part) in parts.values().enumerate() {
        let scaled = BigUint::from(*part) * total;
        // A share is at most the total, so it fits.
        let share = u128::try_from(&scaled / &sum).unwrap_or(total);
        missing -= share;
        shares.push(share);
        remainders.push((Reverse(scaled % &sum), index));
    }
    remainders.sort_unstable();
    // What is missing is the sum of the remainders, each below one: fewer units than there are parts.
    for ((_, index), _) in remainders.into_iter().zip(0..missing) {
        if let Some(share) = shares.get_mut(index) {
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given<'a>(member: &'a str, tokens: u64, split_sheet: &'a [Share]) -> Given<'a> {
        Given { member, tokens, split_sheet }
    }

    #[test]
    fn tokens_are_credited_through_the_split_sheets() {
        let sheet = [("lincoln", 9000), ("grant", 1000)]
            .map(|(member, basis_points)| Share { member: member.to_owned(), basis_points });
        let weights = weigh(&[given("lincoln", 1000, &sheet), given("grant", 300, &[])]).unwrap();
        let told: Vec<_> =
            weights.iter().map(|w| (&*w.member, w.tokens, w.weight, w.basis_points.get())).collect();
        assert_eq!(told, [("grant", 400, 307_692_308, 3077), ("lincoln", 900, 692_307_692, 6923)]);
    }

    #[test]
    fn equals_are_told_apart_by_name() {
        let weights = weigh(&["c", "a", "b"].map(|name| given(name, 7, &[]))).unwrap();
        let told: Vec<_> = weights.iter().map(|w| (&*w.member, w.weight)).collect();
        assert_eq!(told, [("a", 333_333_334), ("b", 333_333_333), ("c", 333_333_333)]);
    }

    #[test]
    fn nothing_given_weighs_nothing() {
        assert_eq!(weigh(&[given("a", 0, &[])]).unwrap(), []);
        assert_eq!(weigh(&[]).unwrap(), []);
    }

    #[test]
    fn a_sheet_that_is_not_whole_is_an_error() {
        let sheet = [Share { member: "a".to_owned(), basis_points: 1 }];
        let error = weigh(&[given("a", 1, &sheet)]).unwrap_err();
        assert_eq!(error, AttributionError::SplitSheet { member: "a".to_owned(), sum: 1 });
    }

    #[test]
    fn the_largest_numbers_are_divided_exactly() {
        let parts = BTreeMap::from([("a", u128::MAX), ("b", u128::MAX)]);
        assert_eq!(apportion(&parts, u128::MAX), [u128::MAX / 2 + 1, u128::MAX / 2]);
    }

    proptest! {
        #[test]
        fn weights_add_up_and_order_is_irrelevant(
            tokens in prop::collection::vec((0usize..9, 0u64..u64::MAX / 16), 1..12).prop_shuffle(),
        ) {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
            let mut list: Vec<_> = tokens.iter().map(|(i, tokens)| given(names[*i], *tokens, &[])).collect();
            let weights = weigh(&list).unwrap();
            if tokens.iter().any(|(_, tokens)| *tokens > 0) {
                prop_assert_eq!(weights.iter().map(|w| w.weight).sum::<u64>(), WEIGHT);
                prop_assert_eq!(weights.iter().map(|w| w.basis_points.get()).sum::<u16>(), 10_000);
            }
            list.reverse();
            prop_assert_eq!(weigh(&list).unwrap(), weights);
        }

        #[test]
        fn nobody_gets_a_whole_unit_more_or_less_than_the_exact_share(
            parts in prop::collection::btree_map(0u8..20, 0u128..1_000_000_000_000, 1..20),
            total in 0u128..1_000_000_000_000,
        ) {
            let sum: u128 = parts.values().sum();
            prop_assume!(sum > 0);
            let shares = apportion(&parts, total);
            prop_assert_eq!(shares.iter().sum::<u128>(), total);
            for (share, part) in shares.into_iter().zip(parts.values()) {
                let exact = part * total;
                prop_assert!(share * sum < exact + sum && exact < (share + 1) * sum);
            }
        }
    }
}
