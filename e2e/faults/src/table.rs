//! What came of every telling, as a table.

use std::fmt;
use std::time::Duration;

use crate::telling::{Harm, Outcome};

/// One telling.
#[derive(Clone, Debug)]
pub struct Row {
    /// What happened in it.
    pub harm: Harm,
    /// What that led to.
    pub outcome: Outcome,
    /// How long it took, the clearing before it included.
    pub took: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Same => "same end",
            Outcome::Differs(_) => "DIFFERS",
            Outcome::Stuck(_) => "STUCK",
            Outcome::NotReached => "not reached",
        };
        write!(f, "{word:<12}{:>5.1} s  {}", self.took.as_secs_f64(), self.harm)?;
        match &self.outcome {
            Outcome::Differs(lines) => lines.iter().try_for_each(|line| write!(f, "\n    {line}")),
            Outcome::Stuck(why) => write!(f, "\n    {why}"),
            Outcome::Same | Outcome::NotReached => Ok(()),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Table {
    /// What was done in each.
    pub what: &'static str,
    /// Calls of the story without harm.
    pub calls: usize,
    /// In the order drawn.
    pub rows: Vec<Row>,
    /// How long all of it took.
    pub took: Duration,
}

impl Table {
    /// Whether all that happened led to the same end.
    pub fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| matches!(row.outcome, Outcome::Same | Outcome::NotReached))
    }

    fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(&row.outcome)).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        let missed = self.count(|outcome| *outcome == Outcome::NotReached);
        write!(
            f,
            "{} calls in the story; {} {}: {} led to the same end, {} to another, {} to none; {missed} not reached; {} s",
            self.calls,
            self.rows.len() - missed,
            self.what,
            self.count(|outcome| *outcome == Outcome::Same),
            self.count(|outcome| matches!(outcome, Outcome::Differs(_))),
            self.count(|outcome| matches!(outcome, Outcome::Stuck(_))),
            self.took.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> Row {
        let harm = Harm::Death("after #1 POST jobs/a".parse().unwrap());
        Row { harm, outcome, took: Duration::from_millis(5100) }
    }

    #[test]
    fn the_last_line_counts_what_the_lines_before_it_tell() {
        let rows = vec![
            row(Outcome::Same),
            row(Outcome::Differs(vec!["/keys/0: 1 became 2".into()])),
            row(Outcome::Stuck("why".into())),
            row(Outcome::NotReached),
        ];
        let table = Table { what: "deaths", calls: 2, rows, took: Duration::from_secs(21) };
        assert!(!table.is_clean());
        assert_eq!(
            table.to_string(),
            "same end      5.1 s  after #1 POST jobs/a\n\
             DIFFERS       5.1 s  after #1 POST jobs/a\n    /keys/0: 1 became 2\n\
             STUCK         5.1 s  after #1 POST jobs/a\n    why\n\
             not reached   5.1 s  after #1 POST jobs/a\n\
             2 calls in the story; 3 deaths: 1 led to the same end, 1 to another, 1 to none; 1 not reached; 21 s"
        );
    }
}
