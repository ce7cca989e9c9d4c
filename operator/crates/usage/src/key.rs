//! What an object key below `usage/` holds: the counterpart of [`cooperator_contract::layout`].

use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A segment by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// Whose log.
    pub gateway: String,
    /// What is packed in it.
    pub kind: SegmentKind,
    /// sha256 of the object's bytes.
    pub digest: Digest,
}

/// How rows are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Some rows.
    Chunk {
        /// Sequence of the first.
        first_sequence: u64,
    },
    /// All rows of an hour.
    Hour {
        /// Its first instant.
        start: Timestamp,
    },
}

/// Reads a key; none for anything that is not a segment.
pub fn parse(key: &str) -> Option<SegmentKey> {
    let (gateway, rest) = key.strip_prefix(layout::USAGE)?.split_once('/')?;
    let segment = |kind, hex: &str| {
        let digest = Digest::from_hex(hex).ok()?;
        Some(SegmentKey { gateway: gateway.to_owned(), kind, digest })
    };
    if let Some(name) = rest.strip_prefix("open/") {
        let (sequence, hex) = name.strip_suffix(".ndjson.zst")?.split_once('-')?;
        return segment(SegmentKind::Chunk { first_sequence: sequence.parse().ok()? }, hex);
    }
    let (hour, hex) = rest.strip_suffix(".parquet")?.split_once('-')?;
    let [year, month, day, hour] = hour.split('/').collect::<Vec<_>>().try_into().ok()?;
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    let hour: i8 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
    let start = TimeZone::UTC.to_timestamp(date.at(hour, 0, 0, 0)).ok()?;
    segment(SegmentKind::Hour { start }, hex)
}

/// The hour of a time, as [`layout::usage_hour`] takes it: `yyyy/mm/dd/hh`, UTC.
pub fn hour(time: Timestamp) -> String {
    civil(time).strftime("%Y/%m/%d/%H").to_string()
}

/// First instant of the hour that `time` lies in.
pub fn hour_start(time: Timestamp) -> Timestamp {
    let civil = civil(time);
    TimeZone::UTC.to_timestamp(civil.date().at(civil.hour(), 0, 0, 0)).unwrap_or(time)
}

fn civil(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time)
}
