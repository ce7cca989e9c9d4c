//! How much of a run is done, and how long the rest takes.

use std::time::{Duration, Instant};

use crate::run::Reporter;

/// Percentage at which the first step begins.
pub(super) const BEGINS: u8 = 4;
/// Percentage at which everything is computed.
pub(super) const COMPUTED: u8 = 98;
/// A step goes forward and back, and the way back takes about twice as long as the way there.
const STEP: u64 = 3;

/// What a run computes, in tokens that go forward through the model once.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    step: u64,
    total: u64,
    /// By this attempt and those before it.
    done: u64,
    /// By those before it.
    earlier: u64,
    began: Instant,
}

impl Workload {
    /// `steps` of so many tokens each, of which earlier attempts did the first `done`, and an evaluation of so many that
    /// only go forward. Time counts from now.
    pub(super) fn begin(tokens_a_step: u64, steps: u64, done: u64, evaluation: u64) -> Self {
        let step = tokens_a_step.saturating_mul(STEP);
        let earlier = step.saturating_mul(done);
        let total = step.saturating_mul(steps).saturating_add(evaluation);
        Self { step, total, done: earlier, earlier, began: Instant::now() }
    }

    /// A step is done.
    pub(super) fn step(&mut self) {
        self.forward(self.step);
    }

    /// So many tokens went forward.
    pub(super) fn forward(&mut self, tokens: u64) {
        self.done = self.done.saturating_add(tokens).min(self.total);
    }

    /// Says how far it is and how long yet.
    pub(super) fn report(&self, reporter: &Reporter) {
        reporter.update(|progress| {
            progress.progress_percentage = self.percentage();
            progress.estimated_remaining_seconds = self.left().map(|left| left.as_secs());
        });
    }

    /// Of the whole run.
    pub(super) fn percentage(&self) -> u8 {
        let share = self.done as f64 / self.total.max(1) as f64;
        BEGINS + (f64::from(COMPUTED - BEGINS) * share) as u8
    }

    /// What the rest takes if it goes on as it went in this attempt; None until something is done.
    fn left(&self) -> Option<Duration> {
        self.left_after(self.began.elapsed())
    }

    fn left_after(&self, time: Duration) -> Option<Duration> {
        let (made, left) = (self.done.saturating_sub(self.earlier), self.total.saturating_sub(self.done));
        let seconds = time.as_secs_f64() * left as f64 / made as f64;
        Duration::try_from_secs_f64(seconds).ok().filter(|_| made > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_this_attempt_took_for_as_much() {
        // Of 1000 tokens forward and back ten times, and 3000 forward, four steps were done by an earlier attempt.
        let mut workload = Workload::begin(1000, 10, 4, 3000);
        assert_eq!(workload.left_after(Duration::from_secs(1)), None, "nothing is known yet");
        workload.step();
        assert_eq!(workload.left_after(Duration::from_secs(30)), Some(Duration::from_secs(180)));
        (0..5).for_each(|_| workload.step());
        assert_eq!(workload.left_after(Duration::from_secs(180)), Some(Duration::from_secs(30)));
        workload.forward(1500);
        assert_eq!(workload.left_after(Duration::from_secs(195)), Some(Duration::from_secs(15)));
        workload.forward(u64::MAX);
        assert_eq!(workload.left_after(Duration::from_secs(210)), Some(Duration::ZERO));
    }

    #[test]
    fn the_percentage_goes_from_the_first_step_to_all_that_is_computed() {
        let mut workload = Workload::begin(1000, 10, 0, 3000);
        assert_eq!(workload.percentage(), BEGINS);
        (0..10).for_each(|_| workload.step());
        assert_eq!(workload.percentage(), 89);
        workload.forward(3000);
        assert_eq!(workload.percentage(), COMPUTED);
        assert_eq!(Workload::begin(0, 0, 0, 0).percentage(), BEGINS, "a run of nothing");
        assert_eq!(Workload::begin(u64::MAX, u64::MAX, 1, u64::MAX).left_after(Duration::MAX), None);
    }
}
