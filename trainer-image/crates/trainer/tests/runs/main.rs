//! Whole runs against an object storage in this process: what goes in is a run file, what is looked at is the outcome
//! and what lies in the bucket afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod brokered;
mod import;
mod ingest;
mod interrupted;
mod overtaken;
mod preflight;
mod texts;
mod train;
mod verdict;
mod world;
