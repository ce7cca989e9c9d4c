//! Our kinds, by any name that `kubectl` knows them by.

use std::fmt;
use std::str::FromStr;

use cooperator_api::common::condition;
use serde::Serialize;

/// A kind of `cooperator.dev`, in the order in which one leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// The group.
    Collective,
    /// A model to start from.
    BaseModel,
    /// A member's work.
    Contribution,
    /// Works put together.
    Dataset,
    /// Who rents machines out.
    Provider,
    /// What machines may be rented.
    NodePool,
    /// An adapter.
    FineTune,
    /// A rented machine.
    NodeClaim,
    /// An adapter that is served.
    Deployment,
    /// A consumer's key.
    ApiKey,
    /// A closed period.
    Settlement,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Collective,
        Self::BaseModel,
        Self::Contribution,
        Self::Dataset,
        Self::Provider,
        Self::NodePool,
        Self::FineTune,
        Self::NodeClaim,
        Self::Deployment,
        Self::ApiKey,
        Self::Settlement,
    ];

    /// The name in `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collective => "Collective",
            Self::BaseModel => "BaseModel",
            Self::Contribution => "Contribution",
            Self::Dataset => "Dataset",
            Self::Provider => "Provider",
            Self::NodePool => "NodePool",
            Self::FineTune => "FineTune",
            Self::NodeClaim => "NodeClaim",
            Self::Deployment => "Deployment",
            Self::ApiKey => "ApiKey",
            Self::Settlement => "Settlement",
        }
    }

    /// The condition that says whether it is as it should be.
    pub const fn main_condition(self) -> &'static str {
        match self {
            Self::Contribution => condition::ACCEPTED,
            Self::Settlement => condition::VERIFIED,
            _ => condition::READY,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no kind of ours has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKind(String);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Kind::ALL.map(|kind| kind.name().to_lowercase()).join(", ");
        write!(f, "no kind `{}` in cooperator.dev; it has {known}", self.0)
    }
}

impl std::error::Error for UnknownKind {}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Kind, plural or short name, in any case, with or without the group.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let wanted = text.to_lowercase();
        let wanted = wanted.strip_suffix(".cooperator.dev").unwrap_or(&wanted);
        let names = cooperator_api::crds().into_iter().map(|crd| crd.spec.names).find(|names| {
            let short = names.short_names.iter().flatten().any(|name| name == wanted);
            short || names.plural == wanted || names.kind.to_lowercase() == wanted
        });
        let kind = names.and_then(|names| Self::ALL.into_iter().find(|kind| kind.name() == names.kind));
        kind.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_goes_by_every_name_that_kubectl_takes() {
        for (text, kind) in [
            ("FineTune", Kind::FineTune),
            ("finetunes", Kind::FineTune),
            ("ft", Kind::FineTune),
            ("codeploy", Kind::Deployment),
            ("deployments.cooperator.dev", Kind::Deployment),
            ("settle", Kind::Settlement),
            ("prov", Kind::Provider),
            ("pool", Kind::NodePool),
            ("claim", Kind::NodeClaim),
        ] {
            assert_eq!(text.parse(), Ok(kind));
        }
    }

    #[test]
    fn every_kind_has_a_definition() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(Kind::ALL.len(), cooperator_api::crds().len());
    }

    #[test]
    fn another_name_is_told_what_there_is() {
        let error = "pod".parse::<Kind>().unwrap_err().to_string();
        assert!(
            error.starts_with("no kind `pod` in cooperator.dev; it has collective, basemodel"),
            "{error}"
        );
    }
}
