//! What a reconcile finds: conditions before they have times, and why something waits.

/// A condition to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Condition type.
    pub type_: &'static str,
    /// True or False.
    pub status: bool,
    /// CamelCase reason.
    pub reason: String,
    /// One line.
    pub message: String,
}

impl Finding {
    /// It holds.
    pub fn yes(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, status: true, reason: reason.into(), message: message.into() }
    }

    /// It does not.
    pub fn no(type_: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { type_, status: false, reason: reason.into(), message: message.into() }
    }

    /// It does not, because of `hold`.
    pub fn held(type_: &'static str, hold: &Hold) -> Self {
        Self::no(type_, hold.reason.clone(), hold.message.clone())
    }
}

/// Why something waits or is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// CamelCase reason.
    pub reason: String,
    /// One line: what, the bound and the way out.
    pub message: String,
}

impl Hold {
    /// A hold.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}
