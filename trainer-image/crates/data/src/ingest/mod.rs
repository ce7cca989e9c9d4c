//! Building a dataset version: every contribution read, cleaned, cut, de-duplicated, partly held out, and written as
//! shards; the manifest last. The same inputs give the same digest, whatever order they are named in.

mod select;
mod shards;

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use cooperator_contract::layout;
use cooperator_contract::manifest::{ContributionCount, DatasetManifest, ModelManifest, Record, Shard};
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::run::{IngestContribution, IngestTask, TextOptions};
use cooperator_core::digest::Digest;
use cooperator_store::Store;
use tokio::sync::mpsc;

use crate::source::{Fetched, Reader, SourceError};
use crate::text::{ReadError, documents, normalise, split};
use crate::tokens::{Tokens, TokensError};
use select::{Seen, is_held_out};
use shards::Shards;

/// Largest shard in bytes, 8 MiB, unless one record alone is larger.
pub const SHARD_BYTES: usize = 8 << 20;
/// Records on their way from the thread that cuts to the task that uploads.
const IN_FLIGHT: usize = 256;

/// Why a dataset could not be built.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A source that cannot be read.
    #[error("contribution `{contribution}`: {cause}")]
    Source {
        /// Its name.
        contribution: String,
        /// Why.
        cause: SourceError,
    },
    /// A file that is not the text it should be.
    #[error("contribution `{contribution}`: {cause}")]
    Text {
        /// Its name.
        contribution: String,
        /// Why.
        cause: ReadError,
    },
    /// The base model's tokenizer.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The base model is not what its manifest must be.
    #[error("base model {digest} has no tokenizer.json; import it again")]
    NoTokenizer {
        /// The base model.
        digest: Digest,
    },
    /// Nothing left to train on.
    #[error(
        "no record is left to train on after cleaning, de-duplication and holding out: \
         add contributions or lower spec.holdout.basisPoints"
    )]
    NoRecords,
    /// The Collective's storage.
    #[error(transparent)]
    Store(#[from] cooperator_store::Error),
    /// The work folder.
    #[error("work folder: {0}")]
    Disk(std::io::Error),
    /// A fault of ours.
    #[error("internal: {0}")]
    Internal(String),
}

impl IngestError {
    /// The condition reason for it.
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Source { cause, .. } => cause.reason(),
            Self::Text { cause: ReadError::Io { .. }, .. } | Self::Disk(_) | Self::Internal(_) => {
                FailureReason::Internal
            }
            Self::Text { .. } => FailureReason::SourceUnreadable,
            Self::Tokens(_) | Self::NoTokenizer { .. } => FailureReason::UnsupportedModel,
            Self::NoRecords => FailureReason::NoRecords,
            Self::Store(cooperator_store::Error::Corrupt { .. }) => FailureReason::DigestMismatch,
            Self::Store(cooperator_store::Error::NotFound { .. }) => FailureReason::SourceNotFound,
            Self::Store(_) => FailureReason::StorageUnavailable,
        }
    }
}

/// Builds the dataset and returns its manifest's digest. Files lie below `work` while they are read. `progress` is
/// told how many of the contributions are done.
///
/// # Errors
/// [`IngestError`]; no manifest is written then.
pub async fn ingest(
    task: &IngestTask,
    store: &Store,
    reader: &Reader,
    work: &Path,
    progress: impl Fn(usize, usize) + Send,
) -> Result<Digest, IngestError> {
    let tokens = Arc::new(tokenizer(store, &task.base_model).await?);
    let mut contributions: Vec<&IngestContribution> = task.contributions.iter().collect();
    contributions.sort_by(|a, b| a.name.cmp(&b.name));
    let mut build = Build::new(task, store);
    for (done, contribution) in contributions.iter().enumerate() {
        progress(done, contributions.len());
        let folder = work.join(&contribution.name);
        let fetched = reader.fetch(&contribution.source, &folder, |_| true).await;
        let name = || contribution.name.clone();
        let fetched = fetched.map_err(|cause| IngestError::Source { contribution: name(), cause })?;
        let count = build.add(contribution, fetched, &tokens).await?;
        tracing::info!(
            contribution = count.name,
            records = count.records,
            tokens = count.tokens,
            duplicates = count.duplicates,
            held_out = count.held_out_records,
            "contribution read"
        );
        build.counts.push(count);
        // What is uploaded need not stay: the disk holds one contribution at a time.
        if tokio::fs::try_exists(&folder).await.map_err(IngestError::Disk)? {
            tokio::fs::remove_dir_all(&folder).await.map_err(IngestError::Disk)?;
        }
    }
    progress(contributions.len(), contributions.len());
    build.finish().await
}

