//! Streams the usage log: each gateway's segments in order, every row once, the hash chain checked from where the
//! statement before left off. Memory holds one group of rows, whatever the log's size.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cooperator_contract::layout;
use cooperator_contract::settle::{GatewayProof, Period, UsageProof};
use cooperator_contract::usage::UsageRow;
use cooperator_core::digest::Digest;
use cooperator_store::Error as StoreError;
use cooperator_usage::chain::{Chain, Header, UsageLogError};
use cooperator_usage::chunk;
use cooperator_usage::hour::HourReader;
use cooperator_usage::key;

use crate::objects::Objects;
use crate::tally::{Tally, TooMany};

mod segments;

use segments::Segments;

/// Readings of one gateway's log before it is given up. A gateway may compact while it is read: what was listed is
/// then gone, and lies in an hour that was not listed.
const READINGS: u32 = 4;
/// Rows back from where the log was read to, whose heads are kept: more than two chunks hold, so that every chunk that
/// overlaps another is held against it.
const HEADS: usize = 16_384;

/// A log that cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Object storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not whole.
    #[error("{key}: {error}")]
    Log {
        /// Object, or the gateway's folder.
        key: String,
        /// What is wrong.
        error: UsageLogError,
    },
    /// Too much of it.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// No room for an hour on disk.
    #[error("no scratch file for an hour of usage ({0}); give the pod a writable /tmp")]
    Scratch(std::io::Error),
}

impl UsageError {
    /// Whether another look at the log may be whole.
    fn may_be_compaction(&self) -> bool {
        match self {
            Self::Store(error) => error.is_not_found(),
            Self::Log { error, .. } => matches!(error, UsageLogError::Gap { .. }),
            Self::TooMany(_) | Self::Scratch(_) => false,
        }
    }
}

/// Counts all rows before the period's end that no earlier statement has counted.
///
/// # Errors
/// [`UsageError`]: storage, or a log that is not whole.
pub async fn count<O: Objects>(
    objects: &O,
    period: &Period,
    counted: &[GatewayProof],
) -> Result<(Tally, UsageProof), UsageError> {
    let mut starts: BTreeMap<String, Chain> = BTreeMap::new();
    for GatewayProof { gateway, through_sequence, head } in counted {
        starts.insert(gateway.clone(), Chain::resume(gateway, *through_sequence, *head));
    }
    let keys = objects.list(layout::USAGE).await?;
    let gateways: BTreeSet<String> =
        keys.iter().filter_map(|key| key::parse(key)).map(|key| key.gateway).collect();
    for gateway in gateways {
        starts.entry(gateway).or_insert_with_key(|gateway| Chain::genesis(gateway));
    }
    let mut tally = Tally::default();
    let mut proofs = Vec::new();
    for (gateway, start) in starts {
        let (counted, end) = patiently(objects, period, &start).await?;
        tracing::info!(gateway, rows = counted.rows, through = end.through(), "usage log counted");
        tally.merge(counted)?;
        proofs.push(GatewayProof { gateway, through_sequence: end.through(), head: end.head() });
    }
    Ok((tally.clone(), proof(tally.rows, proofs)))
}

/// Proof of what was counted; `gateways` are sorted.
fn proof(rows: u64, gateways: Vec<GatewayProof>) -> UsageProof {
    let line =
        |proof: &GatewayProof| format!("{} {} {}\n", proof.gateway, proof.through_sequence, proof.head);
    let root_digest = Digest::of(gateways.iter().map(line).collect::<String>().as_bytes());
    UsageProof { rows, root_digest, gateways }
}

/// Reads one gateway's log, again where it was compacted meanwhile.
async fn patiently<O: Objects>(
    objects: &O,
    period: &Period,
    start: &Chain,
) -> Result<(Tally, Chain), UsageError> {
    let mut reading = 1;
    loop {
        match count_gateway(objects, period, start).await {
            Err(error) if error.may_be_compaction() && reading < READINGS => {
                tracing::info!(gateway = start.gateway(), %error, reading, "usage log is read again");
                reading += 1;
            }
            done => return done,
        }
    }
}

async fn count_gateway<O: Objects>(
    objects: &O,
    period: &Period,
    start: &Chain,
) -> Result<(Tally, Chain), UsageError> {
    let scratch = tempfile::tempdir().map_err(UsageError::Scratch)?;
    let segments = Segments::list(objects, start.gateway(), scratch.path()).await?;
    let mut count = Counting::begin(period, start);
    for hour in segments.hours_from(objects, period, start.through(), scratch.path()).await? {
        if count.done {
            break;
        }
        let file = segments::fetch(objects, hour, scratch.path()).await?;
        count.hour(file).map_err(|error| error.at(&hour.key))?;
    }
    for (index, chunk) in segments.chunks.iter().enumerate() {
        // After the period's end, what begins with rows that were counted is still held against them.
        if count.done && segments.first_of_chunk(index) > Some(count.chain.through()) {
            break;
        }
        if segments.last_of_chunk(index).is_some_and(|last| last <= count.chain.through()) {
            continue;
        }
        let bytes = objects.get(&chunk.key, &chunk.segment.digest).await?;
        count.chunk(&bytes).map_err(|error| error.at(&chunk.key))?;
    }
    Ok((count.tally, count.chain))
}

/// What goes wrong with one segment, before it is known which.
enum SegmentError {
    Log(UsageLogError),
    TooMany(TooMany),
}

impl SegmentError {
    fn at(self, key: &str) -> UsageError {
        match self {
            Self::Log(error) => UsageError::Log { key: key.to_owned(), error },
            Self::TooMany(error) => UsageError::TooMany(error),
        }
    }
}

