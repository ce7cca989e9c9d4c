//! How an answer is printed: for people, or for a program.

use std::io::{self, Write as _};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// For whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// The option `--output`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Prints `value` for a program, or what `people` makes of it.
///
/// # Errors
/// When stdout is closed.
pub fn print<T: Serialize>(
    Options { output }: Options,
    value: &T,
    people: impl FnOnce() -> String,
) -> Result<()> {
    let text = match output {
        Output::Table => people(),
        Output::Json => serde_json::to_string_pretty(value)?,
        Output::Yaml => serde_yaml::to_string(value)?,
    };
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(())
}

/// A table as `kubectl get` prints it: no lines, and as wide as the terminal where there is one.
pub fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A span in the two largest units it has, as `kubectl` writes ages: `45s`, `3m10s`, `2h5m`, `4d3h`.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// How long ago.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    span(now.duration_since(then))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        for (seconds, shown) in
            [(0, "0s"), (59, "59s"), (190, "3m10s"), (7500, "2h5m"), (356_400, "4d3h"), (-5, "0s")]
        {
            assert_eq!(span(SignedDuration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn a_table_has_a_header_and_aligned_columns() {
        let text = table(["NAME", "READY"], [["a-long-name".to_owned(), "True".to_owned()]]);
        assert_eq!(text, "NAME         READY\na-long-name  True");
    }
}
