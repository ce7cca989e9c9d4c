//! May this Contribution be trained on? Decided from what its member wrote, never from silence.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::basis_points::BasisPoints;
use crate::license::{LicenseError, LicensePolicy};

/// What a work may be used for: the entries of CAWG `cawg.training-mining`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Use {
    /// Search and statistics (`cawg.data_mining`).
    DataMining,
    /// As input of a model (`cawg.ai_inference`).
    Inference,
    /// Training of models that generate (`cawg.ai_generative_training`).
    GenerativeTraining,
    /// Training of models that do not (`cawg.ai_training`).
    Training,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A member's word on one use. CAWG's `constrained` without a reason counts as not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The use.
    pub usage: Use,
    /// Whether it is allowed.
    pub allowed: bool,
}

/// A share of the credit for one Contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Member name.
    pub member: String,
    /// Basis points, 0 to 10,000; all of a sheet's add up to 10,000.
    pub basis_points: u16,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Who gave it.
    pub member: &'a str,
    /// SPDX expression.
    pub license: &'a str,
    /// The member's word on each use.
    pub grants: &'a [Grant],
    /// Who is credited; empty: the member alone.
    pub split_sheet: &'a [Share],
    /// Whether it was taken back.
    pub revoked: bool,
}

/// What a Collective asks of every Contribution.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Names of the members.
    pub members: &'a BTreeSet<String>,
    /// Licences taken.
    pub licenses: &'a LicensePolicy,
    /// Uses that each Contribution must allow.
    pub required: &'a [Use],
}

/// Why a Contribution is refused: the condition reason, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalReason {
    /// Taken back by its member.
    Revoked,
    /// Given by somebody who is not a member.
    UnknownMember,
    /// The licence is no SPDX expression.
    LicenseInvalid,
    /// The policy does not allow the licence.
    LicenseNotAllowed,
    /// The member says nothing on a required use.
    GrantMissing,
    /// The member does not allow a required use.
    GrantDenied,
    /// The split sheet does not add up, repeats a member or names a stranger.
    SplitSheetInvalid,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be trained on.
    Accepted,
    /// It may not.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// One line: what, the bound and the way out.
        message: String,
    },
}

/// Decides on one Contribution. The first ground in the order of [`RefusalReason`] is named. Only `allowed: true` for
/// each required use passes: no word, `false`, or both at once do not.
pub fn decide(offer: &Offer<'_>, policy: &Policy<'_>) -> Decision {
    let Offer { member, license, grants, split_sheet, revoked } = *offer;
    let grounds = [
        revoked.then(|| (RefusalReason::Revoked, format!("member `{member}` has revoked it"))),
        unknown_member(member, policy),
        license_ground(license, policy),
        grant_ground(grants, policy),
        split_sheet_ground(split_sheet, policy),
    ];
    match grounds.into_iter().flatten().next() {
        Some((reason, message)) => Decision::Refused { reason, message },
        None => Decision::Accepted,
    }
}

type Ground = Option<(RefusalReason, String)>;

fn unknown_member(member: &str, policy: &Policy<'_>) -> Ground {
    let known = policy.members.contains(member);
    (!known).then(|| {
        let message = format!("`{member}` is not a member of the Collective; add them to its `spec.members`");
        (RefusalReason::UnknownMember, message)
    })
}

fn license_ground(license: &str, policy: &Policy<'_>) -> Ground {
    policy.licenses.check(license).err().map(|error| {
        let reason = match error {
            LicenseError::NotAllowed { .. } => RefusalReason::LicenseNotAllowed,
            LicenseError::Invalid { .. } => RefusalReason::LicenseInvalid,
        };
        (reason, error.to_string())
    })
}

fn grant_ground(grants: &[Grant], policy: &Policy<'_>) -> Ground {
    policy.required.iter().find_map(|usage| {
        let mut words = grants.iter().filter(|grant| grant.usage == *usage).peekable();
        if words.peek().is_none() {
            let message = format!(
                "no grant for `{usage}`; the member must add it to `spec.grants` with `allowed: true`"
            );
            return Some((RefusalReason::GrantMissing, message));
        }
        let denied = words.any(|grant| !grant.allowed);
        denied.then(|| (RefusalReason::GrantDenied, format!("the member does not allow `{usage}`")))
    })
}

fn split_sheet_ground(sheet: &[Share], policy: &Policy<'_>) -> Ground {
    check_split_sheet(sheet, policy.members).err().map(|message| (RefusalReason::SplitSheetInvalid, message))
}

