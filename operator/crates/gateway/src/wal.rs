//! The write-ahead log of usage: what a caller gets the last byte of is on disk before.
//!
//! One thread writes ([`writer`]): it takes all rows that wait, numbers them, writes them and calls `fdatasync` once
//! for all. Segments are files named after their first sequence; a record is its length, its CRC-32 and the row as
//! JSON ([`record`]). After a crash a torn tail is cut off ([`segment`]), and the sequence goes on. [`upload`] brings
//! rows to object storage; a segment is deleted only when all its rows are there, and `checkpoint.json` then keeps
//! what they sum up to.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cooperator_contract::usage::UsageRow;
use cooperator_core::money::{Amount, Price};
use cooperator_core::time::Clock;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;

mod checkpoint;
mod compact;
mod record;
mod segment;
#[cfg(test)]
mod tests;
pub mod upload;
mod writer;

use segment::Closed;

/// A log that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A file or folder.
    #[error("usage log: {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A record that is not what was written, and not the torn tail of the last segment.
    #[error(
        "usage log: {path}: record at byte {offset} is damaged; restore the file, or move it away and correct the bill by hand"
    )]
    Damaged {
        /// Which file.
        path: String,
        /// Where.
        offset: u64,
    },
    /// Rows are missing between two segments.
    #[error(
        "usage log: {path}: begins at sequence {found} where {expected} must come; restore the segment between"
    )]
    Gap {
        /// Which file.
        path: String,
        /// Sequence that must come.
        expected: u64,
        /// Sequence that came.
        found: u64,
    },
    /// Another process writes to the folder.
    #[error(
        "usage log: {path}: another gateway has been writing here for {} s; give each a folder of its own",
        LOCK_PATIENCE.as_secs()
    )]
    Locked {
        /// The folder.
        path: String,
    },
    /// The writer has stopped after a failure; the process must start again.
    #[error("usage log: the writer has stopped; the gateway must start again")]
    Stopped,
}

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the segments; made when missing.
    pub folder: PathBuf,
    /// Prefix of the gateway id; with a random part it becomes the id of a new folder.
    pub replica: String,
    /// Bytes on disk above which no new billable work is admitted.
    pub disk_budget: u64,
    /// Bytes at which a segment is closed and the next begun; at most half the disk budget, since the one that is
    /// written to is never deleted.
    pub segment_bytes: u64,
}

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Wal {
    rows: mpsc::Sender<Append>,
    shared: Arc<Shared>,
}

/// A row that waits to be written, and who waits for it.
struct Append {
    row: UsageRow,
    done: oneshot::Sender<()>,
}

/// What the writer, the uploader and the request handlers share.
struct Shared {
    options: Options,
    gateway: String,
    /// Durable rows that object storage has not, in order.
    pending: Mutex<VecDeque<UsageRow>>,
    /// Closed segments, in order.
    closed: Mutex<VecDeque<Closed>>,
    bytes: AtomicU64,
    /// Sequence of the last row on disk.
    last: AtomicU64,
    waiting: AtomicI64,
    stopped: AtomicBool,
    metrics: Metrics,
}

/// How long a gateway that ends may still write to a folder that the next one opens.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// Rows that may wait for the writer before callers wait to hand theirs over.
const QUEUE: usize = 4096;

impl Wal {
    /// Opens the log of a folder, after a crash as well. Gives also what each key has spent by it, ever. Blocks on the
    /// disk, and for a while where another process still has the folder.
    ///
    /// # Errors
    /// [`WalError`]
    pub fn open(
        options: Options,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<(Self, Vec<(String, Amount)>), WalError> {
        let options =
            Options { segment_bytes: options.segment_bytes.min(options.disk_budget / 2).max(1), ..options };
        let lock = segment::lock(&options.folder, LOCK_PATIENCE)?;
        let recovered = segment::recover(&options)?;
        let shared = Arc::new(Shared {
            gateway: recovered.gateway,
            pending: Mutex::new(recovered.rows),
            bytes: AtomicU64::new(recovered.closed.iter().map(|closed| closed.bytes).sum()),
            closed: Mutex::new(recovered.closed),
            last: AtomicU64::new(recovered.last_sequence),
            waiting: AtomicI64::new(0),
            stopped: AtomicBool::new(false),
            options,
            metrics,
        });
        let (rows, queue) = mpsc::channel(QUEUE);
        let writer = writer::Writer::new(
            Arc::clone(&shared),
            lock,
            clock,
            recovered.last_sequence,
            recovered.last_time,
        )?;
        let thread = std::thread::Builder::new().name("usage-log".to_owned());
        let file = |source| WalError::File { path: shared.options.folder.display().to_string(), source };
        thread.spawn(move || writer.run(queue)).map_err(file)?;
        Ok((Self { rows, shared }, recovered.spent))
    }

    /// Id of this log, unique for ever: that of the pod and a random part made with the folder.
    pub fn gateway(&self) -> &str {
        &self.shared.gateway
    }

    /// Appends a row; its gateway, sequence and time are set by the log. Returns when it is on disk.
    ///
    /// # Errors
    /// [`WalError::Stopped`]: the row may be on disk or not, and nothing more is taken.
    pub async fn append(&self, row: UsageRow) -> Result<(), WalError> {
        let (done, written) = oneshot::channel();
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let result = match self.rows.send(Append { row, done }).await {
            Ok(()) => written.await.map_err(|_| WalError::Stopped),
            Err(_) => Err(WalError::Stopped),
        };
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Whether billable work may be begun: the writer lives and the disk budget is not used up.
    pub fn admits(&self) -> bool {
        !self.stopped() && self.shared.bytes.load(Ordering::Relaxed) < self.shared.options.disk_budget
    }

    /// Whether the writer has stopped after a failure.
    pub fn stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Rows that wait to be written.
    pub fn waiting(&self) -> i64 {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Rows on disk that object storage has not.
    pub fn pending(&self) -> usize {
        self.shared.pending().len()
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, VecDeque<UsageRow>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> MutexGuard<'_, VecDeque<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row costs, by its own prices; nothing if they cannot be read, which a gateway never writes.
fn cost(row: &UsageRow) -> Amount {
    let amount = |price: &str, tokens| price.parse::<Price>().map(|price| price.amount(tokens));
    let sum =
        || amount(&row.price.input, row.input_tokens)?.plus(amount(&row.price.output, row.output_tokens)?);
    sum().unwrap_or_default()
}
