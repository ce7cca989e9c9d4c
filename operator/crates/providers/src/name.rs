//! What a rented machine is called: who rents it, and for which claim. From the name alone a machine is found again after
//! any crash, and known for an orphan.

use std::fmt;

/// What every name of ours begins with.
const PREFIX: &str = "coop";
/// Hexadecimal digits of a tenant.
const TENANT_DIGITS: usize = 12;
/// Hexadecimal digits of a claim: a UUID without its hyphens.
const CLAIM_DIGITS: usize = 32;

/// Who rents: one installation of the operator. Machines of another tenant in the same account are never touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// From the uid of something that is there once in a cluster and for as long, such as its namespace `kube-system`.
    /// None: it holds fewer than 12 hexadecimal digits.
    pub fn of(uid: &str) -> Option<Self> {
        let digits = digits(uid);
        (digits.len() >= TENANT_DIGITS).then(|| Self(digits[..TENANT_DIGITS].to_owned()))
    }

    /// The name of the machine of a claim, by the claim's uid. None: that is no UUID.
    pub fn name(&self, claim_uid: &str) -> Option<InstanceName> {
        let claim = digits(claim_uid);
        (claim.len() == CLAIM_DIGITS).then(|| InstanceName { tenant: self.clone(), claim })
    }

    /// What the names of all machines of this tenant begin with.
    pub fn prefix(&self) -> String {
        format!("{PREFIX}-{self}-")
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a rented machine: `coop-<12 digits of the tenant>-<32 digits of the claim>`, 50 characters of those that
/// every vendor and DNS take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName {
    tenant: Tenant,
    claim: String,
}

impl InstanceName {
    /// The name that a vendor's text is. None: it is not one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?.strip_prefix('-')?;
        let (tenant, claim) = rest.split_once('-')?;
        let name = Self { tenant: Tenant(tenant.to_owned()), claim: claim.to_owned() };
        let well = tenant.len() == TENANT_DIGITS && claim.len() == CLAIM_DIGITS;
        (well && digits(tenant) == tenant && digits(claim) == claim).then_some(name)
    }

    /// Who rents it.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Whether it is the machine of the claim with this uid.
    pub fn is_of(&self, claim_uid: &str) -> bool {
        digits(claim_uid) == self.claim
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.tenant.prefix(), self.claim)
    }
}

/// The hexadecimal digits of a uid, in lower case.
fn digits(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "6f1c2a70-0b1d-4a55-9d0e-1c2f3a4b5c6d";
    const CLAIM: &str = "0A1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

    #[test]
    fn a_name_tells_tenant_and_claim_and_is_read_back() {
        let tenant = Tenant::of(CLUSTER).unwrap();
        let name = tenant.name(CLAIM).unwrap();
        assert_eq!(name.to_string(), "coop-6f1c2a700b1d-0a1b2c3d4e5f60718293a4b5c6d7e8f9");
        assert_eq!(InstanceName::parse(&name.to_string()), Some(name.clone()));
        assert!(name.is_of(CLAIM) && !name.is_of(CLUSTER));
        assert_eq!(name.tenant(), &tenant);
        assert!(name.to_string().starts_with(&tenant.prefix()));
    }

    #[test]
    fn what_is_not_a_name_of_ours_is_none() {
        for text in [
            "",
            "coop",
            "coop-6f1c2a700b1d",
            "coop-6f1c2a700b1d-x",
            "my-machine",
            "coop-6F1c2a700b1d-0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "coop-6f1c2a700b1d-0a1b2c3d4e5f60718293a4b5c6d7e8f9-2",
        ] {
            assert_eq!(InstanceName::parse(text), None, "{text}");
        }
        assert_eq!(Tenant::of("short"), None);
        assert_eq!(Tenant::of(CLUSTER).unwrap().name("abc"), None);
    }
}
