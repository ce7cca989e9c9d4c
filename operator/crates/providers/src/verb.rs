//! The calls that a driver knows, as labels and logs name them.

/// A call of [`crate::Driver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// [`crate::Driver::offers`]
    Offers,
    /// [`crate::Driver::create`]
    Create,
    /// [`crate::Driver::get`]
    Get,
    /// [`crate::Driver::list`]
    List,
    /// [`crate::Driver::delete`]
    Delete,
    /// [`crate::Driver::charged`]
    Charged,
    /// [`crate::Driver::logs`]
    Logs,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Offers, Self::Create, Self::Get, Self::List, Self::Delete, Self::Charged, Self::Logs];

    /// Label of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Offers => "offers",
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Charged => "charged",
            Self::Logs => "logs",
        }
    }
}
