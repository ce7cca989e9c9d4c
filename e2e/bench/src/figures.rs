//! Figures of several runs, and how they are shown: the median, and from the least to the greatest.

use std::fmt;

/// One figure, measured in several runs.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Adds a run's figure.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// How many runs.
    pub const fn runs(&self) -> usize {
        self.0.len()
    }

    /// The figure of the newest run; not a number without a run.
    pub fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// The median; not a number without a run.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match (sorted.len() % 2, sorted.get(middle)) {
            (1, Some(figure)) => *figure,
            (_, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
            (_, None) => f64::NAN,
        }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        match (sorted.first(), sorted.last()) {
            (Some(least), Some(most)) if least < most => {
                write!(f, "{} ({}-{})", number(self.median()), number(*least), number(*most))
            }
            (Some(only), _) => f.write_str(&number(*only)),
            (None, _) => f.write_str("-"),
        }
    }
}

/// A figure with as many digits as it deserves: three or so.
pub fn number(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => grouped(figure),
        size if size >= 10.0 => format!("{figure:.1}"),
        0.0 => "0".into(),
        _ => format!("{figure:.2}"),
    }
}

/// A whole number with a comma at the thousands.
fn grouped(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if figure < 0.0 { format!("-{text}") } else { text }
}

/// A figure that was to be reached.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What, with its bound.
    pub what: String,
    /// What was measured.
    pub measured: String,
    /// Whether it was reached.
    pub met: bool,
}

impl Goal {
    /// A figure that is to be at most `bound`.
    pub fn at_most(what: &str, bound: f64, unit: &str, measured: f64) -> Self {
        let met = measured <= bound;
        Self { what: format!("{what} <= {}{unit}", number(bound)), measured: number(measured) + unit, met }
    }

    /// A figure that is to be at least `bound`.
    pub fn at_least(what: &str, bound: f64, unit: &str, measured: f64) -> Self {
        let met = measured >= bound;
        Self { what: format!("{what} >= {}{unit}", number(bound)), measured: number(measured) + unit, met }
    }
}

/// A table as Markdown has it.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", " --- |".repeat(self.head.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// What one benchmark found.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name, as `cargo xtask bench` takes it.
    pub name: &'static str,
    /// What was done and what came of it, as Markdown.
    pub text: String,
    /// What was to be reached.
    pub goals: Vec<Goal>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", crate::machine::described(), self.text.trim_end())?;
        if !self.goals.is_empty() {
            writeln!(f, "\n")?;
        }
        self.goals.iter().try_for_each(|goal| {
            let word = if goal.met { "reached" } else { "MISSED" };
            writeln!(f, "- {}: {} ({word})", goal.what, goal.measured)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figures: &[f64]) -> Sample {
        Sample(figures.to_vec())
    }

    #[test]
    fn a_sample_shows_its_median_and_its_ends() {
        assert_eq!(sample(&[3.0, 1.0, 2.0]).to_string(), "2.00 (1.00-3.00)");
        assert_eq!(sample(&[4.0, 1.0]).median(), 2.5);
        assert_eq!(sample(&[5.0]).to_string(), "5.00");
        assert_eq!(Sample::default().to_string(), "-");
    }

    #[test]
    fn a_number_has_about_three_digits() {
        let shown: Vec<String> = [0.0, 0.123, 12.34, 123.4, 12_345.6, -1_234_567.0].map(number).into();
        assert_eq!(shown, ["0", "0.12", "12.3", "123", "12,346", "-1,234,567"]);
    }

    #[test]
    fn a_goal_says_whether_it_was_reached() {
        assert!(Goal::at_most("RSS", 60.0, " MB", 59.9).met);
        let missed = Goal::at_least("ratio", 0.7, "x", 0.5);
        assert_eq!(
            (missed.what.as_str(), missed.measured.as_str(), missed.met),
            ("ratio >= 0.70x", "0.50x", false)
        );
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["1".into(), "2".into()]);
        assert_eq!(table.to_string(), "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
    }
}