impl From<UsageLogError> for SegmentError {
    fn from(error: UsageLogError) -> Self {
        Self::Log(error)
    }
}

impl From<TooMany> for SegmentError {
    fn from(error: TooMany) -> Self {
        Self::TooMany(error)
    }
}

/// One gateway's log as far as it was read.
struct Counting<'a> {
    period: &'a Period,
    tally: Tally,
    /// Through the last row counted.
    chain: Chain,
    /// A row after the period was seen: all later ones are after it too.
    done: bool,
    /// Heads after the last rows read, each with its sequence, without gaps.
    heads: VecDeque<(u64, Digest)>,
}

impl<'a> Counting<'a> {
    fn begin(period: &'a Period, start: &Chain) -> Self {
        let heads = VecDeque::from([(start.through(), start.head())]);
        Self { period, tally: Tally::default(), chain: start.clone(), done: false, heads }
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), SegmentError> {
        let (header, rows) = chunk::decode(bytes)?;
        self.agrees(&header)?;
        let mut link = self.link(&header)?;
        self.rows(rows, &mut link)?;
        Ok(link.finish(&header)?)
    }

    fn hour(&mut self, file: std::fs::File) -> Result<(), SegmentError> {
        let mut reader = HourReader::open(file)?;
        let header = reader.header().clone();
        self.agrees(&header)?;
        if header.last_sequence < self.chain.through() {
            return Ok(());
        }
        if reader.follows(&self.chain) {
            while let Some(rows) = reader.next_group()? {
                reader.heads().iter().for_each(|head| self.remember(*head));
                self.next_rows(rows, reader.chain())?;
            }
            return Ok(());
        }
        let mut link = self.link(&header)?;
        while let Some(rows) = reader.next_group()? {
            self.rows(rows, &mut link)?;
        }
        Ok(link.finish(&header)?)
    }

    /// Counts rows that follow, up to the period's end; `after` is the chain after the last of them, already checked.
    fn next_rows(&mut self, rows: Vec<UsageRow>, after: &Chain) -> Result<(), SegmentError> {
        if self.done {
            return Ok(());
        }
        // A log goes forward in time: the last row tells of all.
        if rows.last().is_none_or(|last| last.time < self.period.end) {
            rows.into_iter().try_for_each(|row| self.tally.add(row, self.period))?;
            self.chain = after.clone();
            return Ok(());
        }
        for row in rows {
            if row.time >= self.period.end {
                self.done = true;
                return Ok(());
            }
            self.chain.append(&row)?;
            self.tally.add(row, self.period)?;
        }
        Ok(())
    }

    /// Counts the rows that were not, up to the period's end. What follows is only checked.
    fn rows(&mut self, rows: Vec<UsageRow>, link: &mut Link) -> Result<(), SegmentError> {
        for row in rows {
            if row.sequence <= link.chain.through() {
                continue;
            }
            if !self.done && row.time >= self.period.end {
                self.done = true;
                self.chain = link.chain.clone();
            }
            link.chain.append(&row)?;
            self.remember((link.chain.through(), link.chain.head()));
            if !self.done {
                self.tally.add(row, self.period)?;
            }
        }
        if !self.done {
            self.chain = link.chain.clone();
        }
        Ok(())
    }

    /// Keeps the head after a row.
    fn remember(&mut self, head: (u64, Digest)) {
        if self.heads.back().is_none_or(|(last, _)| *last < head.0) {
            self.heads.push_back(head);
        }
        if self.heads.len() > HEADS {
            self.heads.pop_front();
        }
    }

    /// Whether a segment says of rows that were read what was read. The same event twice is one; with other fields it is
    /// an error, whichever of the two was read first.
    fn agrees(&self, header: &Header) -> Result<(), UsageLogError> {
        let Some((first, _)) = self.heads.front() else { return Ok(()) };
        let before = header.first_sequence.saturating_sub(1);
        for (sequence, expected) in [(before, header.previous), (header.last_sequence, header.head)] {
            let at = sequence.checked_sub(*first).and_then(|at| usize::try_from(at).ok());
            match at.and_then(|at| self.heads.get(at)) {
                Some((_, found)) if *found != expected => {
                    let (gateway, sequence) = (header.gateway.clone(), header.first_sequence);
                    return Err(UsageLogError::Broken { gateway, sequence, expected, found: *found });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins a segment where the log stands. A segment may begin with rows that were counted already.
    fn link(&self, header: &Header) -> Result<Link, UsageLogError> {
        let expected = self.chain.through().saturating_add(1);
        if header.gateway != self.chain.gateway() {
            return Err(UsageLogError::OtherGateway {
                gateway: self.chain.gateway().to_owned(),
                found: header.gateway.clone(),
                sequence: header.first_sequence,
            });
        }
        if header.first_sequence > expected {
            let gateway = header.gateway.clone();
            return Err(UsageLogError::Gap { gateway, expected, found: header.first_sequence });
        }
        Ok(Link { chain: self.chain.clone() })
    }
}

/// The chain carried on through all of a segment. Because the segment has proved that its rows end at its head,
/// arriving at the same head proves that the segment goes on from what was read before, also where they overlap.
struct Link {
    chain: Chain,
}

impl Link {
    fn finish(self, header: &Header) -> Result<(), UsageLogError> {
        let through = self.chain.through();
        if through == header.last_sequence && self.chain.head() != header.head {
            let (gateway, sequence) = (header.gateway.clone(), header.first_sequence);
            return Err(UsageLogError::Broken {
                gateway,
                sequence,
                expected: header.head,
                found: self.chain.head(),
            });
        }
        Ok(())
    }
}
