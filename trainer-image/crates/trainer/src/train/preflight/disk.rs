//! How fast the disk of the work folder takes and gives back: what the cache of the kernel does not do for it.

use std::fs::{File, remove_file};
use std::io::{Error, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::rate::Rate;

/// Written and synced at a time.
const PIECE: usize = 2 << 20;
/// Pieces written at most.
const MOST: u64 = 32;
/// For how long it is written, a piece at least.
const TIME: Duration = Duration::from_millis(250);

/// Bytes, written or read back, whichever is slower.
///
/// # Errors
/// The disk is full, or gives back other bytes than it was given.
pub(super) fn speed(folder: &Path) -> Result<Rate, Error> {
    let path = folder.join("preflight");
    let rate = write_and_read(File::options().read(true).write(true).create_new(true).open(&path)?);
    remove_file(&path)?;
    rate
}

fn write_and_read(mut file: File) -> Result<Rate, Error> {
    // Nothing that a file system could compress.
    let mut piece = vec![0; PIECE];
    ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut piece);
    let (started, mut pieces) = (Instant::now(), 0);
    while pieces == 0 || (pieces < MOST && started.elapsed() < TIME) {
        file.write_all(&piece)?;
        file.sync_data()?;
        pieces += 1;
    }
    let written = Rate::new(pieces * PIECE as u64, started.elapsed());
    // What stays in memory would be read from there. Where that is all there is, so be it.
    let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    file.seek(SeekFrom::Start(0))?;
    let (started, mut back) = (Instant::now(), vec![0; PIECE]);
    for _ in 0..pieces {
        file.read_exact(&mut back)?;
        if back != piece {
            return Err(Error::other("it gave back other bytes than it was given"));
        }
    }
    Ok(written.min(Rate::new(pieces * PIECE as u64, started.elapsed())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_takes_and_gives_back_and_nothing_stays_on_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let speed = speed(folder.path()).unwrap();
        assert!(speed.amount >= PIECE as u64, "{speed:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(speed(Path::new("/nowhere/at/all")).is_err());
    }
}
