//! Pure: what a machine is told to do, and what it answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::driver::State;
use crate::http::shown;
use crate::name::InstanceName;

/// What all verbs share.
const BODY: &str = include_str!("control.sh");
/// What the machine says first: what comes before is the login shell's.
const HELLO: &str = "cooperator: hello";
/// What the machine says last: without it something is missing.
const BYE: &str = "cooperator: bye";

/// What a machine is told to do.
#[derive(Clone, Debug)]
pub(super) enum Command<'a> {
    /// To say who has it.
    Look,
    /// To run this script for this instance, unless somebody has it.
    Create(&'a InstanceName, &'a str),
    /// To end what runs for this instance.
    Delete(&'a InstanceName),
}

impl Command<'_> {
    /// Whether it changes something.
    pub(super) const fn changes(&self) -> bool {
        !matches!(self, Self::Look)
    }

    /// The line that the machine's login shell is given. It can be seen by all who are logged in there, and holds no secret.
    pub(super) fn line(&self, user: &str) -> String {
        let shell = if user == "root" { "sh -s --" } else { "sudo -n sh -s --" };
        match self {
            Self::Look => format!("{shell} look"),
            Self::Create(name, _) => format!("{shell} create {name}"),
            Self::Delete(name) => format!("{shell} delete {name}"),
        }
    }

    /// The script that the line reads. Its last line runs it: one that broke off before runs nothing.
    pub(super) fn script(&self) -> String {
        let payload = match self {
            Self::Create(_, text) => {
                let lines = STANDARD.encode(text);
                let lines: Vec<&str> =
                    lines.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
                format!("payload() {{\nbase64 -d << 'END'\n{}\nEND\n}}\n", lines.join("\n"))
            }
            Self::Look | Self::Delete(_) => String::new(),
        };
        format!("{BODY}{payload}main() {{ echo '{HELLO}'; \"$@\"; echo '{BYE}'; }}\nmain \"$@\"\n")
    }
}

/// Who has a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Free disk, in GiB.
    pub(super) disk_gib: u64,
    /// The instance that it runs. None: it is free.
    pub(super) taken: Option<Taken>,
}

/// An instance that a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) name: InstanceName,
    pub(super) state: State,
    pub(super) said: String,
}

/// What came of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Gone,
    /// What is left, in words.
    Ending(String),
}

/// What a machine said between its first and its last word. None: it did not say the first. An error: it broke off.
pub(super) fn said(output: &str) -> Option<Result<&str, ()>> {
    let (_, said) = output.split_once(&format!("{HELLO}\n"))?;
    Some(said.split_once(&format!("{BYE}\n")).map(|(said, _)| said).ok_or(()))
}

/// The answer to [`Command::Look`] and [`Command::Create`]. None: it is none.
pub(super) fn look(said: &str) -> Option<Look> {
    let said = said.strip_prefix("taking\n").unwrap_or(said);
    let mut lines = said.lines();
    let disk_gib = lines.next()?.strip_prefix("disk ")?.parse().ok()?;
    let taken = match lines.next()? {
        "free" => None,
        line => {
            let (name, state) = line.strip_prefix("taken ")?.split_once(' ')?;
            let (state, words) = match state {
                "pending" => (State::Pending, "taken"),
                "running" => (State::Running, "started"),
                "failed" => (State::Failed, "failed"),
                "ending" => (State::Ending, "ending"),
                _ => return None,
            };
            let said = lines
                .next()
                .and_then(|line| line.strip_prefix("said "))
                .map_or_else(|| words.to_owned(), shown);
            Some(Taken { name: InstanceName::parse(name)?, state, said })
        }
    };
    Some(Look { disk_gib, taken })
}

/// The answer to [`Command::Delete`]. None: it is none.
pub(super) fn end(said: &str) -> Option<End> {
    let line = said.lines().next()?;
    match line {
        "gone" => Some(End::Gone),
        _ => line.strip_prefix("ending ").map(|left| End::Ending(shown(left))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::NAME;

    fn name() -> InstanceName {
        InstanceName::parse(NAME).unwrap()
    }

    #[test]
    fn what_can_be_seen_of_a_command_on_the_machine_holds_no_secret() {
        let command = Command::Create(&name(), "token=abcdef.0123456789abcdef").line("coop");
        assert_eq!(command, format!("sudo -n sh -s -- create {NAME}"));
        assert_eq!(Command::Look.line("root"), "sh -s -- look");
    }

    #[test]
    fn an_answer_is_read_and_what_a_login_shell_says_before_it_is_not() {
        let text =
            format!("Welcome!\n{HELLO}\ndisk 70\ntaken {NAME} failed\nsaid line 7\u{7} failed\n{BYE}\n");
        let found = look(said(&text).unwrap().unwrap()).unwrap();
        let taken = Taken { name: name(), state: State::Failed, said: "line 7 failed".to_owned() };
        assert_eq!(found, Look { disk_gib: 70, taken: Some(taken) });
        let text = format!("{HELLO}\ndisk 70\nfree\n{BYE}\n");
        assert_eq!(look(said(&text).unwrap().unwrap()).unwrap().taken, None);
        let found = look(&format!("taking\ndisk 70\ntaken {NAME} pending\n")).unwrap();
        assert_eq!(found.taken.unwrap().state, State::Pending);
        assert_eq!(end("gone\n"), Some(End::Gone));
        assert_eq!(end("ending processes 7 8\n"), Some(End::Ending("processes 7 8".to_owned())));
    }

    #[test]
    fn an_answer_that_broke_off_or_is_another_is_none() {
        assert_eq!(said("sudo: a password is required\n"), None);
        assert_eq!(said(&format!("{HELLO}\ndisk 70\nfree\n")), Some(Err(())));
        for text in
            ["", "free\n", "disk 70\n", "disk x\nfree\n", "disk 7\ntaken me running\n", "disk 7\ntaken\n"]
        {
            assert_eq!(look(text), None, "{text}");
        }
        assert_eq!((end(""), end("on fire\n")), (None, None));
    }
}
