//! Licence policy over SPDX expressions.

use std::fmt;

use spdx::{Expression, LicenseItem, LicenseReq};

/// Why a licence is not allowed, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LicenseError {
    /// A valid licence that the policy does not name.
    #[error("licence `{license}` is not allowed; the policy allows {}", list(.allowed))]
    NotAllowed {
        /// The expression asked about.
        license: String,
        /// The policy.
        allowed: Vec<String>,
    },
    /// Not an SPDX expression.
    #[error(
        "`{expression}` is no SPDX licence expression ({why}); use identifiers of the SPDX list or `LicenseRef-<name>`"
    )]
    Invalid {
        /// What was given, or the entry of the policy.
        expression: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Which licences a Collective takes, each entry an SPDX expression. An entry allows every licence it names, whatever
/// joins them. `X+` and `X-or-later` allow the later versions too. A licence `WITH` an exception is another licence.
/// `LicenseRef-...` is allowed by the same text only.
#[derive(Clone, Debug)]
pub struct LicensePolicy {
    entries: Vec<String>,
    allowed: Vec<LicenseReq>,
}

impl LicensePolicy {
    /// # Errors
    /// [`LicenseError::Invalid`] if an entry is not an SPDX expression.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Result<Self, LicenseError> {
        let mut allowed = Vec::new();
        for entry in entries {
            allowed.extend(parse(entry.as_ref())?.requirements().map(|part| part.req.clone()));
        }
        Ok(Self { entries: entries.iter().map(|entry| entry.as_ref().to_owned()).collect(), allowed })
    }

    /// Whether work under `expression` may be taken: of `A OR B` one must be allowed, of `A AND B` both.
    ///
    /// # Errors
    /// [`LicenseError::NotAllowed`] or [`LicenseError::Invalid`], each a line for people.
    pub fn check(&self, expression: &str) -> Result<(), LicenseError> {
        if parse(expression)?.evaluate(|part| self.allowed.iter().any(|allowed| covers(allowed, part))) {
            Ok(())
        } else {
            Err(LicenseError::NotAllowed { license: shown(expression), allowed: self.entries.clone() })
        }
    }
}

/// Whether an allowed licence covers what work is under: the same, a later version of an allowed `X+`, or work under
/// `X+` of which a later version is allowed.
fn covers(allowed: &LicenseReq, work: &LicenseReq) -> bool {
    allowed.addition == work.addition
        && match (Versioned::of(&allowed.license), Versioned::of(&work.license)) {
            (Some(have), Some(need)) => {
                have.family == need.family
                    && (have.version == need.version
                        || need.open && have.version > need.version
                        || have.open && need.version > have.version)
            }
            _ => allowed.license == work.license,
        }
}

/// A licence of the SPDX list as family, version and whether later versions are meant too.
struct Versioned {
    family: Vec<&'static str>,
    version: Vec<u32>,
    open: bool,
}

impl Versioned {
    /// None for a licence outside the list.
    fn of(license: &LicenseItem) -> Option<Self> {
        let LicenseItem::Spdx { id, or_later } = license else { return None };
        let (name, open) = match id.name.strip_suffix("-or-later") {
            Some(name) => (name, true),
            None => (id.name.strip_suffix("-only").unwrap_or(id.name), *or_later),
        };
        let number =
            |part: &str| part.split('.').map(|digits| digits.parse().ok()).collect::<Option<Vec<u32>>>();
        let version = name.split('-').find_map(number).unwrap_or_default();
        Some(Self { family: name.split('-').filter(|part| number(part).is_none()).collect(), version, open })
    }
}

/// Strict SPDX: no imprecise names, no deprecated ones.
fn parse(expression: &str) -> Result<Expression, LicenseError> {
    Expression::parse(expression).map_err(|error| LicenseError::Invalid {
        expression: shown(expression),
        why: error.reason.to_string(),
    })
}

/// One line of at most 120 characters.
fn shown(expression: &str) -> String {
    expression.chars().filter(|character| !character.is_control()).take(120).collect()
}

fn list(entries: &[String]) -> impl fmt::Display {
    if entries.is_empty() { "none".to_owned() } else { entries.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(policy: &[&str], expression: &str) -> bool {
        LicensePolicy::new(policy).unwrap().check(expression).is_ok()
    }

    #[test]
    fn a_named_licence_is_allowed_and_another_is_not() {
        assert!(allows(&["CC0-1.0", "PDDL-1.0"], "PDDL-1.0"));
        assert!(!allows(&["CC0-1.0", "PDDL-1.0"], "CC-BY-NC-4.0"));
        assert!(!allows(&[], "MIT"));
    }

    #[test]
    fn one_of_or_and_all_of_and_must_be_allowed() {
        assert!(allows(&["MIT"], "MIT OR GPL-3.0-only"));
        assert!(!allows(&["MIT"], "MIT AND GPL-3.0-only"));
        assert!(allows(&["MIT", "Apache-2.0"], "MIT AND Apache-2.0"));
        assert!(allows(&["MIT OR Apache-2.0"], "Apache-2.0"));
        assert!(allows(&["MIT"], "(MIT OR Zlib) AND (MIT OR GPL-2.0-only)"));
    }

    #[test]
    fn an_exception_makes_another_licence() {
        assert!(!allows(&["Apache-2.0"], "Apache-2.0 WITH LLVM-exception"));
        assert!(allows(&["Apache-2.0 WITH LLVM-exception"], "Apache-2.0 WITH LLVM-exception"));
    }

    #[test]
    fn later_versions_count_where_either_side_says_so() {
        assert!(allows(&["Apache-1.1+"], "Apache-2.0"));
        assert!(allows(&["Apache-2.0"], "Apache-1.1+"));
        assert!(!allows(&["Apache-2.0"], "Apache-1.1"));
        assert!(allows(&["GPL-2.0-or-later"], "GPL-2.0-or-later"));
        assert!(allows(&["GPL-2.0-or-later"], "GPL-3.0-only"));
        assert!(allows(&["GPL-3.0-only"], "GPL-2.0-or-later"));
        assert!(!allows(&["GPL-3.0-only"], "GPL-2.0-only"));
        assert!(!allows(&["CC-BY-4.0+"], "CC-BY-NC-4.0"));
    }

    #[test]
    fn an_own_licence_is_allowed_by_its_exact_text() {
        assert!(allows(&["LicenseRef-OpenRAIL-M"], "LicenseRef-OpenRAIL-M"));
        assert!(!allows(&["LicenseRef-OpenRAIL-M"], "LicenseRef-OpenRAIL"));
    }

    #[test]
    fn a_refusal_is_one_line_with_the_way_out() {
        let policy = LicensePolicy::new(&["CC0-1.0", "MIT"]).unwrap();
        assert_eq!(
            policy.check("CC-BY-NC-4.0").unwrap_err().to_string(),
            "licence `CC-BY-NC-4.0` is not allowed; the policy allows CC0-1.0, MIT"
        );
        for expression in ["", "free", "MIT OR", "MIT\nAND", "GPL-2.0+"] {
            let error = policy.check(expression).unwrap_err();
            assert!(matches!(error, LicenseError::Invalid { .. }), "{expression}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert!(LicensePolicy::new(&["nope"]).is_err());
    }
}
