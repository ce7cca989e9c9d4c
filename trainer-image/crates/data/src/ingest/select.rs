//! Which records are kept, and which of them are held out. Pure.

use std::collections::HashSet;

use cooperator_core::digest::Digest;

/// Remembers what was seen: 32 bytes a record.
pub(super) struct Seen(Option<HashSet<Digest>>);

impl Seen {
    /// One that drops duplicates, or one that keeps everything.
    pub(super) fn new(deduplicate: bool) -> Self {
        Self(deduplicate.then(HashSet::new))
    }

    /// Whether this record is new; asked in the order of contribution names, so that the first by name keeps it.
    pub(super) fn is_new(&mut self, id: Digest) -> bool {
        self.0.as_mut().is_none_or(|seen| seen.insert(id))
    }
}

/// Whether a record is held out. Looks at its content alone: neither order nor what else there is changes it, so a
/// record stays on its side of the line in every version of a dataset.
pub(super) fn is_held_out(id: &Digest, basis_points: u16) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 10_000 < u64::from(basis_points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_held_out_is_about_what_was_asked_for() {
        let ids: Vec<Digest> = (0_u32..20_000).map(|i| Digest::of(&i.to_be_bytes())).collect();
        let part = |points| ids.iter().filter(|id| is_held_out(id, points)).count();
        assert_eq!(part(0), 0);
        assert_eq!(part(10_000), 20_000);
        assert!((850..1150).contains(&part(500)), "{}", part(500));
    }

    #[test]
    fn what_is_held_out_stays_held_out_when_the_part_grows() {
        let ids = (0_u32..5_000).map(|i| Digest::of(&i.to_be_bytes()));
        assert!(ids.into_iter().all(|id| !is_held_out(&id, 500) || is_held_out(&id, 600)));
    }
}
