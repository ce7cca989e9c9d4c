//! The one thread that writes the log, many rows by one `fdatasync`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cooperator_core::time::{Clock, Timestamp};
use cooperator_usage::chain::whole_microsecond;
use tokio::sync::mpsc;

use super::segment::{Closed, create, file_error};
use super::{Append, Shared, WalError, record};

/// Rows of one `fdatasync` at most.
const BATCH: usize = 1024;

pub struct Writer {
    shared: Arc<Shared>,
    /// Held as long as this may write.
    _lock: File,
    clock: Arc<dyn Clock>,
    sequence: u64,
    /// The log never goes back in time, whatever the clock does.
    time: Timestamp,
    path: PathBuf,
    file: File,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        lock: File,
        clock: Arc<dyn Clock>,
        sequence: u64,
        time: Timestamp,
    ) -> Result<Self, WalError> {
        let (path, file) = create(&shared.options.folder, sequence + 1)?;
        Ok(Self { shared, _lock: lock, clock, sequence, time, path, file, bytes: 0, buffer: Vec::new() })
    }

    /// Writes until every handle is gone, or a write fails: what is on disk after a failed `fdatasync` cannot be
    /// known without reading it anew, so the process has to start again.
    pub fn run(mut self, mut queue: mpsc::Receiver<Append>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            let written = self.write(&mut batch).and_then(|()| self.close_full_segment());
            if let Err(error) = written {
                tracing::error!(%error, "usage log cannot be written: no more billable work is taken");
                self.shared.stopped.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    fn write(&mut self, batch: &mut Vec<Append>) -> Result<(), WalError> {
        self.time = self.time.max(whole_microsecond(self.clock.now()));
        self.buffer.clear();
        for Append { row, .. } in batch.iter_mut() {
            self.sequence += 1;
            row.gateway.clone_from(&self.shared.gateway);
            row.sequence = self.sequence;
            row.time = self.time;
            record::encode(row, &mut self.buffer).map_err(|error| file_error(&self.path, error.into()))?;
        }
        let start = Instant::now();
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        written.map_err(|error| file_error(&self.path, error))?;
        self.shared.metrics.fsync.observe(start.elapsed().as_secs_f64());
        let bytes = self.buffer.len() as u64;
        self.bytes += bytes;
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.last.store(self.sequence, Ordering::Relaxed);
        let mut pending = self.shared.pending();
        for Append { row, done } in batch.drain(..) {
            pending.push_back(row);
            // Whoever waited may have left; the row stands all the same.
            let _ = done.send(());
        }
        drop(pending);
        Ok(())
    }

    /// At once, not with the next row: a full log admits none, and only closed segments are ever deleted.
    fn close_full_segment(&mut self) -> Result<(), WalError> {
        if self.bytes < self.shared.options.segment_bytes {
            return Ok(());
        }
        let (path, file) = create(&self.shared.options.folder, self.sequence + 1)?;
        let path = std::mem::replace(&mut self.path, path);
        self.file = file;
        let bytes = std::mem::take(&mut self.bytes);
        self.shared.closed().push_back(Closed { path, last_sequence: self.sequence, bytes });
        Ok(())
    }
}
