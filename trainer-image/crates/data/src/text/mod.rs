//! From files to records: pure, line by line, in bounded memory.
//!
//! A file becomes documents (a JSONL row, or a stretch of plain text), a document is normalised and cut into records
//! that the base model's tokenizer counts as at most so many tokens.

mod formats;
mod normalise;
mod read;
mod row;
mod split;

pub use normalise::normalise;
pub use read::{MAX_LINE, ReadError, documents};
pub use split::split;
