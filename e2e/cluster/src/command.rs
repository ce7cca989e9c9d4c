//! The one way to run a command: its output goes to a log, a failure shows the log's last lines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    /// The log could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// Runs a command to its end. `what` names it in errors; all output goes to `log`, which is replaced.
///
/// # Errors
/// When it cannot be started or exits with another status than 0.
pub fn run(what: &str, command: &mut Command, log: &Path) -> Result<(), Error> {
    if let Some(folder) = log.parent() {
        files::create_dir(folder)?;
    }
    let out = fs::File::create(log).map_err(files::at("create", log))?;
    let err = out.try_clone().map_err(files::at("open", log))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .map_err(|source| start_error(what, command, source))?;
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
    fn output_is_what_the_command_printed() {
        assert_eq!(output("echo", &mut command("echo", ["a", "b"])).unwrap(), "a b\n");
    }
}