/// The tokenizer of an imported base model.
///
/// # Errors
/// [`IngestError::NoTokenizer`], [`IngestError::Tokens`], or as object storage answers.
pub async fn tokenizer(store: &Store, base_model: &Digest) -> Result<Tokens, IngestError> {
    let manifest: ModelManifest = store.get_manifest(&layout::model(base_model), base_model).await?;
    let file = manifest.files.iter().find(|file| file.name == "tokenizer.json");
    let file = file.ok_or(IngestError::NoTokenizer { digest: *base_model })?;
    Ok(Tokens::from_json(&store.get_blob(&file.digest).await?)?)
}

/// A dataset on its way.
struct Build<'a> {
    task: &'a IngestTask,
    store: &'a Store,
    seen: Seen,
    train: Shards,
    held_out: Shards,
    counts: Vec<ContributionCount>,
}

impl<'a> Build<'a> {
    fn new(task: &'a IngestTask, store: &'a Store) -> Self {
        let (train, held_out) = (Shards::new(store), Shards::new(store));
        Self { task, store, seen: Seen::new(task.deduplicate), train, held_out, counts: Vec::new() }
    }

    async fn add(
        &mut self,
        contribution: &IngestContribution,
        fetched: Fetched,
        tokens: &Arc<Tokens>,
    ) -> Result<ContributionCount, IngestError> {
        let IngestContribution { name, member, source: _, license, split_sheet } = contribution;
        let mut count = ContributionCount {
            name: name.clone(),
            member: member.clone(),
            license: license.clone(),
            source_digest: fetched.digest,
            split_sheet: split_sheet.clone(),
            records: 0,
            tokens: 0,
            duplicates: 0,
            held_out_records: 0,
        };
        let (sender, mut records) = mpsc::channel(IN_FLIGHT);
        let (options, tokens, owner) = (self.task.text.clone(), Arc::clone(tokens), name.clone());
        let cutting = tokio::task::spawn_blocking(move || cut(&owner, &fetched, &options, &tokens, &sender));
        while let Some(record) = records.recv().await {
            self.take(record, &mut count).await?;
        }
        cutting.await.map_err(|error| IngestError::Internal(error.to_string()))??;
        Ok(count)
    }

    async fn take(&mut self, record: Record, count: &mut ContributionCount) -> Result<(), IngestError> {
        if !self.seen.is_new(record.id) {
            count.duplicates += 1;
            return Ok(());
        }
        if is_held_out(&record.id, self.task.holdout_basis_points) {
            count.held_out_records += 1;
            return self.held_out.push(&record).await;
        }
        count.records += 1;
        count.tokens += u64::from(record.tokens);
        self.train.push(&record).await
    }

    async fn finish(self) -> Result<Digest, IngestError> {
        let Self { task, store, seen: _, train, held_out, counts: contributions } = self;
        let (shards, held_out): (Vec<Shard>, Vec<Shard>) = (train.finish().await?, held_out.finish().await?);
        let (records, tokens) =
            (contributions.iter().map(|c| c.records).sum(), contributions.iter().map(|c| c.tokens).sum());
        if records == 0 {
            return Err(IngestError::NoRecords);
        }
        let mut refused = task.refused.clone();
        refused.sort_by(|a, b| a.name.cmp(&b.name));
        let manifest = DatasetManifest {
            base_model: task.base_model,
            text: task.text.clone(),
            deduplicate: task.deduplicate,
            holdout_basis_points: task.holdout_basis_points,
            contributions,
            refused,
            shards,
            held_out,
            records,
            tokens,
        };
        Ok(store.put_manifest(|digest| layout::dataset(&task.dataset, digest), &manifest).await?)
    }
}

/// Reads and cuts the files of one contribution, on a thread of its own, as fast as the records are taken.
fn cut(
    contribution: &str,
    fetched: &Fetched,
    options: &TextOptions,
    tokens: &Tokens,
    sender: &mpsc::Sender<Record>,
) -> Result<(), IngestError> {
    let limit = usize::try_from(options.record_tokens).unwrap_or(usize::MAX);
    for file in &fetched.files {
        let opened = std::fs::File::open(&file.path).map_err(IngestError::Disk)?;
        let done = documents(&file.name, BufReader::new(opened), options, |text| {
            for (text, count) in split(&normalise(text), limit, tokens)? {
                let record = Record {
                    id: Digest::of(text.as_bytes()),
                    contribution: contribution.to_owned(),
                    tokens: u32::try_from(count).unwrap_or(u32::MAX),
                    text,
                };
                sender.blocking_send(record).map_err(|_| Stopped::Receiver)?;
            }
            Ok::<_, Stopped>(())
        });
        match done {
            Ok(()) => {}
            // Whoever takes the records has failed and says why.
            Err(Stopped::Receiver) => return Ok(()),
            Err(Stopped::Text(cause)) => {
                return Err(IngestError::Text { contribution: contribution.to_owned(), cause });
            }
            Err(Stopped::Tokens(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Why the cutting of a file ended early.
enum Stopped {
    Receiver,
    Text(ReadError),
    Tokens(TokensError),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Text(error)
    }
}

impl From<TokensError> for Stopped {
    fn from(error: TokensError) -> Self {
        Self::Tokens(error)
    }
}

#[cfg(test)]
mod tests;
