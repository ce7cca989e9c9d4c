//! From works to a dataset: sources are read, texts cleaned and cut into records, duplicates dropped, a part held
//! out, and all of it written as blobs with a manifest.
//!
//! [`source`] knows where bytes come from and nothing of text; [`text`] is pure and knows nothing of storage;
//! [`ingest`] puts them together. Memory is bounded whatever the size of a source: files go to a work folder, are
//! read line by line, and leave as shards of at most [`ingest::SHARD_BYTES`].

pub mod ingest;
pub mod source;
pub mod text;
pub mod tokens;
