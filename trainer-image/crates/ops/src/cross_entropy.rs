//! The head of a language model and its loss as one operation: hidden rows in, the sum of cross-entropies out. Only a few
//! rows' logits exist at a time, and rows whose label is [`IGNORED`] cost nothing.

use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};
use crate::math;
use crate::matrix::{Mat, MatMut, Threads, product};

/// The label of a row that has no target.
pub const IGNORED: i32 = -100;
/// The most logits that exist at once: 64 MiB.
const LOGITS: usize = 16 * 1024 * 1024;

/// A loss summed over labelled rows, in nats. Sums of several batches add up; the mean is taken at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// The sum over labelled rows. NaN or infinite if the model's values were.
    pub sum: f64,
    /// The number of labelled rows.
    pub count: usize,
}

impl LossSum {
    /// The loss a labelled row; NaN where none was labelled.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl std::ops::AddAssign for LossSum {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// The frozen output embedding.
#[derive(Clone, Copy, Debug)]
pub struct LossHead<'a> {
    weight: &'a [f32],
    vocabulary: usize,
    width: usize,
}

impl<'a> LossHead<'a> {
    /// A head of `weight`, `[vocabulary, width]`.
    pub fn new(weight: &'a [f32], vocabulary: usize, width: usize) -> Result<Self, OpsError> {
        length("loss", "the head's weight", weight.len(), vocabulary * width)?;
        shape("loss", "the head is not empty", vocabulary, width, vocabulary > 0 && width > 0)?;
        Ok(Self { weight, vocabulary, width })
    }

    /// The summed loss of the rows of `hidden` against `labels`; with `dhidden`, the gradient of that sum as well (zero for
    /// rows without a label). The label of a row is its target: shifting is the caller's.
    pub fn loss(
        &self,
        hidden: &[f32],
        labels: &[i32],
        mut dhidden: Option<&mut [f32]>,
    ) -> Result<LossSum, OpsError> {
        length("loss", "hidden", hidden.len(), labels.len() * self.width)?;
        let targets = self.targets(labels)?;
        if let Some(dhidden) = dhidden.as_deref_mut() {
            length("loss", "dhidden", dhidden.len(), hidden.len())?;
            dhidden.fill(0.0);
        }
        let mut total = LossSum { sum: 0.0, count: targets.len() };
        let at_once = (LOGITS / self.vocabulary).max(1);
        // as few groups as the bound allows, all of about one size
        let size = targets.len().div_ceil(targets.len().div_ceil(at_once).max(1)).max(1);
        let mut logits = vec![0.0; size.min(targets.len()) * self.vocabulary];
        let mut rows = vec![0.0; size.min(targets.len()) * self.width];
        for group in targets.chunks(size) {
            let (logits, rows) =
                (&mut logits[..group.len() * self.vocabulary], &mut rows[..group.len() * self.width]);
            for (target, row) in group.iter().zip(rows.chunks_mut(self.width)) {
                row.copy_from_slice(&hidden[target.row * self.width..][..self.width]);
            }
            total.sum += self.group(group, rows, logits, dhidden.as_deref_mut())?;
        }
        Ok(total)
    }

    /// Writes the logits of every row of `hidden`, `[rows, vocabulary]`: for tests and short texts, as it bounds nothing.
    pub fn logits(&self, hidden: &[f32], logits: &mut [f32]) -> Result<(), OpsError> {
        let rows = hidden.len() / self.width;
        let (input, weight) =
            (Mat::new(hidden, rows, self.width)?, Mat::new(self.weight, self.vocabulary, self.width)?);
        product(MatMut::new(logits, rows, self.vocabulary)?, 1.0, input, weight.t(), Threads::Pool)
    }

    /// The loss of one group; `rows` are its hidden rows, `logits` is scratch.
    fn group(
        &self,
        group: &[Target],
        rows: &mut [f32],
        logits: &mut [f32],
        dhidden: Option<&mut [f32]>,
    ) -> Result<f64, OpsError> {
        let weight = Mat::new(self.weight, self.vocabulary, self.width)?;
        let input = Mat::new(rows, group.len(), self.width)?;
        product(MatMut::new(logits, group.len(), self.vocabulary)?, 1.0, input, weight.t(), Threads::Pool)?;
        let differentiate = dhidden.is_some();
        let each = logits.par_chunks_mut(self.vocabulary).zip(group);
        let losses: Vec<f64> = each.map(|(row, target)| row_loss(row, target.id, differentiate)).collect();
        if let Some(dhidden) = dhidden {
            let gradient = Mat::new(logits, group.len(), self.vocabulary)?;
            product(MatMut::new(rows, group.len(), self.width)?, 1.0, gradient, weight, Threads::Pool)?;
            for (target, row) in group.iter().zip(rows.chunks(self.width)) {
                dhidden[target.row * self.width..][..self.width].copy_from_slice(row);
            }
        }
        Ok(losses.iter().sum())
    }

