//! Programs that go on running: started with a log and a pid file, waited for, stopped, never mistaken.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::command::command;
use crate::files;

/// How long a program has to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(8);
/// Lines of a log that an error shows.
const TAIL: usize = 15;

/// A program that did not start, or did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Its name here.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended when it should have become ready.
    #[error("{name} ended before it was ready; the whole log: {}\n{tail}", log.display())]
    Ended {
        /// Its name here.
        name: String,
        /// Where its output lies.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// It runs, and did not become ready in time.
    #[error("{name} was not ready after {}s ({reason}); the whole log: {}\n{tail}", waited.as_secs(), log.display())]
    NotReady {
        /// Its name here.
        name: String,
        /// How long it had.
        waited: Duration,
        /// What the last look at it said.
        reason: String,
        /// Where its output lies.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// Its pid file or log could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// What happens to a program when the one that started it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It goes on, in a session of its own, until it is stopped by its pid file.
    Detached,
    /// The kernel kills it, even when its starter is killed.
    Tied,
}

/// The programs of one cluster: `<dir>/run/<name>.json` for who they are, `<dir>/log/<name>.log` for what they say.
#[derive(Debug, Clone)]
pub struct Processes {
    dir: PathBuf,
    life: Life,
}

/// Who a running program is. The start time tells it from a later one that was given the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    /// In clock ticks since the machine started (proc(5), stat, field 22).
    start: u64,
}

impl Processes {
    /// Those that belong to the state folder `dir`.
    #[must_use]
    pub fn new(dir: &Path, life: Life) -> Self {
        Self { dir: dir.to_owned(), life }
    }

    /// Where a program's output goes.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(format!("{name}.json"))
    }

    /// Starts a program under `name`; returns its process id.
    ///
    /// # Errors
    /// When it cannot be started or its files not written.
    pub fn start(&self, name: &str, program: &Command) -> Result<i32, Error> {
        let log = self.log(name);
        files::create_dir(&self.dir.join("run"))?;
        files::create_dir(&self.dir.join("log"))?;
        let out = fs::File::create(&log).map_err(files::at("create", &log))?;
        let err = out.try_clone().map_err(files::at("open", &log))?;
        let mut wrapped = match self.life {
            Life::Detached => command("setsid", [] as [&str; 0]),
            Life::Tied => command("setpriv", ["--pdeathsig", "KILL", "--"]),
        };
        wrapped.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            if let Some(value) = value {
                wrapped.env(key, value);
            }
        }
        wrapped.stdin(Stdio::null()).stdout(out).stderr(err);
        let pid = guard(wrapped).map_err(|source| Error::Start { name: name.to_owned(), source })?;
        if let Some(start) = stat(pid).map(|stat| stat.start) {
            let identity = serde_json::json!(Identity { pid, start });
            files::write(&self.pid_file(name), identity.to_string())?;
        }
        Ok(pid)
    }

    /// The process id of a program that still runs.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<i32> {
        self.identity(name).filter(|identity| identity.is_alive()).map(|identity| identity.pid)
    }

    fn identity(&self, name: &str) -> Option<Identity> {
        serde_json::from_str(&fs::read_to_string(self.pid_file(name)).ok()?).ok()
    }

    /// Kills a program at once, as a crash does, and waits until it is gone. False: it did not run.
    #[must_use]
    pub fn kill(&self, name: &str) -> bool {
        let Some(identity) = self.identity(name).filter(|identity| identity.is_alive()) else { return false };
        identity.signal(Signal::SIGKILL);
        while identity.is_alive() {
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits until `ready` says so; it says why not in words otherwise.
    ///
    /// # Errors
    /// When the program ends before, or `limit` passes: with the end of its log.
    pub fn wait(
        &self,
        name: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<(), String>,
    ) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let reason = match ready() {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            };
            let (name, log) = (name.to_owned(), self.log(name));
            let tail = || files::tail(&String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()), TAIL);
            if self.running(&name).is_none() {
                return Err(Error::Ended { tail: tail(), name, log });
            }
            if started.elapsed() > limit {
                return Err(Error::NotReady { tail: tail(), name, waited: limit, reason, log });
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Stops those named, in that order, then any other: asks first, kills after the grace time.
    ///
    /// # Errors
    /// When a pid file cannot be removed.
    pub fn stop_all(&self, first: &[&str]) -> Result<(), Error> {
        let mut known = self.identities();
        for name in first {
            if let Some(identity) = known.remove(*name) {
                end(&[identity]);
            }
        }
        end(&known.into_values().collect::<Vec<_>>());
        Ok(files::remove(&self.dir.join("run"))?)
    }

    fn identities(&self) -> BTreeMap<String, Identity> {
        let Ok(entries) = fs::read_dir(self.dir.join("run")) else { return BTreeMap::new() };
        entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.path().file_stem()?.to_string_lossy().into_owned();
                let identity = serde_json::from_str(&fs::read_to_string(entry.path()).ok()?).ok()?;
                Some((name, identity))
            })
            .collect()
    }
}

