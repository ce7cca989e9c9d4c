//! Hours: all rows of a gateway's hour in one Parquet file (zstd), whose key-value metadata is the [`Header`].

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cooperator_contract::usage::UsageRow;
use cooperator_core::digest::Digest;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;

use crate::chain::{Chain, Header, UsageLogError};
use crate::parquet_rows;

/// Rows held in memory at once, on both sides.
pub const GROUP_ROWS: usize = 32_768;
/// Where the header lies in the file's metadata.
const HEADER_KEY: &str = "cooperator.usage";

/// Packs rows into one Parquet file, group by group.
pub struct HourWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    before: Chain,
    chain: Chain,
    group: Vec<UsageRow>,
}

impl<W: Write + Send> HourWriter<W> {
    /// A file of the rows that follow `chain`.
    ///
    /// # Errors
    /// [`UsageLogError::Malformed`] if `file` cannot be written.
    pub fn new(file: W, chain: &Chain) -> Result<Self, UsageLogError> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let file = SerializedFileWriter::new(file, parquet_rows::schema()?, properties).map_err(malformed)?;
        Ok(Self { file, before: chain.clone(), chain: chain.clone(), group: Vec::new() })
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// [`UsageLogError`] if it is not the next one, or `file` cannot be written.
    pub fn push(&mut self, row: UsageRow) -> Result<(), UsageLogError> {
        self.chain.append(&row)?;
        self.group.push(row);
        if self.group.len() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what is left and the header. The chain after the last row comes back with the header and the writer.
    ///
    /// # Errors
    /// [`UsageLogError::Empty`] without a row; [`UsageLogError::Malformed`] if `file` cannot be written.
    pub fn finish(mut self) -> Result<(Header, Chain, W), UsageLogError> {
        let header = Header::between(&self.before, &self.chain)?;
        self.flush()?;
        let text =
            serde_json::to_string(&header).map_err(|error| UsageLogError::Malformed(error.to_string()))?;
        self.file.append_key_value_metadata(KeyValue::new(HEADER_KEY.to_owned(), text));
        let file = self.file.into_inner().map_err(malformed)?;
        Ok((header, self.chain, file))
    }

    fn flush(&mut self) -> Result<(), UsageLogError> {
        if !self.group.is_empty() {
            parquet_rows::write_group(&mut self.file, &self.group).map_err(malformed)?;
            self.group.clear();
        }
        Ok(())
    }
}

/// Reads an hour group by group, checking the chain as it goes.
pub struct HourReader<R: ChunkReader + 'static> {
    file: SerializedFileReader<R>,
    header: Header,
    chain: Chain,
    heads: Vec<(u64, Digest)>,
    next: usize,
}

impl<R: ChunkReader + 'static> HourReader<R> {
    /// Reads the header only.
    ///
    /// # Errors
    /// [`UsageLogError::Malformed`] if it is not a Parquet file with our header.
    pub fn open(file: R) -> Result<Self, UsageLogError> {
        let file = guarded(|| SerializedFileReader::new(file).map_err(malformed))?;
        let pairs = file.metadata().file_metadata().key_value_metadata();
        let text = pairs
            .into_iter()
            .flatten()
            .find(|pair| pair.key == HEADER_KEY)
            .and_then(|pair| pair.value.as_deref());
        let missing = || UsageLogError::Malformed(format!("Parquet metadata has no `{HEADER_KEY}`"));
        let header: Header = serde_json::from_str(text.ok_or_else(missing)?)
            .map_err(|error| UsageLogError::Malformed(format!("Parquet metadata `{HEADER_KEY}`: {error}")))?;
        let chain = header.before();
        Ok(Self { file, header, chain, heads: Vec::new(), next: 0 })
    }

    /// What the file says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the hour goes on just where `chain` stands. If so it is checked from there, so that one computation shows
    /// both that the hour is whole and that it follows; else from where the hour itself says. To be asked before the
    /// first group.
    pub fn follows(&mut self, chain: &Chain) -> bool {
        let follows = self.header.follows(chain);
        if follows {
            self.chain = chain.clone();
        }
        follows
    }

    /// The chain after the last group that was read.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Sequence and head after each row of the last group that was read.
    pub fn heads(&self) -> &[(u64, Digest)] {
        &self.heads
    }

    /// The next rows, at most a group of them, already checked; none after the last.
    ///
    /// # Errors
    /// [`UsageLogError`] where the rows are not those that were chained. After an error read no further.
    pub fn next_group(&mut self) -> Result<Option<Vec<UsageRow>>, UsageLogError> {
        if self.next == self.file.num_row_groups() {
            self.header.check_end(&self.chain)?;
            return Ok(None);
        }
        let group = || parquet_rows::read_group(&*self.file.get_row_group(self.next).map_err(malformed)?);
        let rows = guarded(group)?;
        self.heads.clear();
        for row in &rows {
            self.chain.append(row)?;
            self.heads.push((self.chain.through(), self.chain.head()));
        }
        self.next += 1;
        Ok(Some(rows))
    }
}

/// The Parquet library asserts some of what a file says of itself: its panic is a malformed file, like any other.
fn guarded<T>(read: impl FnOnce() -> Result<T, UsageLogError>) -> Result<T, UsageLogError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(UsageLogError::Malformed("its Parquet columns contradict each other".to_owned()))
    })
}

fn malformed(error: parquet::errors::ParquetError) -> UsageLogError {
    UsageLogError::Malformed(error.to_string())
}
