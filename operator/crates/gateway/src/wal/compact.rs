//! Makes one Parquet file of an hour's chunks, by the only gateway that writes them, and deletes them then.

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_usage::chain::Chain;
use cooperator_usage::hour::HourWriter;
use cooperator_usage::{chunk, key};

use super::upload::{OpenChunk, UploadError, Uploader};

/// How long after its end an hour is compacted: no row of it can then be on its way from the writer.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Compacts every hour that is over.
pub async fn closed_hours(uploader: &mut Uploader) -> Result<(), UploadError> {
    while let Some(hour) = uploader.open.front().map(|chunk| chunk.hour) {
        if uploader.clock.now() < later(later(hour, HOUR), MARGIN) {
            break;
        }
        one_hour(uploader, hour).await?;
    }
    Ok(())
}

async fn one_hour(uploader: &mut Uploader, hour: Timestamp) -> Result<(), UploadError> {
    let chunks: Vec<OpenChunk> =
        uploader.open.iter().take_while(|chunk| chunk.hour == hour).cloned().collect();
    let Some(first) = chunks.first().map(|chunk| &chunk.header) else { return Ok(()) };
    let before = Chain::resume(uploader.gateway(), first.first_sequence.saturating_sub(1), first.previous);
    let mut writer = HourWriter::new(Vec::new(), &before)?;
    for chunk in &chunks {
        let (_, rows) = chunk::decode(&uploader.store.get(&chunk.key).await?)?;
        for row in rows {
            writer.push(row)?;
        }
        tokio::task::yield_now().await;
    }
    let (_, _, bytes) = writer.finish()?;
    let name = layout::usage_hour(uploader.gateway(), &key::hour(hour), &Digest::of(&bytes));
    uploader.store.put(&name, Bytes::from(bytes)).await?;
    for chunk in chunks {
        // From here on the hour holds these rows; a chunk that stays behind is found and deleted at the next start.
        uploader.open.pop_front();
        uploader.store.delete(&chunk.key).await?;
    }
    Ok(())
}
