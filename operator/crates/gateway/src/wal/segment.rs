//! Files of the log: find, recover, sum up, delete.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cooperator_contract::usage::UsageRow;
use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;

use super::checkpoint::Checkpoint;
use super::{Options, Shared, WalError, cost, record};

/// A segment that is not written to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The file.
    pub path: PathBuf,
    /// Sequence of its last row.
    pub last_sequence: u64,
    /// Its size.
    pub bytes: u64,
}

/// What a folder holds.
pub struct Recovered {
    /// Id of the log.
    pub gateway: String,
    /// Rows of the segments, in order.
    pub rows: VecDeque<UsageRow>,
    /// The segments.
    pub closed: VecDeque<Closed>,
    /// Sequence of the last row, 0 before the first.
    pub last_sequence: u64,
    /// Time of the last row.
    pub last_time: Timestamp,
    /// What each key has spent, ever.
    pub spent: Vec<(String, Amount)>,
}

pub fn file_error(path: &Path, source: std::io::Error) -> WalError {
    WalError::File { path: path.display().to_string(), source }
}

/// Name of the segment that begins with a sequence.
pub fn path(folder: &Path, first_sequence: u64) -> PathBuf {
    folder.join(format!("{first_sequence:020}.wal"))
}

/// Makes the folder and takes it for this process: two that write there would give the same event ids out.
pub fn lock(folder: &Path, patience: Duration) -> Result<File, WalError> {
    fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| file_error(&path, error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(file_error(&path, error)),
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                return Err(WalError::Locked { path: folder.display().to_string() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Opens a folder: a new one gets its id, of an old one all rows are read and the torn tail is cut off.
pub fn recover(options: &Options) -> Result<Recovered, WalError> {
    let folder = &options.folder;
    let checkpoint = match Checkpoint::read(folder)? {
        Some(checkpoint) => checkpoint,
        None => {
            let new = Checkpoint { gateway: new_id(&options.replica), ..Checkpoint::default() };
            new.write(folder)?;
            new
        }
    };
    let mut found = Recovered {
        gateway: checkpoint.gateway,
        rows: VecDeque::new(),
        closed: VecDeque::new(),
        last_sequence: checkpoint.through_sequence,
        last_time: checkpoint.through_time,
        spent: Vec::new(),
    };
    let mut spent = checkpoint.spent;
    let files = list(folder)?;
    for (index, (first, file)) in files.iter().enumerate() {
        let (rows, bytes) = read(file, index + 1 == files.len())?;
        let Some(last) = rows.last() else {
            fs::remove_file(file).map_err(|error| file_error(file, error))?;
            continue;
        };
        let (last_sequence, last_time) = (last.sequence, last.time);
        if last_sequence <= checkpoint.through_sequence {
            // Summed up already; the gateway died before it could delete it.
            fs::remove_file(file).map_err(|error| file_error(file, error))?;
            continue;
        }
        if *first != found.last_sequence + 1 {
            let (expected, path) = (found.last_sequence + 1, file.display().to_string());
            return Err(WalError::Gap { path, expected, found: *first });
        }
        (found.last_sequence, found.last_time) = (last_sequence, last_time);
        found.closed.push_back(Closed { path: file.clone(), last_sequence, bytes });
        add_up(&mut spent, &rows);
        found.rows.extend(rows);
    }
    found.spent = spent.into_iter().collect();
    Ok(found)
}

/// The id of a new log. Never that of another, whatever pods are named.
fn new_id(replica: &str) -> String {
    format!("{replica}-{:08x}", rand::random::<u32>())
}

/// Segments of a folder by first sequence.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, WalError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| file_error(folder, error))? {
        let path = entry.map_err(|error| file_error(folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".wal"));
        if let Some(first) = name.and_then(|name| name.parse().ok()) {
            files.push((first, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Rows and size of a segment. A tail that is no record is cut off if the segment is the last one: that is what a
/// crash leaves, and nobody was answered for it.
fn read(path: &Path, last: bool) -> Result<(Vec<UsageRow>, u64), WalError> {
    let error = |source| file_error(path, source);
    let bytes = fs::read(path).map_err(error)?;
    let (rows, good) = record::decode(&bytes);
    if good < bytes.len() {
        if !last {
            return Err(WalError::Damaged { path: path.display().to_string(), offset: good as u64 });
        }
        tracing::warn!(path = %path.display(), bytes = bytes.len() - good, "torn tail of the usage log is cut off");
        let file = OpenOptions::new().write(true).open(path).map_err(error)?;
        file.set_len(good as u64).and_then(|()| file.sync_all()).map_err(error)?;
    }
    Ok((rows, good as u64))
}

fn add_up(spent: &mut BTreeMap<String, Amount>, rows: &[UsageRow]) {
    for row in rows.iter().filter(|row| !row.key.is_empty()) {
        let sum = spent.entry(row.key.clone()).or_default();
        *sum = sum.plus(cost(row)).unwrap_or(*sum);
    }
}

/// Deletes the closed segments all of whose rows object storage has, that is, up to `through`. Blocks on the disk.
pub fn forget(shared: &Shared, through: u64) -> Result<(), WalError> {
    let folder = &shared.options.folder;
    let done: Vec<Closed> =
        shared.closed().iter().take_while(|closed| closed.last_sequence <= through).cloned().collect();
    let Some(last) = done.last() else { return Ok(()) };
    let mut checkpoint = Checkpoint::read(folder)?.unwrap_or_default();
    // What an earlier try has summed up and could not delete is not summed up again.
    let summed = checkpoint.through_sequence;
    for closed in done.iter().filter(|closed| closed.last_sequence > summed) {
        let (rows, _) = read(&closed.path, false)?;
        add_up(&mut checkpoint.spent, &rows);
        checkpoint.through_time = rows.last().map_or(checkpoint.through_time, |row| row.time);
    }
    checkpoint.gateway.clone_from(&shared.gateway);
    checkpoint.through_sequence = last.last_sequence;
    checkpoint.write(folder)?;
    for closed in &done {
        match fs::remove_file(&closed.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error(&closed.path, error));
            }
            _ => {}
        }
        shared.bytes.fetch_sub(closed.bytes, std::sync::atomic::Ordering::Relaxed);
        shared.closed().pop_front();
    }
    Ok(())
}

/// A new, empty segment that survives a crash.
pub fn create(folder: &Path, first_sequence: u64) -> Result<(PathBuf, File), WalError> {
    let path = path(folder, first_sequence);
    let made = File::create(&path).and_then(|file| File::open(folder)?.sync_all().map(|()| file));
    made.map(|file| (path.clone(), file)).map_err(|error| file_error(&path, error))
}
