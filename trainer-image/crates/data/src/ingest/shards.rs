//! Records as blobs of JSON lines.

use bytes::Bytes;
use cooperator_contract::canonical;
use cooperator_contract::manifest::{Record, Shard};
use cooperator_store::Store;

use super::{IngestError, SHARD_BYTES};

/// Fills one shard after another; the same records in the same order make the same shards.
pub(super) struct Shards {
    store: Store,
    lines: Vec<u8>,
    records: u64,
    tokens: u64,
    written: Vec<Shard>,
}

impl Shards {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), lines: Vec::new(), records: 0, tokens: 0, written: Vec::new() }
    }

    pub(super) async fn push(&mut self, record: &Record) -> Result<(), IngestError> {
        let mut line = canonical(record).map_err(|error| IngestError::Internal(error.to_string()))?;
        line.push(b'\n');
        if self.lines.len() + line.len() > SHARD_BYTES {
            self.flush().await?;
        }
        self.lines.append(&mut line);
        self.records += 1;
        self.tokens += u64::from(record.tokens);
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Vec<Shard>, IngestError> {
        self.flush().await?;
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<(), IngestError> {
        if self.records == 0 {
            return Ok(());
        }
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        let bytes = lines.len() as u64;
        let digest = self.store.put_blob(lines).await?;
        self.written.push(Shard { digest, bytes, records: self.records, tokens: self.tokens });
        (self.records, self.tokens) = (0, 0);
        Ok(())
    }
}
