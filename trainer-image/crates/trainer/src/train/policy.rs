//! When to save and what to forget: decided here, done elsewhere.

/// How often, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Steps between checkpoints; 0: only at the end and when interrupted.
    pub every: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Checkpoints kept; at least one is.
    pub keep: u32,
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next step.
    Go,
    /// A checkpoint, then the next step.
    SaveAndGo,
    /// A checkpoint, then the end: what is left is left to the next attempt.
    SaveAndStop,
    /// A checkpoint, then evaluation; should that be interrupted, no step is lost.
    SaveAndFinish,
}

impl Policy {
    /// After `step` steps are done.
    pub(super) fn after(self, step: u64, interrupted: bool) -> Next {
        if step >= self.total {
            Next::SaveAndFinish
        } else if interrupted {
            Next::SaveAndStop
        } else if self.every > 0 && step.is_multiple_of(self.every) {
            Next::SaveAndGo
        } else {
            Next::Go
        }
    }

    /// Which of these checkpoints, oldest first, are too many.
    pub(super) fn surplus<T>(self, checkpoints: &[T]) -> &[T] {
        let keep = usize::try_from(self.keep.max(1)).unwrap_or(usize::MAX);
        &checkpoints[..checkpoints.len().saturating_sub(keep)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { every: 4, total: 10, keep: 2 };

    #[test]
    fn a_run_saves_every_so_many_steps_and_at_its_end() {
        let next: Vec<Next> = [3, 4, 8, 9, 10].map(|step| POLICY.after(step, false)).to_vec();
        assert_eq!(next, [Next::Go, Next::SaveAndGo, Next::SaveAndGo, Next::Go, Next::SaveAndFinish]);
    }

    #[test]
    fn an_interrupted_run_saves_at_once_unless_nothing_is_left_to_do() {
        assert_eq!(POLICY.after(3, true), Next::SaveAndStop);
        assert_eq!(POLICY.after(10, true), Next::SaveAndFinish);
        let never = Policy { every: 0, ..POLICY };
        assert_eq!((never.after(4, false), never.after(4, true)), (Next::Go, Next::SaveAndStop));
    }

    #[test]
    fn the_newest_are_kept_and_never_none() {
        assert_eq!(POLICY.surplus(&[1, 2, 3, 4]), [1, 2]);
        assert_eq!(POLICY.surplus(&[1]), [0_i32; 0]);
        assert_eq!(Policy { keep: 0, ..POLICY }.surplus(&[1, 2]), [1]);
    }
}
