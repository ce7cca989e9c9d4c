//! Sequences of different lengths, one after the other in one batch of rows: nothing is padded.

use crate::OpsError;
use crate::error::shape;

/// Where each sequence of a batch starts. Rows of different sequences never see each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The first row of each sequence, and at the end the number of rows.
    starts: Vec<usize>,
}

impl Segments {
    /// The sequences of these lengths, in this order. Each has at least one row, and there is at least one.
    pub fn new(lengths: &[usize]) -> Result<Self, OpsError> {
        let shortest = lengths.iter().copied().min().unwrap_or(0);
        shape("segments", "there is a sequence and none is empty", lengths.len(), shortest, shortest > 0)?;
        let mut starts = vec![0];
        let mut row = 0;
        for length in lengths {
            row += length;
            starts.push(row);
        }
        Ok(Self { starts })
    }

    /// The number of rows of all sequences together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The number of sequences.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The length of the longest sequence, in rows.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.iter().map(|(_, length)| length).max().unwrap_or(0)
    }

    /// Each sequence's first row and length.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.starts.windows(2).map(|pair| (pair[0], pair[1] - pair[0]))
    }

    /// `(length, head)` of each head of each sequence, in the order in which [head-major](crate::rope) buffers hold them.
    pub(crate) fn heads(&self, heads: usize) -> impl Iterator<Item = HeadAt> + '_ {
        self.iter()
            .flat_map(move |(start, length)| (0..heads).map(move |head| HeadAt { start, length, head }))
    }
}

/// One head of one sequence.
#[derive(Clone, Copy)]
pub(crate) struct HeadAt {
    /// The sequence's first row.
    pub start: usize,
    /// Its number of rows.
    pub length: usize,
    /// The head.
    pub head: usize,
}

/// Cuts a buffer into consecutive pieces of the given sizes, which tasks may then write at once.
pub(crate) fn pieces(mut data: &mut [f32], sizes: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    let mut out = Vec::with_capacity(sizes.size_hint().0);
    for size in sizes {
        let (piece, rest) = data.split_at_mut(size.min(data.len()));
        out.push(piece);
        data = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_one_after_the_other() {
        let segments = Segments::new(&[3, 1, 4]).unwrap();
        assert_eq!(segments.rows(), 8);
        assert_eq!(segments.count(), 3);
        assert_eq!(segments.longest(), 4);
        assert_eq!(segments.iter().collect::<Vec<_>>(), [(0, 3), (3, 1), (4, 4)]);
    }

    #[test]
    fn an_empty_batch_and_an_empty_sequence_are_refused() {
        assert!(Segments::new(&[]).is_err());
        assert!(Segments::new(&[2, 0]).is_err());
    }
}
