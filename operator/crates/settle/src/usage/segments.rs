//! Which of a gateway's objects are read, and in which order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use cooperator_contract::layout;
use cooperator_contract::settle::Period;
use cooperator_usage::hour::HourReader;
use cooperator_usage::key::{self, SegmentKey, SegmentKind};
use jiff::Timestamp;

use super::{SegmentError, UsageError};
use crate::objects::Objects;

/// An object of the log.
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) segment: SegmentKey,
}

/// A gateway's objects, each list in the order of its rows.
pub(super) struct Segments {
    hours: Vec<(Timestamp, Stored)>,
    pub(super) chunks: Vec<Stored>,
    firsts: Vec<u64>,
}

impl Segments {
    /// Lists what there is now.
    pub(super) async fn list<O: Objects>(
        objects: &O,
        gateway: &str,
        scratch: &Path,
    ) -> Result<Self, UsageError> {
        let keys = objects.list(&format!("{}{gateway}/", layout::USAGE)).await?;
        let (mut hours, mut chunks) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(segment) = key::parse(&key) else {
                tracing::warn!(key, "not a usage segment, passed over");
                continue;
            };
            match segment.kind {
                SegmentKind::Hour { start } => hours.push((start, Stored { key, segment })),
                SegmentKind::Chunk { first_sequence } => {
                    chunks.push((first_sequence, Stored { key, segment }))
                }
            }
        }
        hours.sort_by_key(|(start, _)| *start);
        order_equal(objects, &mut hours, scratch).await?;
        chunks.sort_by_key(|(first, _)| *first);
        let (firsts, chunks) = chunks.into_iter().unzip();
        Ok(Self { hours, chunks, firsts })
    }

    /// The first sequence of a chunk.
    pub(super) fn first_of_chunk(&self, index: usize) -> Option<u64> {
        self.firsts.get(index).copied()
    }

    /// The last sequence of a chunk, as far as the next one tells it. One that begins where this does is no next one.
    pub(super) fn last_of_chunk(&self, index: usize) -> Option<u64> {
        let first = self.firsts.get(index)?;
        self.firsts.iter().skip(index).find(|next| *next > first).map(|next| next.saturating_sub(1))
    }

    /// The hours that can hold rows above `through` and before the period's end. A log goes forward in time, so
    /// late rows are in the hours just before the period: those are opened, newest first, until one begins with
    /// rows that were counted.
    pub(super) async fn hours_from<O: Objects>(
        &self,
        objects: &O,
        period: &Period,
        through: u64,
        scratch: &Path,
    ) -> Result<Vec<&Stored>, UsageError> {
        let begin = key::hour_start(period.start);
        let mut from = self.hours.partition_point(|(start, _)| *start < begin);
        let to = self.hours.partition_point(|(start, _)| *start < period.end);
        while from > 0 && through > 0 {
            if let Some((_, hour)) = self.hours.get(from)
                && first_sequence(objects, hour, scratch).await? <= through.saturating_add(1)
            {
                break;
            }
            from -= 1;
        }
        let from = if through == 0 { 0 } else { from };
        Ok(self.hours.iter().take(to).skip(from).map(|(_, hour)| hour).collect())
    }
}

/// Orders objects of the same hour by their rows: a clock that was set back after an hour was packed makes a second.
async fn order_equal<O: Objects>(
    objects: &O,
    hours: &mut [(Timestamp, Stored)],
    scratch: &Path,
) -> Result<(), UsageError> {
    for same in hours.chunk_by_mut(|(a, _), (b, _)| a == b).filter(|same| same.len() > 1) {
        let mut firsts = BTreeMap::new();
        for (_, hour) in same.iter() {
            firsts.insert(hour.key.clone(), first_sequence(objects, hour, scratch).await?);
        }
        same.sort_by_key(|(_, hour)| firsts.get(&hour.key).copied());
    }
    Ok(())
}

async fn first_sequence<O: Objects>(objects: &O, hour: &Stored, scratch: &Path) -> Result<u64, UsageError> {
    let file = fetch(objects, hour, scratch).await?;
    let reader = HourReader::open(file).map_err(|error| SegmentError::from(error).at(&hour.key))?;
    Ok(reader.header().first_sequence)
}

/// Brings an hour into the scratch folder and opens it; the file is gone when it is closed.
pub(super) async fn fetch<O: Objects>(
    objects: &O,
    hour: &Stored,
    scratch: &Path,
) -> Result<File, UsageError> {
    let path = scratch.join("hour.parquet");
    objects.fetch(&hour.key, &hour.segment.digest, &path).await?;
    let file = File::open(&path).map_err(UsageError::Scratch)?;
    std::fs::remove_file(&path).map_err(UsageError::Scratch)?;
    Ok(file)
}
