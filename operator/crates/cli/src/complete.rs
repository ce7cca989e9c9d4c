//! What a shell offers: a script for the plugin's own name, and the words that `kubectl` asks for.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::access::{Access, Options};
use crate::args::Args;
use crate::items;
use crate::kind::Kind;

/// Cobra's directive by which `kubectl` adds no file names.
const NO_FILES: &str = ":4";

/// Prints the completion script of a shell. `kubectl` itself completes `kubectl coop ...` by a program
/// `kubectl_complete-coop` on the PATH, which calls `kubectl coop __complete` with the words so far.
///
/// # Errors
/// When stdout is closed.
pub fn script(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "kubectl-coop", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Prints what may come next, as `kubectl` wants it: a word a line, then a directive.
///
/// # Errors
/// When stdout is closed.
pub async fn offer(options: &Options, words: &[String]) -> Result<()> {
    let (done, begun) = match words {
        [done @ .., begun] => (done, begun.as_str()),
        [] => (&[][..], ""),
    };
    let mut found = subcommands(done);
    if let Some(wanted) = names_of(done) {
        // Without a cluster there is nothing to offer, and a shell is no place for an error.
        found.extend(names(options, wanted).await.unwrap_or_default());
    }
    let mut out = io::stdout();
    for word in found.iter().filter(|word| word.starts_with(begun)) {
        writeln!(out, "{word}")?;
    }
    Ok(writeln!(out, "{NO_FILES}")?)
}

/// Subcommands that may follow.
fn subcommands(done: &[String]) -> Vec<String> {
    let root = Args::command();
    let mut command: Option<&Command> = Some(&root);
    for word in done {
        command = command.and_then(|command| command.find_subcommand(word));
    }
    let all = command.into_iter().flat_map(Command::get_subcommands);
    all.filter(|command| !command.is_hide_set()).map(|command| command.get_name().to_owned()).collect()
}

/// Whose names may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Objects of a kind, by name.
    Of(Kind),
    /// Any object, as `kind/name`.
    Any,
}

fn names_of(done: &[String]) -> Option<Names> {
    let done: Vec<&str> = done.iter().map(String::as_str).collect();
    match done.as_slice() {
        ["status"] => Some(Names::Of(Kind::Collective)),
        ["progress" | "pull"] => Some(Names::Of(Kind::FineTune)),
        ["statement"] => Some(Names::Of(Kind::Settlement)),
        ["key", "revoke"] => Some(Names::Of(Kind::ApiKey)),
        ["why"] => Some(Names::Any),
        _ => None,
    }
}

async fn names(options: &Options, wanted: Names) -> Result<Vec<String>> {
    let access = Access::connect(options).await?;
    let items = items::fetch(&access).await?;
    let name = |item: items::Item| match wanted {
        Names::Of(kind) => (item.kind == kind).then_some(item.name),
        Names::Any => Some(format!("{}/{}", item.kind.name().to_lowercase(), item.name)),
    };
    Ok(items.into_iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn subcommands_follow_the_words_so_far() {
        let all = subcommands(&[]);
        assert!(all.contains(&"status".to_owned()) && !all.contains(&"__complete".to_owned()), "{all:?}");
        assert_eq!(subcommands(&words("key")), ["create", "revoke"]);
        assert_eq!(subcommands(&words("status")), Vec::<String>::new());
    }

    #[test]
    fn each_command_offers_the_objects_it_takes() {
        assert_eq!(names_of(&words("progress")), Some(Names::Of(Kind::FineTune)));
        assert_eq!(names_of(&words("pull")), Some(Names::Of(Kind::FineTune)));
        assert_eq!(names_of(&words("why")), Some(Names::Any));
        assert_eq!(names_of(&words("key create")), None);
    }

    #[test]
    fn every_shell_gets_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            generate(shell, &mut Args::command(), "kubectl-coop", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("statement"), "{shell}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
