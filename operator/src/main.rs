//! The operator.

mod base_model;
mod contribution;
mod dataset;
mod domain;
mod fine_tune;
mod pipeline;
mod report;
mod runs;
mod settlement;
#[cfg(test)]
mod testing;
mod watch;

fn main() {}
