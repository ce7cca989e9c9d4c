//! The one way to run a command: its output goes to a log, a failure shows the log's last lines.

use std::fs;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::files;

/// Lines of a log that an error shows.
const TAIL: usize = 15;

/// A command that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started at all.
    #[error("{what}: cannot start {program}: {source}; is it installed and in PATH?")]
    Start {
        /// What the command was for.
        what: String,
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// It ran and failed; its output lies in a log.
    #[error("{what} failed ({status}); the whole log: {}\n{tail}", log.display())]
    Failed {
        /// What the command was for.
        what: String,
        /// Its exit status in words.
        status: String,
        /// Where its whole output lies.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// It ran and failed; all that it printed is here.
    #[error("{what} failed ({status}): {stderr}")]
    Refused {
        /// What the command was for.
        what: String,
        /// Its exit status in words.
        status: String,
        /// The last lines of its stderr.
        stderr: String,
    },
    /// It ran and failed; what it printed was shown.
    #[error("{what} failed ({status}): the lines above say why")]
    Shown {
        /// What the command was for.
        what: String,
        /// Its exit status in words.
        status: String,
    },
    /// The log could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// Runs a command to its end. `what` names it in errors; all output goes to `log`, which is replaced.
///
/// # Errors
/// When it cannot be started or exits with another status than 0.
pub fn run(what: &str, command: &mut Command, log: &Path) -> Result<(), Error> {
    let file = create(log)?;
    let out = file.try_clone().map_err(files::at("open", log))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(file)
        .status()
        .map_err(|source| start_error(what, command, source))?;
    success(what, status, log)
}

/// As [`run`], but what the command prints on stdout goes to `line`, a line at a time, as it comes.
///
/// # Errors
/// When it cannot be started or exits with another status than 0.
pub fn lines(what: &str, command: &mut Command, log: &Path, mut line: impl FnMut(&str)) -> Result<(), Error> {
    let file = create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(|source| start_error(what, command, source))?;
    if let Some(stdout) = child.stdout.take() {
        io::BufReader::new(stdout).lines().map_while(Result::ok).for_each(|text| line(&text));
    }
    let status = child.wait().map_err(|source| start_error(what, command, source))?;
    success(what, status, log)
}

/// Runs a command whose output people read as it comes: it has this process's terminal.
///
/// # Errors
/// When it cannot be started or exits with another status than 0.
pub fn shown(what: &str, command: &mut Command) -> Result<(), Error> {
    let status =
        command.stdin(Stdio::null()).status().map_err(|source| start_error(what, command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Shown { what: what.to_owned(), status: status.to_string() })
}

fn create(log: &Path) -> Result<fs::File, Error> {
    if let Some(folder) = log.parent() {
        files::create_dir(folder)?;
    }
    Ok(fs::File::create(log).map_err(files::at("create", log))?)
}

fn success(what: &str, status: ExitStatus, log: &Path) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    Err(Error::Failed {
        what: what.to_owned(),
        status: status.to_string(),
        log: log.to_owned(),
        tail: files::tail(&text, TAIL),
    })
}

/// Runs a command to its end and returns what it printed on stdout, for short answers.
///
/// # Errors
/// When it cannot be started or exits with another status than 0.
pub fn output(what: &str, command: &mut Command) -> Result<String, Error> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|source| start_error(what, command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Refused {
        what: what.to_owned(),
        status: output.status.to_string(),
        stderr: files::tail(String::from_utf8_lossy(&output.stderr).trim(), TAIL),
    })
}

/// A command from a program and its arguments.
pub fn command<I, S>(program: impl AsRef<std::ffi::OsStr>, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// `cargo` with these arguments, as a shell would start it. What an outer cargo tells the program it runs (package,
/// manifest) is kept from it: build scripts watch those variables, and would compile ring and all above it anew.
pub fn cargo<I, S>(args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let mut cargo = command("cargo", args);
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if told {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn start_error(what: &str, command: &Command, source: io::Error) -> Error {
    Error::Start {
        what: what.to_owned(),
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/x.log");
        let script = "for i in $(seq 40); do echo line $i; done; exit 3";
        let error = run("the script", &mut command("sh", ["-c", script]), &log).unwrap_err().to_string();
        assert!(error.starts_with("the script failed (exit status: 3)"), "{error}");
        assert!(error.ends_with("line 40"), "{error}");
        assert!(!error.contains("line 20\n"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = output("the search", &mut command("no-such-program", [""; 0])).unwrap_err().to_string();
        assert!(error.contains("cannot start no-such-program"), "{error}");
    }

    #[test]
    fn lines_come_one_by_one_and_a_failure_shows_the_end_of_stderr() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let mut seen = Vec::new();
        let mut script = command("sh", ["-c", "echo one; echo why >&2; echo two; exit 4"]);
        let error = lines("the script", &mut script, &log, |line| seen.push(line.to_owned())).unwrap_err();
        assert_eq!(seen, ["one", "two"]);
        assert!(error.to_string().ends_with("\nwhy"), "{error}");
    }

    #[test]
    fn cargo_is_not_told_of_the_package_that_runs_it() {
        let removed: Vec<_> = cargo(["build"])
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_owned())
            .collect();
        assert!(removed.iter().any(|name| name == "CARGO_MANIFEST_DIR"), "{removed:?}");
    }

    #[test]
    fn output_is_what_the_command_printed() {
        assert_eq!(output("echo", &mut command("echo", ["a", "b"])).unwrap(), "a b\n");
    }
}
