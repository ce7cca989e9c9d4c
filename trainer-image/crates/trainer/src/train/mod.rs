//! Training an adapter: inputs by digest, steps with checkpoints, evaluation on what was held out, and the adapter
//! with its card and provenance, the manifest last.
//!
//! The same base model, dataset, parameters and seed give the same adapter, byte for byte, interrupted or not.

mod card;
mod checkpoint;
mod curve;
mod evaluate;
mod fence;
mod inputs;
mod learn;
mod picture;
mod policy;
mod preflight;
mod provenance;
mod publish;
mod sequences;
mod settings;
mod workload;

use std::time::Instant;

use cooperator_contract::layout;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::TrainTask;
use cooperator_models::lora::LoraAdapter;
use cooperator_models::train::TrainModel;

use crate::failure::Failure;
use crate::run::Context;
use checkpoint::Saved;
use inputs::Inputs;
use learn::{End, Learner};
use sequences::Sequences;
use settings::Settings;
use workload::Workload;

/// Trains, evaluates and publishes.
///
/// # Errors
/// [`Failure`]: interrupted (a checkpoint is written), fenced, loss not finite, inputs that do not verify.
pub async fn train(context: &Context, task: &TrainTask) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let settings = Settings::parse(task)?;
    fence::check(context).await?;
    let base = inputs::base_model(context, task).await?;
    preflight::check(context, &base).await?;
    context.reporter.phase("downloading", 0);
    let inputs = context.unless_stopped(inputs::load(context, task, &base)).await?;
    let Inputs { config, weights, tokenizer, tokens, dataset, train, held_out } = inputs;
    settings.check(&config)?;

    let resumed = context.unless_stopped(checkpoint::newest(context, &settings, &config)).await?;
    let Saved { adapter, optimizer, state } = match resumed {
        Some(saved) => saved,
        None => Saved::fresh(
            &settings,
            LoraAdapter::init(settings.lora.clone(), &config, settings.seed).map_err(Failure::invalid)?,
        ),
    };
    let end_of_text = config.eos_token_ids.first().copied();
    let mut sequences = Sequences::pack(&train, &tokens, end_of_text, &settings)?;
    let exam = evaluate::Exam::new(&held_out, &tokens, &tokenizer, task, &settings)?;
    drop((train, held_out));
    let mut model = TrainModel::new(&config, &weights, adapter).map_err(unsupported)?;
    drop(weights);

    let tokens_a_step = sequences.tokens_a_batch().saturating_mul(settings.accumulation);
    let mut workload = Workload::begin(tokens_a_step, settings.steps, state.step, exam.work());
    let mut learner = Learner {
        context,
        settings: &settings,
        sequences: &mut sequences,
        model: &mut model,
        workload: &mut workload,
        optimizer,
        state,
    };
    let end = learner.run().await?;
    let state = learner.state;
    if let End::Interrupted = end {
        let message = format!(
            "stopped by SIGTERM at step {} of {}; the next attempt goes on from there",
            state.step, settings.steps
        );
        return Err(Failure::new(FailureReason::Interrupted, message));
    }

    context.reporter.phase("evaluating", workload.percentage());
    workload.report(&context.reporter);
    let measured = exam.measure(context, &mut model, &tokenizer, &config, &mut workload).await?;
    fence::check(context).await?;
    context.reporter.phase("publishing", workload::COMPUTED);
    let adapter = model.into_adapter();
    let work = publish::Work {
        task,
        base: &base,
        dataset: &dataset,
        adapter: &adapter,
        curve: &state.curve,
        measured,
        started,
    };
    let digest = publish::publish(context, work).await?;
    Ok(Outcome::Succeeded { digest, key: layout::adapter(&digest, publish::EVALUATION) })
}

/// The base model or the dataset does not do what it is asked to.
fn unsupported(error: impl ToString) -> Failure {
    Failure::new(FailureReason::UnsupportedModel, error)
}