    fn targets(&self, labels: &[i32]) -> Result<Vec<Target>, OpsError> {
        let labelled = labels.iter().enumerate().filter(|(_, label)| **label != IGNORED);
        labelled
            .map(|(row, &label)| match usize::try_from(label) {
                Ok(id) if id < self.vocabulary => Ok(Target { row, id }),
                _ => Err(OpsError::OutOfVocabulary {
                    op: "loss",
                    row,
                    id: i64::from(label),
                    vocabulary: self.vocabulary,
                }),
            })
            .collect()
    }
}

/// A row that has a label.
struct Target {
    row: usize,
    id: usize,
}

/// The cross-entropy of one row of logits, which become their own gradient if asked for.
fn row_loss(logits: &mut [f32], id: usize, differentiate: bool) -> f64 {
    let largest = math::max(logits);
    let target = logits[id];
    let sum = math::exp_in_place(logits, largest);
    if differentiate {
        let inverse = 1.0 / sum;
        logits.iter_mut().for_each(|p| *p *= inverse);
        logits[id] -= 1.0;
    }
    f64::from(largest) + f64::from(sum).ln() - f64::from(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, central_differences, values, wide};

    const WIDTH: usize = 6;
    const VOCABULARY: usize = 29;
    const LABELS: [i32; 5] = [3, IGNORED, 28, 0, IGNORED];

    fn reference(hidden: &[f64], weight: &[f32]) -> f64 {
        let mut sum = 0.0;
        for (row, label) in LABELS.iter().enumerate().filter(|(_, l)| **l != IGNORED) {
            let logit = |id: usize| {
                (0..WIDTH).map(|i| hidden[row * WIDTH + i] * f64::from(weight[id * WIDTH + i])).sum::<f64>()
            };
            sum += (0..VOCABULARY).map(|id| logit(id).exp()).sum::<f64>().ln() - logit(*label as usize);
        }
        sum
    }

    fn inputs() -> (Vec<f32>, Vec<f32>) {
        (values(LABELS.len() * WIDTH, 1).iter().map(|v| v * 3.0).collect(), values(VOCABULARY * WIDTH, 2))
    }

    #[test]
    fn loss_and_gradient_equal_the_reference_and_skip_ignored_rows() {
        let (hidden, weight) = inputs();
        let head = LossHead::new(&weight, VOCABULARY, WIDTH).unwrap();
        let mut gradient = vec![f32::NAN; hidden.len()];
        let loss = head.loss(&hidden, &LABELS, Some(&mut gradient)).unwrap();
        assert_eq!(loss.count, 3);
        assert!((loss.sum - reference(&wide(&hidden), &weight)).abs() < 1e-5);
        assert_close(&gradient, &central_differences(&wide(&hidden), |h| reference(h, &weight)), 1e-5);
        assert_eq!(head.loss(&hidden, &LABELS, None).unwrap(), loss);
    }

    #[test]
    fn rows_in_several_groups_lose_what_they_lose_alone() {
        // a vocabulary so large that a group holds two rows
        let vocabulary = LOGITS / 2;
        let (hidden, weight) = (values(5, 1), values(vocabulary, 2));
        let head = LossHead::new(&weight, vocabulary, 1).unwrap();
        let mut gradient = vec![f32::NAN; 5];
        let together = head.loss(&hidden, &[1, 2, IGNORED, 4, 5], Some(&mut gradient)).unwrap();
        let mut apart = LossSum::default();
        for (row, label) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
            let mut alone = [f32::NAN];
            apart += head.loss(&hidden[row..=row], &[label], Some(&mut alone)).unwrap();
            assert!((alone[0] - gradient[row]).abs() < 1e-5);
        }
        assert_eq!(gradient[2], 0.0);
        assert_eq!(together.count, apart.count);
        assert!((together.sum - apart.sum).abs() < 1e-4);
    }

    #[test]
    fn a_label_outside_the_vocabulary_is_refused_and_nan_shows_in_the_loss() {
        let (mut hidden, weight) = inputs();
        let head = LossHead::new(&weight, VOCABULARY, WIDTH).unwrap();
        let error = head.loss(&hidden, &[0, 0, 29, 0, 0], None);
        assert!(matches!(error, Err(OpsError::OutOfVocabulary { row: 2, id: 29, .. })));
        hidden[0] = f32::NAN;
        assert!(head.loss(&hidden, &LABELS, None).unwrap().sum.is_nan());
    }
}
