//! `kubectl coop progress`: a FineTune's bar until it ends.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context, Result};
use cooperator_api::common::condition;
use cooperator_api::fine_tune::{FineTune, FineTuneStatus};
use futures::TryStreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use kube::runtime::watcher::watch_object;

use crate::access::Access;
use crate::output;

/// Options of `progress`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The FineTune
    pub name: String,
}

/// What a status amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// A run, or what it waits for.
    Running {
        /// Steps done, or percent.
        at: u64,
        /// Of how many.
        of: u64,
        /// What is done now, how far, how long yet, loss, cost and speed.
        text: String,
    },
    /// The adapter is there, and may be served or not.
    Done(String),
    /// It is not tried again.
    Failed(String),
}

/// Shows it until it ends: exit status 1 if it failed. On a terminal it is a bar; else a line for each change.
///
/// # Errors
/// When there is no such FineTune, or the cluster does not answer.
pub async fn progress(access: &Access, options: &Options) -> Result<ExitCode> {
    access.get::<FineTune>(&options.name).await?;
    let bar = bar(&options.name)?;
    let mut seen = pin!(watch_object(access.api::<FineTune>(), &options.name));
    let mut last = None;
    loop {
        let object = match seen.try_next().await {
            Ok(Some(Some(object))) => object,
            Ok(Some(None)) => anyhow::bail!("FineTune `{}` was deleted", options.name),
            Ok(None) => anyhow::bail!("the API server ended the watch of FineTune `{}`", options.name),
            // The watch goes on by itself; what it says meanwhile is worth a look.
            Err(error) => {
                bar.set_message(format!("the API server does not answer: {error}"));
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let view = view(&object.status.unwrap_or_default()); // pure
        if last.as_ref() != Some(&view) {
            match show(&bar, &view)? {
                Some(code) => return Ok(code),
                None => last = Some(view),
            }
        }
    }
}

fn bar(name: &str) -> Result<ProgressBar> {
    // The words have a line of their own: eighty columns hold them all.
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}]\n{wide_msg}")
        .context("the template of the bar")?;
    let bar = if io::stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(name.to_owned());
    Ok(bar)
}

/// Shows a view; the exit status if it was the last.
fn show(bar: &ProgressBar, view: &View) -> Result<Option<ExitCode>> {
    let mut out = io::stdout();
    match view {
        View::Running { at, of, text } => {
            if bar.is_hidden() {
                writeln!(out, "{text}")?;
            }
            bar.update(|state| {
                state.set_len(*of);
                state.set_pos(*at);
            });
            bar.set_message(text.clone());
            Ok(None)
        }
        View::Done(text) => {
            bar.finish_and_clear();
            writeln!(out, "{text}")?;
            Ok(Some(ExitCode::SUCCESS))
        }
        View::Failed(text) => {
            bar.finish_and_clear();
            writeln!(out, "{text}")?;
            Ok(Some(ExitCode::FAILURE))
        }
    }
}

/// What a status amounts to.
pub fn view(status: &FineTuneStatus) -> View {
    let find = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_);
    let is_true = |type_: &str| find(type_).filter(|condition| condition.status == "True");
    let ready = find(condition::READY);
    if let Some(failed) = is_true(condition::FAILED) {
        return View::Failed(format!("failed, {}: {}", failed.reason, failed.message));
    }
    if is_true(condition::COMPLETE).is_some() {
        return View::Done(done(status, ready.map_or("", |ready| &ready.message)));
    }
    let Some(progress) = status.progress.as_ref().filter(|progress| progress.percentage < 100) else {
        let text = ready.map_or_else(
            || "the operator has not looked at it yet".into(),
            |ready| format!("{}: {}", ready.reason, ready.message),
        );
        return View::Running { at: 0, of: 100, text };
    };
    let (at, of, far) = match (progress.step, progress.steps) {
        (Some(step), Some(steps)) => (step, steps, format!("step {step} of {steps}")),
        _ => (i64::from(progress.percentage), 100, format!("{} %", progress.percentage)),
    };
    let cost = status.cost.as_ref().map(|cost| format!("{} {}", cost.amount, cost.currency));
    let left = progress.estimated_remaining_seconds.map(SignedDuration::from_secs);
    let parts = [
        Some(format!("{}, {far}", progress.phase)),
        left.map(|left| format!("{} left", output::span(left))),
        progress.loss.as_ref().map(|loss| format!("loss {loss}")),
        cost,
        progress.tokens_per_second.map(|speed| format!("{speed} tokens/s")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    View::Running { at: count(at), of: count(of), text: parts.join(", ") }
}

/// What came out of it.
fn done(status: &FineTuneStatus, message: &str) -> String {
    let mut lines = vec![format!("done: {message}")];
    if let Some(found) = &status.evaluation {
        lines.push(format!(
            "held-out loss {} -> {} nats a token, perplexity {} -> {}",
            found.base.loss, found.adapted.loss, found.base.perplexity, found.adapted.perplexity
        ));
    }
    if let Some(cost) = &status.cost {
        lines.push(format!("cost {} {}", cost.amount, cost.currency));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view_of(status: Value) -> View {
        view(&serde_json::from_value(status).unwrap())
    }

    fn conditions(all: &[(&str, &str, &str)]) -> Value {
        let one = |(type_, status, reason): &(&str, &str, &str)| {
            json!({"type": type_, "status": status, "reason": reason, "message": format!("it is {reason}"),
                   "lastTransitionTime": "2026-11-25T00:00:00Z"})
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn a_run_shows_step_loss_speed_cost_and_how_long_yet() {
        let status = json!({
            "conditions": conditions(&[("Ready", "False", "Training")]),
            "progress": {"percentage": 45, "phase": "training", "step": 18, "steps": 40, "loss": "3.41",
                         "tokensPerSecond": 87, "estimatedRemainingSeconds": 130},
            "cost": {"amount": "0.02", "currency": "USD"},
        });
        let text = "training, step 18 of 40, 2m10s left, loss 3.41, 0.02 USD, 87 tokens/s".into();
        assert_eq!(view_of(status), View::Running { at: 18, of: 40, text });
    }

    #[test]
    fn before_it_runs_it_says_what_it_waits_for() {
        let status = json!({"conditions": conditions(&[("Ready", "False", "DatasetNotReady")])});
        let text = "DatasetNotReady: it is DatasetNotReady".into();
        assert_eq!(view_of(status), View::Running { at: 0, of: 100, text });
    }

    #[test]
    fn the_end_says_what_came_of_it() {
        let status = json!({
            "conditions": conditions(&[("Ready", "True", "Trained"), ("Complete", "True", "Trained")]),
            "evaluation": {"base": {"loss": "3.5", "perplexity": "33"}, "adapted": {"loss": "3.3", "perplexity": "27"}},
        });
        let text = "done: it is Trained\nheld-out loss 3.5 -> 3.3 nats a token, perplexity 33 -> 27".into();
        assert_eq!(view_of(status), View::Done(text));
    }

    #[test]
    fn a_failure_ends_it() {
        let status = json!({"conditions": conditions(&[
            ("Ready", "False", "OutOfMemory"), ("Complete", "False", "OutOfMemory"), ("Failed", "True", "OutOfMemory"),
        ])});
        assert_eq!(view_of(status), View::Failed("failed, OutOfMemory: it is OutOfMemory".into()));
    }
}
