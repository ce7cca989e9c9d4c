//! What is going on, for the person who waits: a live line a step on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a step that still runs says so where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// Shows the steps of a long task on stderr. Clones share the screen.
#[derive(Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// Live lines when stderr is a terminal, else one plain line every 30 s for each running step.
    #[must_use]
    pub fn new() -> Self {
        Self { bars: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Begins a step. `expected` is how long it takes on a plain machine, where that is known.
    #[must_use]
    pub fn step(&self, what: &str, expected: Option<Duration>) -> Step {
        let started = Instant::now();
        let what = what.to_owned();
        match &self.bars {
            Some(bars) => Step::live(bars, what, started, expected),
            None => Step::plain(what, started, expected),
        }
    }

    /// Runs `work` as a step, and marks the step as done or failed by its result.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn during<T, E>(
        &self,
        what: &str,
        expected: Option<Duration>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let step = self.step(what, expected);
        let result = work();
        match &result {
            Ok(_) => step.done(),
            Err(_) => step.failed(),
        }
        result
    }

    /// Says one line that is no step.
    pub fn say(&self, line: &str) {
        match &self.bars {
            // It fails only when the terminal is gone, and then nobody reads it.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }
}

/// A step under way; a dropped one counts as failed.
pub struct Step {
    what: String,
    started: Instant,
    screen: Option<Screen>,
}

enum Screen {
    Live { bar: ProgressBar, bars: MultiProgress },
    Plain { stop: Sender<()>, ticker: JoinHandle<()>, says: Arc<Mutex<Says>> },
}

impl Step {
    fn live(bars: &MultiProgress, what: String, started: Instant, expected: Option<Duration>) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}{prefix}") {
            bar.set_style(style);
        }
        bar.set_message(what.clone());
        bar.set_prefix(usually(expected));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { what, started, screen: Some(Screen::Live { bar, bars: bars.clone() }) }
    }

    fn plain(what: String, started: Instant, expected: Option<Duration>) -> Self {
        eprintln!("{what} ...{}", usually(expected));
        let (stop, stopped) = mpsc::channel();
        let line = what.clone();
        let says = Arc::new(Mutex::new(Says::default()));
        let seen = says.clone();
        let ticker = thread::spawn(move || {
            while stopped.recv_timeout(PLAIN_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let elapsed = started.elapsed();
                let says = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let rest = says.far.map_or_else(|| usually(expected), |far| far.to_string());
                eprintln!("{line} ... {}{rest}{}", span(elapsed), says.note);
            }
        });
        Self { what, started, screen: Some(Screen::Plain { stop, ticker, says }) }
    }

    /// Says how far it is: a bar and the time left, on a terminal.
    pub fn at(&self, done: u64, total: u64) {
        match &self.screen {
            Some(Screen::Live { bar, .. }) => {
                if bar.length() != Some(total) {
                    count(bar, "{eta}");
                    bar.set_length(total);
                }
                bar.set_position(done);
            }
            Some(Screen::Plain { says, .. }) => {
                let mut says = says.lock().unwrap_or_else(PoisonError::into_inner);
                let first = says.far.map_or((done, Instant::now()), |far| far.first);
                says.far = Some(Far { first, done, total, since: first.1.elapsed(), left: None });
            }
            None => {}
        }
    }

    /// Says how long it takes yet, by its own account. Without one it is reckoned from what [`Step::at`] was told, which
    /// comes first.
    pub fn left(&self, left: Option<Duration>) {
        match &self.screen {
            Some(Screen::Live { bar, .. }) => {
                count(bar, left.map_or("{eta}", |_| "{prefix}"));
                bar.set_prefix(left.map(span).unwrap_or_default());
            }
            Some(Screen::Plain { says, .. }) => {
                if let Some(far) = &mut says.lock().unwrap_or_else(PoisonError::into_inner).far {
                    far.left = left;
                }
            }
            None => {}
        }
    }

    /// Says what it is at, beside how far: a phase, a loss. Empty: nothing.
    pub fn note(&self, note: &str) {
        let note = if note.is_empty() { String::new() } else { format!("  {note}") };
        match &self.screen {
            Some(Screen::Live { bar, .. }) => bar.set_message(format!("{}{note}", self.what)),
            Some(Screen::Plain { says, .. }) => {
                says.lock().unwrap_or_else(PoisonError::into_inner).note = note;
            }
            None => {}
        }
    }

    /// Ends the step: it succeeded.
    pub fn done(mut self) {
        self.end("done");
    }

    /// Ends the step: it failed. The error itself is for the caller to report.
    pub fn failed(mut self) {
        self.end("FAILED");
    }

    fn end(&mut self, how: &str) {
        let line = format!("{} {how} in {}", self.what, span(self.started.elapsed()));
        match self.screen.take() {
            Some(Screen::Live { bar, bars }) => {
                // A finished step becomes a plain line above those that still run, in the order they end.
                bar.finish_and_clear();
                drop(bars.println(line));
            }
            Some(Screen::Plain { stop, ticker, .. }) => {
                drop(stop);
                // The ticker only prints; it cannot fail in a way that matters here.
                drop(ticker.join());
                eprintln!("{line}");
            }
            None => {}
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end("FAILED");
    }
}

/// A bar that counts; `left` is the field of its template that says how long yet.
fn count(bar: &ProgressBar, left: &str) {
    let template = format!("{{spinner}} {{msg}}  [{{bar:24}}] {{pos}}/{{len}}  {{elapsed}}, {left} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

fn usually(expected: Option<Duration>) -> String {
    expected.map(|time| format!(" (usually {})", span(time))).unwrap_or_default()
}

/// What a step last said of itself.
#[derive(Default)]
struct Says {
    far: Option<Far>,
    note: String,
}

/// How far a step is, and how long yet: as it says, or if it goes on as it went since it first said how far.
#[derive(Clone, Copy)]
struct Far {
    first: (u64, Instant),
    done: u64,
    total: u64,
    since: Duration,
    left: Option<Duration>,
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, done, total, since, left } = *self;
        write!(f, " ({done} of {total}")?;
        let (made, more) = (done.saturating_sub(first.0), total.saturating_sub(done));
        let reckoned = (made > 0).then(|| since.mul_f64(more as f64 / made as f64));
        if let Some(left) = left.or(reckoned) {
            write!(f, ", {} left", span(left))?;
        }
        f.write_str(")")
    }
}

/// A time span as people say it: `8s`, `6m30s`.
#[must_use]
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_minutes_and_seconds() {
        assert_eq!(span(Duration::from_secs(8)), "8s");
        assert_eq!(span(Duration::from_secs(390)), "6m30s");
    }

    #[test]
    fn what_is_left_takes_as_long_as_what_was_done() {
        let since = Duration::from_secs(10);
        let far = |done| Far { first: (10, Instant::now()), done, total: 60, since, left: None };
        assert_eq!(far(20).to_string(), " (20 of 60, 40s left)");
        assert_eq!(far(10).to_string(), " (10 of 60)");
        let told = |done| Far { left: Some(Duration::from_secs(70)), ..far(done) };
        assert_eq!(told(20).to_string(), " (20 of 60, 1m10s left)", "what is left may be slower");
        assert_eq!(told(10).to_string(), " (10 of 60, 1m10s left)");
    }

    #[test]
    fn a_step_passes_its_result_on() {
        let progress = Progress { bars: None };
        assert_eq!(progress.during("count", None, || Ok::<_, ()>(3)), Ok(3));
        assert_eq!(progress.during("fail", None, || Err::<(), _>(4)), Err(4));
    }
}
