//! The operator.

mod api_key;
mod base_model;
mod contribution;
mod dataset;
mod deployment;
mod domain;
mod fine_tune;
mod objects;
mod pipeline;
mod report;
mod runs;
mod settlement;
#[cfg(test)]
mod testing;
mod watch;

fn main() {}
