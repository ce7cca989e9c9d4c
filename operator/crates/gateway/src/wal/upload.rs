//! Brings the log to object storage: chunks within the interval, whole hours later.
//!
//! Where the chain goes on is read from object storage itself, so that a chunk whose answer was lost is neither
//! missing nor there twice. A chunk that failed is sent again with the very same bytes and key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::usage::UsageRow;
use cooperator_core::digest::Digest;
use cooperator_core::time::{Clock, Timestamp};
use cooperator_store::Store;
use cooperator_usage::chain::{Chain, Header, UsageLogError};
use cooperator_usage::chunk;
use cooperator_usage::hour::HourReader;
use cooperator_usage::key::{SegmentKind, hour_start, parse};
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{Wal, WalError, compact, segment};

/// An upload that failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Object storage.
    #[error(transparent)]
    Store(#[from] cooperator_store::Error),
    /// Rows that do not chain.
    #[error(transparent)]
    Log(#[from] UsageLogError),
    /// Segments on disk.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// An object with another row than the disk has at its sequence.
    #[error(
        "usage log: {key}: row {sequence} is not the one on disk; somebody else has written there: move the object away, or the bill is wrong"
    )]
    Altered {
        /// The object.
        key: String,
        /// Of the row.
        sequence: u64,
    },
    /// The blocking pool.
    #[error("usage log: work on a thread of its own did not end ({0})")]
    Task(#[from] tokio::task::JoinError),
}

/// Chunks that are fetched at once after a start: nothing is uploaded before all of them were seen.
const FETCHES: usize = 8;
/// Rows of a chunk at most: about 2 MiB.
const CHUNK_ROWS: usize = 5000;

/// The only writer of this gateway's usage objects.
pub struct Uploader {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) open: VecDeque<OpenChunk>,
    /// Chunks whose rows an hour holds, still to be deleted.
    pub(super) compacted: VecDeque<String>,
    wal: Wal,
    chain: Option<Chain>,
    sending: Option<Sending>,
}

/// A chunk that lies in object storage and is not compacted.
#[derive(Clone, Debug)]
pub(super) struct OpenChunk {
    pub key: String,
    pub header: Header,
    /// First instant of its hour.
    pub hour: Timestamp,
}

/// A chunk that is under way.
struct Sending {
    chunk: OpenChunk,
    bytes: Bytes,
    after: Chain,
}

impl Uploader {
    /// For a log and the bucket of its Collective.
    pub fn new(wal: Wal, store: Store, clock: Arc<dyn Clock>) -> Self {
        let (open, compacted) = (VecDeque::new(), VecDeque::new());
        Self { store, clock, open, compacted, wal, chain: None, sending: None }
    }

    pub(super) fn gateway(&self) -> &str {
        self.wal.gateway()
    }