impl Identity {
    fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, start: stat(pid)?.start })
    }

    fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start == self.start && !stat.is_dead())
    }

    /// It may be gone by now, which is what was wanted.
    fn signal(self, signal: Signal) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Ends the processes with these ids: asks first, kills after the grace time. Ids of processes that have
/// ended are no error. For processes found by other means than a pid file.
pub fn end_pids(pids: &[i32]) {
    end(&pids.iter().filter_map(|&pid| Identity::of(pid)).collect::<Vec<_>>());
}

fn end(identities: &[Identity]) {
    for (signal, limit) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, GRACE)] {
        identities.iter().for_each(|identity| identity.signal(signal));
        let started = Instant::now();
        while identities.iter().any(|identity| identity.is_alive()) {
            if started.elapsed() > limit {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts a child and keeps a thread waiting for it: so it never stays a zombie, and `--pdeathsig`, which
/// looks at the thread that started it rather than the process, sees the end of the whole process only.
fn guard(mut wrapped: Command) -> io::Result<i32> {
    let (send, started) = mpsc::channel();
    thread::spawn(move || {
        let child: io::Result<Child> = wrapped.spawn();
        match child {
            Ok(mut child) => {
                // The receiver waits for this very message; a failed wait leaves nothing to do.
                drop(send.send(Ok(child.id())));
                drop(child.wait());
            }
            Err(error) => drop(send.send(Err(error))),
        }
    });
    let pid = started.recv().map_err(io::Error::other)??;
    i32::try_from(pid).map_err(io::Error::other)
}

struct Stat {
    state: char,
    start: u64,
}

impl Stat {
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field may hold blanks and brackets: the fields are counted after its last bracket.
fn parse_stat(line: &str) -> Option<Stat> {
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(life: Life) -> (tempfile::TempDir, Processes, i32) {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path(), life);
        let pid = processes.start("sleeper", &command("sleep", ["600"])).unwrap();
        (dir, processes, pid)
    }

    #[test]
    fn a_stopped_program_is_gone_and_forgotten() {
        let (dir, processes, pid) = sleeper(Life::Detached);
        assert_eq!(processes.running("sleeper"), Some(pid));
        processes.stop_all(&[]).unwrap();
        assert_eq!(processes.running("sleeper"), None);
        assert!(!dir.path().join("run").exists());
        assert!(stat(pid).is_none_or(|stat| stat.is_dead()));
    }

    #[test]
    fn a_killed_program_is_gone_when_that_is_said() {
        let (_dir, processes, pid) = sleeper(Life::Tied);
        assert!(processes.kill("sleeper"));
        assert!(stat(pid).is_none_or(|stat| stat.is_dead()));
        assert!(!processes.kill("sleeper"), "it does not run any more");
    }

    #[test]
    fn a_process_that_was_given_the_same_number_is_left_alone() {
        let (dir, processes, pid) = sleeper(Life::Tied);
        let other = Identity { pid, start: stat(pid).unwrap().start + 1 };
        fs::write(dir.path().join("run/sleeper.json"), serde_json::json!(other).to_string()).unwrap();
        processes.stop_all(&[]).unwrap();
        assert!(stat(pid).is_some_and(|stat| !stat.is_dead()), "the stranger was killed");
        end_pids(&[pid]);
    }

    #[test]
    fn a_program_that_ends_early_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path(), Life::Tied);
        processes.start("server", &command("sh", ["-c", "echo address in use; exit 1"])).unwrap();
        let error =
            processes.wait("server", Duration::from_secs(20), || Err("no answer".into())).unwrap_err();
        assert!(error.to_string().contains("server ended before it was ready"), "{error}");
        assert!(error.to_string().ends_with("address in use"), "{error}");
    }

    #[test]
    fn a_program_that_is_never_ready_is_reported_with_the_reason() {
        let (_dir, processes, pid) = sleeper(Life::Tied);
        let error = processes.wait("sleeper", Duration::ZERO, || Err("still asleep".into())).unwrap_err();
        assert!(error.to_string().contains("(still asleep)"), "{error}");
        end_pids(&[pid]);
    }

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_start_time() {
        let line = "7 (a) b)) S 1 7 7 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 98765 1000 1 184";
        assert_eq!(parse_stat(line).unwrap().start, 98765);
    }
}
