//! Records packed into sequences, and the seeded order in which they come.

use cooperator_contract::manifest::Record;
use cooperator_contract::outcome::FailureReason;
use cooperator_data::tokens::Tokens;
use cooperator_models::train::{Batch, TrainError};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::settings::Settings;
use super::unsupported;
use crate::failure::Failure;

/// Random streams of a run, so that one's use never shifts another.
const PACKING: u64 = 1;
const DROPOUT: u64 = 2;
/// And one for each pass over the data, from here on.
const PASSES: u64 = 1 << 32;

/// All tokens of a dataset, four bytes each, in sequences of at most so many tokens. Within a sequence, pieces of
/// different records never see each other.
#[derive(Clone, Debug)]
pub(super) struct Sequences {
    sequences: Vec<Vec<Vec<u32>>>,
    seed: u64,
    batch: u64,
    /// The order of the pass that was asked for last.
    order: Option<(u64, Vec<usize>)>,
}

impl Sequences {
    /// Shuffles the records, ends each with the end-of-text token, and fills sequence after sequence; a record that
    /// does not fit goes on in the next one.
    pub(super) fn pack(
        records: &[Record],
        tokens: &Tokens,
        end_of_text: Option<u32>,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let mut order: Vec<&Record> = records.iter().collect();
        order.shuffle(&mut random(settings.seed, PACKING));
        let mut sequences = Vec::new();
        let (mut sequence, mut room) = (Vec::new(), settings.length);
        for record in order {
            let mut ids = tokens.encode(&record.text).map_err(unsupported)?;
            ids.extend(end_of_text);
            let mut rest = ids.as_slice();
            // A piece of one token has nothing to predict.
            while rest.len() >= 2 {
                if room < 2 {
                    sequences.push(std::mem::take(&mut sequence));
                    room = settings.length;
                }
                let (piece, after) = rest.split_at(rest.len().min(room));
                sequence.push(piece.to_vec());
                room -= piece.len();
                rest = after;
            }
        }
        if !sequence.is_empty() {
            sequences.push(sequence);
        }
        if sequences.is_empty() {
            let message = "the dataset has no record of two tokens or more; add contributions";
            return Err(Failure::new(FailureReason::NoRecords, message));
        }
        Ok(Self { sequences, seed: settings.seed, batch: settings.batch as u64, order: None })
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Tokens of a micro-batch, on average.
    pub(super) fn tokens_a_batch(&self) -> u64 {
        let tokens: usize = self.sequences.iter().flatten().map(Vec::len).sum();
        (tokens as u64 * self.batch).div_ceil(self.sequences.len() as u64)
    }

    /// The micro-batch of this number, counted from 0 over the whole run: pass after pass over all sequences, each in
    /// an order of its own.
    pub(super) fn batch(&mut self, number: u64) -> Result<Batch, TrainError> {
        let mut pieces: Vec<&[u32]> = Vec::new();
        for place in number * self.batch..(number + 1) * self.batch {
            let index = at(&mut self.order, self.sequences.len(), self.seed, place);
            let sequence = index.and_then(|index| self.sequences.get(index));
            pieces.extend(sequence.into_iter().flatten().map(Vec::as_slice));
        }
        Batch::new(&pieces)
    }
}

/// Which sequence comes at a place of the run.
fn at(order: &mut Option<(u64, Vec<usize>)>, count: usize, seed: u64, place: u64) -> Option<usize> {
    let (pass, within) = (place / count as u64, place % count as u64);
    if order.as_ref().is_none_or(|(ordered, _)| *ordered != pass) {
        let mut indices: Vec<usize> = (0..count).collect();
        indices.shuffle(&mut random(seed, PASSES + pass));
        *order = Some((pass, indices));
    }
    order.as_ref().and_then(|(_, indices)| indices.get(usize::try_from(within).ok()?).copied())
}

/// The seed of a micro-batch's dropout masks: a resumed run draws the same.
pub(super) fn dropout_seed(seed: u64, batch: u64) -> u64 {
    let mut random = random(seed, DROPOUT);
    random.set_word_pos(u128::from(batch) * 2);
    random.random()
}

fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_sees_each_sequence_once_and_in_another_order() {
        let mut order = None;
        let pass = |order: &mut _, pass: u64| -> Vec<usize> {
            (0..50).map(|place| at(order, 50, 1, pass * 50 + place).unwrap()).collect()
        };
        let (first, second) = (pass(&mut order, 0), pass(&mut order, 1));
        assert_ne!(first, second);
        for mut seen in [first.clone(), second] {
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
        assert_eq!(pass(&mut None, 0), first, "a place has one sequence, wherever a run begins");
    }

    #[test]
    fn dropout_seeds_differ_by_batch_and_by_run() {
        let seeds = [dropout_seed(1, 0), dropout_seed(1, 1), dropout_seed(2, 0)];
        assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
        assert_eq!(dropout_seed(1, 1), seeds[1]);
    }
}
