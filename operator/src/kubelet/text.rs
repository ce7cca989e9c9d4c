//! Pure: what of a log is shown, and what a run without one has told.

use std::fmt::Write as _;

use cooperator_api::fine_tune::FineTune;
use cooperator_contract::outcome::Outcome;
use k8s_openapi::api::core::v1::Pod;

/// The last so many lines, then the first so many bytes, as a kubelet has it. Cut at a character's bounds.
pub fn cut(text: &str, lines: Option<usize>, bytes: Option<usize>) -> &str {
    let from = lines.map_or(0, |lines| tail(text, lines));
    let shown = text.get(from..).unwrap_or_default();
    let mut to = bytes.map_or(shown.len(), |bytes| bytes.min(shown.len()));
    while !shown.is_char_boundary(to) {
        to -= 1;
    }
    shown.get(..to).unwrap_or_default()
}

/// Where the last so many lines begin.
fn tail(text: &str, lines: usize) -> usize {
    let whole = text.strip_suffix('\n').unwrap_or(text);
    match lines {
        0 => text.len(),
        lines => whole.rmatch_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1),
    }
}

/// What of a log is new, of which `before` was shown: a vendor gives its end alone, which moves on.
pub fn fresh<'a>(before: &str, now: &'a str) -> &'a str {
    if let Some(more) = now.strip_prefix(before) {
        return more;
    }
    let last = before.lines().rev().take(LINES).collect::<Vec<_>>();
    let mut at = 0;
    let mut ends = Vec::new();
    for line in now.split_inclusive('\n') {
        at += line.len();
        ends.push((line.trim_end_matches('\n'), at));
    }
    let shown = (0..ends.len()).rev().find(|end| {
        let back = ends.iter().take(end + 1).rev().map(|(line, _)| *line);
        let mut pairs = back.zip(&last);
        !last.is_empty() && end + 1 >= last.len() && pairs.all(|(line, known)| line == *known)
    });
    shown.and_then(|end| now.get(ends.get(end)?.1..)).unwrap_or(now)
}

/// Lines by which the end of what was shown is found again.
const LINES: usize = 3;

/// What the run itself has told, where its vendor keeps no log.
pub fn told(tune: Option<&FineTune>, pod: &Pod) -> String {
    let mut text = String::new();
    let progress = tune.and_then(|tune| tune.status.as_ref()?.progress.as_ref());
    if let Some(progress) = progress {
        let at = progress.last_updated_time.as_deref().unwrap_or_default();
        let _ = write!(text, "{at} {} {} %", progress.phase, progress.percentage);
        if let (Some(step), Some(steps)) = (progress.step, progress.steps) {
            let _ = write!(text, ", step {step} of {steps}");
        }
        if let Some(loss) = &progress.loss {
            let _ = write!(text, ", loss {loss}");
        }
        text.push('\n');
    }
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let end = statuses.and_then(|all| all.first()?.state.as_ref()?.terminated.clone());
    if let Some(end) = end {
        let at = end.finished_at.map(|time| time.0.to_string()).unwrap_or_default();
        let said = end.message.unwrap_or_default();
        let said = match serde_json::from_str(&said) {
            Ok(Outcome::Succeeded { digest, .. }) => format!("succeeded: {digest}"),
            Ok(Outcome::Failed { reason, message }) => format!("failed: {reason:?}: {message}"),
            Err(_) => said,
        };
        let _ = writeln!(text, "{at} {said}");
    }
    text
}