    /// Uploads every `interval` until `stop`, then once more all there is, for `patience` at most.
    pub async fn run(mut self, interval: Duration, patience: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, rows = self.wal.pending(), "usage could not be uploaded; it stays on disk and is tried again");
            }
        }
        let last = async {
            while let Err(error) = self.flush().await {
                tracing::warn!(%error, rows = self.wal.pending(), "usage could not be uploaded before the end; trying again");
                tokio::time::sleep(interval).await;
            }
        };
        if tokio::time::timeout(patience, last).await.is_err() {
            tracing::error!(
                rows = self.wal.pending(),
                "usage is left on this pod's disk only: object storage did not take it in time"
            );
        }
    }

    /// Uploads what there is, compacts closed hours, deletes what is no longer needed on disk.
    ///
    /// # Errors
    /// [`UploadError`]; calling again goes on where it stopped.
    pub async fn tick(&mut self) -> Result<(), UploadError> {
        self.flush().await?;
        compact::closed_hours(self).await
    }

    /// Uploads what there is.
    ///
    /// # Errors
    /// [`UploadError`]; calling again goes on where it stopped.
    pub async fn flush(&mut self) -> Result<(), UploadError> {
        if self.chain.is_none() {
            self.chain = Some(self.discover().await?);
        }
        while let Some((key, bytes)) = self.next().await? {
            self.store.put(&key, bytes).await?;
            let Some(Sending { chunk, after, .. }) = self.sending.take() else { break };
            let through = after.through();
            self.chain = Some(after);
            self.open.push_back(chunk);
            self.forget(through).await?;
        }
        // Also when there was nothing to upload: a segment may have been closed after its last row was.
        match self.chain.as_ref().map(Chain::through) {
            Some(through) => self.forget(through).await,
            None => Ok(()),
        }
    }

    /// The chunk under way, or the next one: rows of one hour.
    async fn next(&mut self) -> Result<Option<(String, Bytes)>, UploadError> {
        if self.sending.is_none() {
            let Some(chain) = &self.chain else { return Ok(None) };
            let rows = self.wal.shared.next_rows(chain.through());
            let Some(first) = rows.first() else { return Ok(None) };
            let hour = hour_start(first.time);
            let mut after = chain.clone();
            // Hashing and packing thousands of rows takes milliseconds, in which this thread would answer nobody.
            let encode =
                move || chunk::encode(&mut after, &rows).map(|(header, bytes)| (after, header, bytes));
            let (after, header, bytes) = tokio::task::spawn_blocking(encode).await??;
            let key = layout::usage_chunk(self.wal.gateway(), header.first_sequence, &Digest::of(&bytes));
            self.sending =
                Some(Sending { chunk: OpenChunk { key, header, hour }, bytes: bytes.into(), after });
        }
        Ok(self.sending.as_ref().map(|sending| (sending.chunk.key.clone(), sending.bytes.clone())))
    }

    /// Drops rows up to `through` from memory, and segments from the disk.
    async fn forget(&self, through: u64) -> Result<(), UploadError> {
        let shared = Arc::clone(&self.wal.shared);
        let uploaded = |row: &UsageRow| row.sequence <= through;
        {
            let mut pending = shared.pending();
            while pending.front().is_some_and(uploaded) {
                pending.pop_front();
            }
        }
        tokio::task::spawn_blocking(move || segment::forget(&shared, through)).await??;
        Ok(())
    }

    /// Where the log in object storage ends. Chunks that an hour holds already are deleted.
    async fn discover(&mut self) -> Result<Chain, UploadError> {
        let gateway = self.wal.gateway().to_owned();
        let (mut hours, mut chunks) = (Vec::new(), Vec::new());
        for object in self.store.list(&format!("{}{gateway}/", layout::USAGE)).await? {
            match parse(&object.key).map(|segment| segment.kind) {
                Some(SegmentKind::Hour { start }) => hours.push((start, object.key)),
                Some(SegmentKind::Chunk { first_sequence }) => chunks.push((first_sequence, object.key)),
                None => {}
            }
        }
        let mut chain = self.last_hour(&hours).await?;
        chunks.sort();
        self.open.clear();
        let store = self.store.clone();
        let mut fetched = stream::iter(chunks)
            .map(|(_, key)| async { store.get(&key).await.map(|packed| (key, packed)) })
            .buffered(FETCHES);
        while let Some(fetched) = fetched.next().await {
            let (key, packed) = fetched?;
            let (header, rows) = chunk::decode(&packed)?;
            self.wal.shared.agree(&key, header.last_sequence, &rows)?;
            // Also one that arrived late, when a longer one had been sent in its place.
            if header.last_sequence <= chain.through() {
                self.store.delete(&key).await?;
                continue;
            }
            chain = Chain::resume(&gateway, header.last_sequence, header.head);
            let hour = rows.first().map_or(Timestamp::UNIX_EPOCH, |row| hour_start(row.time));
            self.open.push_back(OpenChunk { key, header, hour });
        }
        self.forget(chain.through()).await?;
        Ok(chain)
    }

    /// The chain after all hours. Of one hour there are two objects where the clock was set back after the first.
    async fn last_hour(&self, hours: &[(Timestamp, String)]) -> Result<Chain, UploadError> {
        let mut chain = Chain::genesis(self.wal.gateway());
        let last = hours.iter().map(|(start, _)| *start).max();
        for (_, key) in hours.iter().filter(|(start, _)| Some(*start) == last) {
            let header = HourReader::open(self.store.get(key).await?)?.header().clone();
            self.wal.shared.agree(key, header.last_sequence, &[])?;
            if header.last_sequence > chain.through() {
                chain = Chain::resume(self.wal.gateway(), header.last_sequence, header.head);
            }
        }
        Ok(chain)
    }
}

impl super::Shared {
    /// Whether an object says of our rows what the disk says: of those still there, and of how many there are. A disk
    /// that was set back to an older state would give a number out twice.
    fn agree(&self, key: &str, last_sequence: u64, rows: &[UsageRow]) -> Result<(), UploadError> {
        let altered = |sequence| Err(UploadError::Altered { key: key.to_owned(), sequence });
        let known = self.last.load(Ordering::Relaxed);
        if last_sequence > known {
            return altered(known + 1);
        }
        let pending = self.pending();
        let Some(first) = pending.front().map(|row| row.sequence) else { return Ok(()) };
        for row in rows.iter().filter(|row| row.sequence >= first) {
            let at = usize::try_from(row.sequence - first).unwrap_or(usize::MAX);
            if pending.get(at) != Some(row) {
                return altered(row.sequence);
            }
        }
        Ok(())
    }

    /// The rows after a sequence that go into one chunk.
    fn next_rows(&self, through: u64) -> Vec<UsageRow> {
        let pending = self.pending();
        let mut rows = pending.iter().skip_while(|row| row.sequence <= through).peekable();
        let Some(hour) = rows.peek().map(|row| hour_start(row.time)) else { return Vec::new() };
        rows.take_while(|row| hour_start(row.time) == hour).take(CHUNK_ROWS).cloned().collect()
    }
}
