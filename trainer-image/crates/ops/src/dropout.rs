//! Dropout whose mask is a function of a seed and the place of the value, so that the backward makes it again and a resumed
//! run sees the same one.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};

/// One mask: each value is zeroed with some probability, and what stays is scaled so that the mean does not change.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// A value is dropped if its 32 random bits are below this.
    threshold: u32,
    /// What the kept values are multiplied by.
    scale: f32,
    seed: u64,
}

impl Dropout {
    /// The mask of `seed` that drops with `probability`, in [0, 1).
    pub fn new(probability: f64, seed: u64) -> Result<Self, OpsError> {
        let allowed = (0.0..1.0).contains(&probability);
        shape(
            "dropout",
            "the probability, here in millionths, is in [0, 1)",
            (probability * 1e6) as usize,
            1_000_000,
            allowed,
        )?;
        let threshold = (probability * f64::from(u32::MAX)) as u32;
        Ok(Self { threshold, scale: (1.0 / (1.0 - probability)) as f32, seed })
    }

    /// Calls `each(place, factor)` for the values of one row, in order; the factor is zero where the value is dropped.
    #[inline(always)]
    fn row(&self, row: usize, width: usize, mut each: impl FnMut(usize, f32)) {
        let mut bits = ChaCha8Rng::seed_from_u64(self.seed);
        bits.set_stream(row as u64);
        for place in 0..width {
            each(place, if bits.next_u32() < self.threshold { 0.0 } else { self.scale });
        }
    }

    /// Writes the masked rows of `x` (`width` values each) to `out`.
    pub fn apply(&self, x: &[f32], width: usize, out: &mut [f32]) -> Result<(), OpsError> {
        shape("dropout", "rows are whole", x.len(), width, width > 0 && x.len().is_multiple_of(width))?;
        length("dropout", "out", out.len(), x.len())?;
        out.par_chunks_mut(width).zip(x.par_chunks(width)).enumerate().for_each(|(row, (out, x))| {
            self.row(row, width, |i, factor| out[i] = x[i] * factor);
        });
        Ok(())
    }

    /// Adds to `dx` the gradient that passes the mask, given `dout`, that of the masked values.
    pub fn add_backward(&self, dout: &[f32], width: usize, dx: &mut [f32]) -> Result<(), OpsError> {
        shape(
            "dropout backward",
            "rows are whole",
            dout.len(),
            width,
            width > 0 && dout.len().is_multiple_of(width),
        )?;
        length("dropout backward", "dx", dx.len(), dout.len())?;
        dx.par_chunks_mut(width).zip(dout.par_chunks(width)).enumerate().for_each(|(row, (dx, dout))| {
            self.row(row, width, |i, factor| dx[i] += dout[i] * factor);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_is_dropped_and_the_mean_stays() {
        let x = vec![1.0; 40_000];
        let mut out = vec![f32::NAN; x.len()];
        Dropout::new(0.25, 7).unwrap().apply(&x, 100, &mut out).unwrap();
        let dropped = out.iter().filter(|v| **v == 0.0).count() as f64 / x.len() as f64;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        assert!(out.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn the_backward_passes_where_the_forward_did_and_the_seed_decides() {
        let (x, width) = (vec![1.0; 600], 60);
        let (mut out, mut dx) = (vec![0.0; 600], vec![0.0; 600]);
        let mask = Dropout::new(0.5, 3).unwrap();
        mask.apply(&x, width, &mut out).unwrap();
        mask.add_backward(&x, width, &mut dx).unwrap();
        assert_eq!(out, dx);
        let mut other = vec![0.0; 600];
        Dropout::new(0.5, 4).unwrap().apply(&x, width, &mut other).unwrap();
        assert_ne!(out, other);
        assert_ne!(out[..width], out[width..2 * width]);
    }

    #[test]
    fn a_probability_of_one_is_refused() {
        assert!(Dropout::new(1.0, 0).is_err());
        assert!(Dropout::new(f64::NAN, 0).is_err());
    }
}
