//! What was measured, in words and tables.

use std::fmt::Write as _;

use super::{Figures, MANY, Measured, Options, RUNS_OF_MANY};
use crate::figures::{Goal, Section, Table, number};

/// Bounds: megabytes with the story, megabytes at a size, part of the twin's at another.
const STORY: f64 = 60.0;
const THOUSAND: (usize, f64) = (1000, 150.0);
const PART: (usize, f64) = (10_000, 0.25);

/// The section of the results.
pub fn told(options: &Options, story: Option<&Figures>, measured: &[Measured], before: &str) -> Section {
    let mut text = format!(
        "One kube-apiserver and etcd on loopback, without nodes; memory is what the kernel holds for the process (VmRSS, \
         VmHWM), calls are what the API server counted but for the Lease. Each run begins with FineTunes whose conditions \
         were taken away and ends when all are written and nothing was written for {} s; both sides must have written the same. \
         Nine of ten FineTunes have their adapter, one waits. The twin is typed controller-runtime with informer caches, \
         managedFields stripped, as many workers. Runs a side, in turns: {}, from {MANY} FineTunes on {}. Load average at the beginning {before}.\n\n",
        super::SILENCE.as_secs(),
        options.runs,
        options.runs.min(RUNS_OF_MANY),
    );
    let mut goals = Vec::new();
    let columns =
        ["FineTunes", "side", "RSS MB", "peak RSS MB", "settled after s", "reads", "writes", "then, settled"];
    let mut table = Table::new(&columns);
    if let Some(figures) = story {
        table.row(row("a story", "operator", figures));
        goals.push(Goal::at_most("RSS with the story", STORY, " MB", figures.resident.median()));
    }
    for Measured { size, operator, twin } in measured {
        let name = number(*size as f64);
        table.row(row(&name, "operator", operator));
        table.row(row(&name, "twin", twin));
        let part = operator.resident.median() / twin.resident.median();
        let peak = operator.peak.median() / twin.peak.median();
        table.row([
            name.clone(),
            "operator / twin".into(),
            format!("{part:.2}x"),
            format!("{peak:.2}x"),
            format!("{:.2}x", operator.settled.median() / twin.settled.median()),
            format!("{:.1}x", operator.reads.median() / twin.reads.median().max(1.0)),
            format!("{:.2}x", operator.writes.median() / twin.writes.median().max(1.0)),
            String::new(),
        ]);
        if *size == THOUSAND.0 {
            goals.push(Goal::at_most(
                &format!("RSS with {name} FineTunes"),
                THOUSAND.1,
                " MB",
                operator.resident.median(),
            ));
        }
        if *size == PART.0 {
            goals.push(Goal::at_most(&format!("RSS of the twin's with {name} FineTunes"), PART.1, "x", part));
        }
    }
    let writes = measured.iter().map(|one| &one.operator).chain(story).filter_map(|figures| figures.quiet);
    let most = writes.map(|(_, _, writes)| writes).max().unwrap_or_default();
    goals.push(Goal::at_most(&format!("writes in {} s when settled", options.quiet), 0.0, "", most as f64));
    let _ = write!(text, "{table}");
    Section { name: "operator", text, goals }
}

fn row(size: &str, side: &str, figures: &Figures) -> [String; 8] {
    let quiet = figures.quiet.map_or_else(String::new, |(seconds, reads, writes)| {
        format!("{writes} writes, {reads} reads in {seconds} s")
    });
    [
        size.to_owned(),
        side.to_owned(),
        figures.resident.to_string(),
        figures.peak.to_string(),
        figures.settled.to_string(),
        figures.reads.to_string(),
        figures.writes.to_string(),
        quiet,
    ]
}
