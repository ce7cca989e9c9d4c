//! The steps.

use std::time::{Duration, Instant};

use cooperator_contract::outcome::FailureReason;
use cooperator_contract::progress::Steps;
use cooperator_models::optimizer::{Accumulated, Accumulator, AdamW, OptimizerError};
use cooperator_models::train::TrainModel;

use super::checkpoint::{self, State};
use super::curve::Point;
use super::policy::Next;
use super::sequences::{Sequences, dropout_seed};
use super::settings::Settings;
use super::unsupported;
use super::workload::Workload;
use crate::failure::Failure;
use crate::run::Context;

/// How the steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All done.
    Finished,
    /// Asked to stop; a checkpoint is written.
    Interrupted,
}

/// A run between two steps.
pub(super) struct Learner<'a> {
    pub context: &'a Context,
    pub settings: &'a Settings,
    pub sequences: &'a mut Sequences,
    pub model: &'a mut TrainModel,
    pub workload: &'a mut Workload,
    pub optimizer: AdamW,
    pub state: State,
}

impl Learner<'_> {
    /// Steps until the last, or until the run is asked to stop.
    pub(super) async fn run(&mut self) -> Result<End, Failure> {
        self.context.reporter.phase("training", self.workload.percentage());
        let first = self.state.step;
        tracing::info!(step = first, of = self.settings.steps, sequences = self.sequences.len(), "training");
        while self.state.step < self.settings.steps {
            if self.context.stop.is_cancelled() && self.state.step == first {
                // Nothing new to save: the checkpoint it came from is still there.
                return Ok(End::Interrupted);
            }
            let started = Instant::now();
            let (done, tokens) = tokio::task::block_in_place(|| self.step())?;
            self.workload.step();
            self.report(&done, tokens, started.elapsed());
            match self.settings.policy.after(self.state.step, self.context.stop.is_cancelled()) {
                Next::Go => {}
                Next::SaveAndGo | Next::SaveAndFinish => self.save().await?,
                Next::SaveAndStop => {
                    self.save().await?;
                    return Ok(End::Interrupted);
                }
            }
        }
        Ok(End::Finished)
    }

    /// One optimiser step. Returns its loss and how many tokens it took.
    #[tracing::instrument(name = "step", skip_all, fields(step = self.state.step + 1))]
    fn step(&mut self) -> Result<(Accumulated, usize), Failure> {
        let Self { settings, sequences, model, optimizer, state, .. } = self;
        let mut sum = Accumulator::new(model.adapter().tensors());
        let mut tokens = 0;
        for number in state.batches..state.batches + settings.accumulation {
            let batch = sequences.batch(number).map_err(unsupported)?;
            tokens += batch.tokens();
            let (loss, gradients) =
                model.loss_and_grads(&batch, dropout_seed(settings.seed, number)).map_err(unsupported)?;
            sum.add(loss, &gradients).map_err(Failure::internal)?;
        }
        let step = state.step + 1;
        let done =
            sum.finish(model.adapter().tensors(), settings.clip_norm).map_err(|error| match error {
                OptimizerError::LossNotFinite(_) | OptimizerError::GradientNotFinite(_) => {
                    let message = format!("step {step}: {error}; the last good checkpoint is kept");
                    Failure::new(FailureReason::LossNotFinite, message)
                }
                error => Failure::internal(error),
            })?;
        let rate = settings.schedule.rate(state.step);
        optimizer
            .step(model.adapter_mut().tensors_mut(), &done.gradients, rate)
            .map_err(Failure::internal)?;
        state.step = step;
        state.batches += settings.accumulation;
        state.curve.push(Point::new(step, done.loss.mean()));
        Ok((done, tokens))
    }

    fn report(&self, done: &Accumulated, tokens: usize, took: Duration) {
        let (step, total) = (self.state.step, self.settings.steps);
        let loss = done.loss.mean();
        let speed = tokens as f64 / took.as_secs_f64().max(1e-9);
        tracing::info!(step, loss, norm = done.norm, tokens_per_second = speed, "step");
        self.workload.report(&self.context.reporter);
        self.context.reporter.update(|progress| {
            progress.steps = Some(Steps { done: step, total });
            progress.loss = Some(format!("{loss:.4}"));
            progress.tokens_per_second = Some(speed as u64);
        });
    }

    async fn save(&self) -> Result<(), Failure> {
        checkpoint::save(self.context, self.settings, self.model.adapter(), &self.optimizer, &self.state)
            .await
    }
}
