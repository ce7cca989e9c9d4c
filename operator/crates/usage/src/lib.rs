//! The usage log as it lies in object storage: what the gateway writes and the settlement reads.
//!
//! A log is one gateway's rows in the order of their sequence, hash-chained row by row ([`chain::Chain`]), so that
//! its head does not depend on how the rows are packed. It is packed in segments: [`chunk`]s of the write-ahead log
//! (NDJSON), later replaced by [`hour`]s (Parquet, readable by DuckDB, Spark or Trino). Every segment says where it
//! goes on from and proves itself when it is read. [`key`] tells what an object key holds.
//!
//! No Kubernetes, no async runtime, no I/O but the reader and writer it is given.

pub mod chain;
pub mod chunk;
pub mod hour;
pub mod key;
mod parquet_rows;
#[cfg(test)]
mod tests;
