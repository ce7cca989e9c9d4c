//! Calls that go wrong on purpose.

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this HTTP status; nothing is done.
    Status(u16),
    /// Done, but the answer is this status: the client does not learn of it.
    Lost(u16),
    /// A read whose body breaks off half-way.
    Truncate,
    /// A read with its first byte changed.
    Corrupt,
}

/// Which calls go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    method: Option<String>,
    contains: String,
    skip: u64,
    times: u64,
    fault: Fault,
}

impl Rule {
    /// Every call, from the next one on, for ever.
    pub const fn new(fault: Fault) -> Self {
        Self { method: None, contains: String::new(), skip: 0, times: u64::MAX, fault }
    }

    /// Only calls of this method, such as `PUT`.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only calls whose `bucket/key?query` contains this text.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        part.clone_into(&mut self.contains);
        self
    }

    /// Lets the first `calls` that match pass.
    #[must_use]
    pub const fn after(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// Stops after `calls` went wrong.
    #[must_use]
    pub const fn times(mut self, calls: u64) -> Self {
        self.times = calls;
        self
    }

    /// What becomes of this call, counting it.
    pub(super) fn strike(&mut self, method: &str, target: &str) -> Option<Fault> {
        let matches =
            self.method.as_deref().is_none_or(|wanted| wanted == method) && target.contains(&self.contains);
        if !matches || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}
