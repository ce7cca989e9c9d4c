//! Load, by wrk: so many connections, each asking again as soon as it has the last byte.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cooperator_cluster::command::{command, output};
use cooperator_cluster::files;
use serde::Deserialize;
use serde_json::{Value, json};

/// What wrk prints at its end: one line that can be read.
const DONE: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"#;

/// What is asked, again and again.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Model that is named.
    pub model: String,
    /// Key that is shown.
    pub key: String,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// How it was answered.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Answered {
    /// Answers, the refused ones too.
    pub requests: u64,
    microseconds: u64,
    p50: u64,
    p99: u64,
    refused: u64,
    broken: u64,
}

impl Answered {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / (self.microseconds as f64 / 1e6)
    }

    /// Median of the time to the last byte, milliseconds.
    pub fn p50(&self) -> f64 {
        self.p50 as f64 / 1e3
    }

    /// The time to the last byte that 99 of 100 kept, milliseconds.
    pub fn p99(&self) -> f64 {
        self.p99 as f64 / 1e3
    }
}

/// Asks `server` for so long over so many connections.
///
/// # Errors
/// When wrk fails, or an answer was no success: then a rate would mean nothing.
pub fn load(
    folder: &Path,
    server: SocketAddr,
    ask: &Ask,
    connections: u32,
    time: Duration,
) -> Result<Answered> {
    let script = folder.join("ask.lua");
    files::write(&script, lua(ask))?;
    let mut wrk = command("wrk", ["--threads", "1", "--connections", &connections.to_string()]);
    wrk.args(["--duration", &format!("{}s", time.as_secs()), "--timeout", "30s", "--script"]).arg(&script);
    wrk.arg(format!("http://{server}/v1/chat/completions"));
    let text = output("wrk", &mut wrk)?;
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("wrk printed no figures")?;
    let answered: Answered = serde_json::from_str(line)?;
    ensure!(
        answered.refused == 0 && answered.broken == 0,
        "of {} requests {} were refused and {} broke off",
        answered.requests,
        answered.refused,
        answered.broken
    );
    Ok(answered)
}

fn lua(ask: &Ask) -> String {
    let options = if ask.stream { json!({"include_usage": true}) } else { Value::Null };
    let body = json!({
        "model": ask.model, "max_tokens": 64, "stream": ask.stream, "stream_options": options,
        "messages": [
            {"role": "system", "content": "You answer briefly."},
            {"role": "user", "content": "What did the members agree on, and who keeps the weights?"},
        ],
    });
    format!(
        "wrk.method = 'POST'\nwrk.body = [==[{body}]==]\nwrk.headers['Content-Type'] = 'application/json'\n\
         wrk.headers['Authorization'] = 'Bearer {}'\n{DONE}",
        ask.key
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_seconds_and_milliseconds() {
        let line = r#"{"requests": 100, "microseconds": 500000, "p50": 1500, "p99": 9000, "refused": 0, "broken": 0}"#;
        let answered: Answered = serde_json::from_str(line).unwrap();
        assert_eq!((answered.rate(), answered.p50(), answered.p99()), (200.0, 1.5, 9.0));
    }

    #[test]
    fn a_stream_is_asked_for_with_its_usage() {
        let ask = |stream| lua(&Ask { model: "m".into(), key: "k".into(), stream });
        assert!(
            ask(true).contains(r#""include_usage":true"#) && ask(false).contains(r#""stream_options":null"#)
        );
    }
}