/// An empty sheet credits the giver alone. Otherwise shares must be above zero, of members, one each, and a whole.
fn check_split_sheet(sheet: &[Share], members: &BTreeSet<String>) -> Result<(), String> {
    if sheet.is_empty() {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    let mut shares = Vec::with_capacity(sheet.len());
    for Share { member, basis_points } in sheet {
        if !members.contains(member) {
            return Err(format!("split sheet names `{member}`, who is not a member; name members only"));
        }
        if !seen.insert(member) {
            return Err(format!("split sheet names `{member}` twice; give each member one line"));
        }
        if *basis_points == 0 {
            return Err(format!("split sheet gives `{member}` 0 basis points; leave the line out"));
        }
        shares.push(BasisPoints::new(*basis_points).map_err(|error| format!("split sheet: {error}"))?);
    }
    BasisPoints::whole(shares).map_err(|error| format!("split sheet: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Grant = Grant { usage: Use::GenerativeTraining, allowed: true };

    fn share(member: &str, basis_points: u16) -> Share {
        Share { member: member.to_owned(), basis_points }
    }

    fn offer() -> Offer<'static> {
        Offer { member: "lincoln", license: "PDDL-1.0", grants: &[GIVEN], split_sheet: &[], revoked: false }
    }

    fn ask(offer: Offer<'_>) -> Result<(), (RefusalReason, String)> {
        let members = ["lincoln", "grant"].map(str::to_owned).into();
        let licenses = LicensePolicy::new(&["CC0-1.0", "PDDL-1.0"]).unwrap();
        let policy = Policy { members: &members, licenses: &licenses, required: &[Use::GenerativeTraining] };
        match decide(&offer, &policy) {
            Decision::Accepted => Ok(()),
            Decision::Refused { reason, message } => {
                assert!(!message.contains('\n'));
                Err((reason, message))
            }
        }
    }

    fn reason(offer: Offer<'_>) -> Option<RefusalReason> {
        ask(offer).err().map(|(reason, _)| reason)
    }

    #[test]
    fn a_granted_work_of_a_member_under_an_allowed_licence_is_accepted() {
        assert_eq!(ask(offer()), Ok(()));
    }

    #[test]
    fn a_revoked_work_is_refused_whatever_else_it_says() {
        assert_eq!(
            reason(Offer { revoked: true, member: "nobody", ..offer() }),
            Some(RefusalReason::Revoked)
        );
    }

    #[test]
    fn a_strangers_work_is_refused() {
        assert_eq!(reason(Offer { member: "booth", ..offer() }), Some(RefusalReason::UnknownMember));
    }

    #[test]
    fn a_licence_outside_the_policy_is_refused_with_the_policy_named() {
        let (reason, message) = ask(Offer { license: "CC-BY-NC-4.0", ..offer() }).unwrap_err();
        assert_eq!(reason, RefusalReason::LicenseNotAllowed);
        assert_eq!(message, "licence `CC-BY-NC-4.0` is not allowed; the policy allows CC0-1.0, PDDL-1.0");
    }

    #[test]
    fn a_text_that_is_no_licence_is_refused() {
        assert_eq!(reason(Offer { license: "mine", ..offer() }), Some(RefusalReason::LicenseInvalid));
    }

    #[test]
    fn silence_is_not_consent() {
        let other = Grant { usage: Use::DataMining, allowed: true };
        assert_eq!(reason(Offer { grants: &[other], ..offer() }), Some(RefusalReason::GrantMissing));
    }

    #[test]
    fn a_no_beats_a_yes() {
        let no = Grant { allowed: false, ..GIVEN };
        assert_eq!(reason(Offer { grants: &[no], ..offer() }), Some(RefusalReason::GrantDenied));
        assert_eq!(reason(Offer { grants: &[GIVEN, no], ..offer() }), Some(RefusalReason::GrantDenied));
    }

    #[test]
    fn a_split_sheet_must_be_whole_and_of_members() {
        let sheet = [share("lincoln", 9000), share("grant", 1000)];
        assert_eq!(ask(Offer { split_sheet: &sheet, ..offer() }), Ok(()));
        let bad = [
            vec![share("lincoln", 9000)],
            vec![share("lincoln", 5000), share("lincoln", 5000)],
            vec![share("lincoln", 5000), share("booth", 5000)],
            vec![share("lincoln", 10_000), share("grant", 0)],
            vec![share("lincoln", 20_000)],
        ];
        for sheet in bad {
            let refused = reason(Offer { split_sheet: &sheet, ..offer() });
            assert_eq!(refused, Some(RefusalReason::SplitSheetInvalid), "{sheet:?}");
        }
    }
}
