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
                if bar.length() != Some(total)
                    && let Ok(style) = ProgressStyle::with_template(
                        "{spinner} {msg}  [{bar:24}] {pos}/{len}  {elapsed}, {eta} left",
                    )
                {
                    bar.set_style(style.progress_chars("=> "));
                    bar.set_length(total);
                }
                bar.set_position(done);
            }
            Some(Screen::Plain { says, .. }) => {
                let mut says = says.lock().unwrap_or_else(PoisonError::into_inner);
                let first = says.far.map_or((done, Instant::now()), |far| far.first);
                says.far = Some(Far { first, done, total, since: first.1.elapsed() });
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

fn usually(expected: Option<Duration>) -> String {
    expected.map(|time| format!(" (usually {})", span(time))).unwrap_or_default()
}

/// What a step last said of itself.
#[derive(Default)]
struct Says {
    far: Option<Far>,
    note: String,
}

/// How far a step is, and how long yet if it goes on as it went since it first said so.
#[derive(Clone, Copy)]
struct Far {
    first: (u64, Instant),
    done: u64,
    total: u64,
    since: Duration,
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, done, total, since } = *self;
        write!(f, " ({done} of {total}")?;
        let (made, left) = (done.saturating_sub(first.0), total.saturating_sub(done));
        if made > 0 {
            write!(f, ", {} left", span(since.mul_f64(left as f64 / made as f64)))?;
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
        let far = |done| Far { first: (10, Instant::now()), done, total: 60, since: Duration::from_secs(10) };
        assert_eq!(far(20).to_string(), " (20 of 60, 40s left)");
        assert_eq!(far(10).to_string(), " (10 of 60)");
    }

    #[test]
    fn a_step_passes_its_result_on() {
        let progress = Progress { bars: None };
        assert_eq!(progress.during("count", None, || Ok::<_, ()>(3)), Ok(3));
        assert_eq!(progress.during("fail", None, || Err::<(), _>(4)), Err(4));
    }
}
