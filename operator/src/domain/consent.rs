//! Licence and consent of Contributions, asked of `core`.

use std::collections::BTreeSet;

use cooperator_api::collective::{Collective, Use as ApiUse};
use cooperator_api::contribution::Contribution;
use cooperator_contract::run;
use cooperator_core::consent::{Decision, Grant, Offer, Policy, Share, Use, decide};
use cooperator_core::license::{LicenseError, LicensePolicy};

/// What a Collective asks of every Contribution, parsed once.
#[derive(Clone, Debug)]
pub struct Terms {
    members: BTreeSet<String>,
    licenses: LicensePolicy,
    required: Vec<Use>,
}

impl Terms {
    /// # Errors
    /// [`LicenseError::Invalid`] if an entry of the policy is no SPDX expression.
    pub fn of(collective: &Collective) -> Result<Self, LicenseError> {
        let policy = &collective.spec.policy;
        Ok(Self {
            members: collective.spec.members.iter().map(|member| member.name.clone()).collect(),
            licenses: LicensePolicy::new(&policy.contribution_licenses)?,
            required: policy.required_grants.iter().copied().map(usage).collect(),
        })
    }

    /// May this Contribution be trained on?
    pub fn decide(&self, contribution: &Contribution) -> Decision {
        let spec = &contribution.spec;
        let grants: Vec<Grant> = spec
            .grants
            .iter()
            .map(|grant| Grant { usage: usage(grant.use_), allowed: grant.allowed })
            .collect();
        let split_sheet: Vec<Share> = spec
            .split_sheet
            .iter()
            .map(|line| Share { member: line.member.clone(), basis_points: points(line.basis_points) })
            .collect();
        let offer = Offer {
            member: &spec.member_ref.name,
            license: &spec.license,
            grants: &grants,
            split_sheet: &split_sheet,
            revoked: spec.revoked,
        };
        let Self { members, licenses, required } = self;
        decide(&offer, &Policy { members, licenses, required })
    }
}

/// Who is credited for a Contribution, sorted by member; its giver alone where it names nobody.
pub fn split_sheet(contribution: &Contribution) -> Vec<run::SplitShare> {
    let spec = &contribution.spec;
    if spec.split_sheet.is_empty() {
        return vec![run::SplitShare { member: spec.member_ref.name.clone(), basis_points: 10_000 }];
    }
    let mut sheet: Vec<_> = spec
        .split_sheet
        .iter()
        .map(|line| run::SplitShare { member: line.member.clone(), basis_points: points(line.basis_points) })
        .collect();
    sheet.sort_by(|one, other| one.member.cmp(&other.member));
    sheet
}

/// The API bounds them to 0..=10000; what is beyond does not add up and is refused by the domain.
fn points(points: i32) -> u16 {
    u16::try_from(points).unwrap_or(u16::MAX)
}

fn usage(usage: ApiUse) -> Use {
    match usage {
        ApiUse::GenerativeTraining => Use::GenerativeTraining,
        ApiUse::Training => Use::Training,
        ApiUse::Inference => Use::Inference,
        ApiUse::DataMining => Use::DataMining,
    }
}
