//! How fast object storage takes and gives: by the same way as everything else that the run reads and writes, its key or its
//! broker.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cooperator_contract::layout;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::preflight::MOST_BYTES;
use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::rate::Rate;
use crate::failure::Failure;
use crate::run::Context;

/// Bytes of the first object; each next one has four times as many.
const FIRST: usize = 256 << 10;
/// How long one more object may be expected to take.
const TIME: Duration = Duration::from_secs(1);

/// Bytes, waiting for answers included. Of several tries the fastest counts: that one was held up is no fault of the machine.
pub(super) struct Speed {
    pub upload: Rate,
    pub download: Rate,
}

/// Writes ever larger objects while that is quick, reads the last one, twice if that is quick, and takes it away.
///
/// # Errors
/// As the storage says; [`FailureReason::StorageUnavailable`] where it gives back something else.
pub(super) async fn speed(context: &Context) -> Result<Speed, Failure> {
    let store = &context.store;
    let key = layout::preflight(&context.run.uid, context.run.attempt);
    let most = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX);
    let mut size = FIRST.min(most);
    let mut upload = Rate::new(0, TIME);
    let bytes = loop {
        let bytes = random(size);
        let started = Instant::now();
        store.put(&key, bytes.clone()).await?;
        let took = started.elapsed();
        upload = upload.max(Rate::new(size as u64, took));
        if !goes_on(size, took, most) {
            break bytes;
        }
        size *= 4;
    };
    let started = Instant::now();
    let mut back = store.get(&key).await?;
    let mut download = Rate::new(back.len() as u64, started.elapsed());
    if started.elapsed() * 2 <= TIME {
        let started = Instant::now();
        back = store.get(&key).await?;
        download = download.max(Rate::new(back.len() as u64, started.elapsed()));
    }
    store.delete(&key).await?;
    if back != bytes {
        let message =
            format!("{} gave back other bytes than were written there a moment before", store.uri(&key));
        return Err(Failure::new(FailureReason::StorageUnavailable, message));
    }
    Ok(Speed { upload, download })
}

/// Nothing that anything in between could compress.
fn random(size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    ChaCha8Rng::seed_from_u64(size as u64).fill_bytes(&mut bytes);
    bytes.into()
}

/// Whether four times as much is allowed, and quick enough.
fn goes_on(size: usize, took: Duration, most: usize) -> bool {
    size.saturating_mul(4) <= most && took.saturating_mul(4) <= TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_line_is_measured_by_more_than_a_slow_one() {
        let most = usize::try_from(MOST_BYTES).unwrap();
        assert!(goes_on(FIRST, Duration::from_millis(20), most));
        assert!(!goes_on(FIRST, Duration::from_millis(300), most), "the next would take over a second");
        assert!(!goes_on(most, Duration::from_millis(1), most), "the broker grants no more");
        assert!(!goes_on(usize::MAX, Duration::MAX, usize::MAX - 1));
    }
}
