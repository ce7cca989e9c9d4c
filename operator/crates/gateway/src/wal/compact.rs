//! Makes one Parquet file of an hour's chunks, by the only gateway that writes them, and deletes them then.

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use cooperator_core::time::{SignedDuration, Timestamp, later};
use cooperator_usage::chain::Chain;
use cooperator_usage::hour::HourWriter;
use cooperator_usage::{chunk, key};
use tokio::task::spawn_blocking;

use super::upload::{OpenChunk, UploadError, Uploader};

/// How long after its end an hour is compacted: no row of it can then be on its way from the writer.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Compacts every hour that is over.
pub async fn closed_hours(uploader: &mut Uploader) -> Result<(), UploadError> {
    delete(uploader).await?;
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
    let mut through = before.through();
    for chunk in &chunks {
        let packed = uploader.store.get(&chunk.key).await?;
        (writer, through) = spawn_blocking(move || add(writer, through, &packed)).await??;
    }
    let (_, _, bytes) = spawn_blocking(|| writer.finish()).await??;
    let name = layout::usage_hour(uploader.gateway(), &key::hour(hour), &Digest::of(&bytes));
    uploader.store.put(&name, Bytes::from(bytes)).await?;
    // From here on the hour holds these rows: were some of them compacted again, they would be there twice.
    let done = uploader.open.drain(..chunks.len()).map(|chunk| chunk.key);
    uploader.compacted.extend(done);
    delete(uploader).await
}

/// Adds a chunk's rows after `through`, and says which is the last now. Two chunks may hold the same rows: one that was
/// under way when its writer was killed may arrive late.
fn add(
    mut writer: HourWriter<Vec<u8>>,
    through: u64,
    packed: &[u8],
) -> Result<(HourWriter<Vec<u8>>, u64), UploadError> {
    let (_, rows) = chunk::decode(packed)?;
    let mut last = through;
    for row in rows.into_iter().filter(|row| row.sequence > through) {
        last = row.sequence;
        writer.push(row)?;
    }
    Ok((writer, last))
}

/// Deletes the chunks that hours hold. One that stays behind is tried again, or found at the next start.
async fn delete(uploader: &mut Uploader) -> Result<(), UploadError> {
    while let Some(key) = uploader.compacted.front() {
        uploader.store.delete(key).await?;
        uploader.compacted.pop_front();
    }
    Ok(())
}
