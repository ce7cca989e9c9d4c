//! A linear layer whose weight stays as it is stored: bf16 halves what each generated token must read from memory.
//!
//! Few rows (decoding): each weight row is widened once and multiplied with every input row. A row's result does
//! not depend on which other rows are there, so batched and single requests get the same bits. Many rows
//! (prefill): the weight is widened in blocks and given to the matrix product.

use candle_core::{DType, Tensor};
use cooperator_ops::math;
use cooperator_ops::matrix::{Mat, MatMut, Threads, add_product};
use rayon::prelude::*;

use super::InferError;

/// Weight rows that one task widens: small enough for a core's own cache.
const BLOCK: usize = 64;
/// Weight rows widened at a time for a matrix product.
const DENSE_BLOCK: usize = 1024;

/// Row-major values, `[rows, columns]`.
#[derive(Clone)]
pub(super) enum Values {
    /// The upper half of an f32.
    Bf16(Vec<u16>),
    F32(Vec<f32>),
}

/// `y = W x`, `W` of `[outputs, inputs]`.
#[derive(Clone)]
pub(super) struct Matrix {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    values: Values,
}

impl Matrix {
    pub(super) fn new(tensor: &Tensor) -> Result<Self, InferError> {
        let (outputs, inputs) = tensor.dims2()?;
        let values = match tensor.dtype() {
            DType::BF16 => {
                let values = tensor.flatten_all()?.to_vec1::<half::bf16>()?;
                Values::Bf16(values.into_iter().map(half::bf16::to_bits).collect())
            }
            // f16 does not fit bf16 without loss.
            _ => Values::F32(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?),
        };
        Ok(Self { outputs, inputs, values })
    }

    pub(super) fn from_f32(outputs: usize, inputs: usize, values: Vec<f32>) -> Self {
        Self { outputs, inputs, values: Values::F32(values) }
    }

    /// One row in 32 bits.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        self.widen(row, 1, out);
    }

    /// `count` rows from `first` in 32 bits.
    #[inline(always)]
    fn widen(&self, first: usize, count: usize, out: &mut [f32]) {
        let range = first * self.inputs..(first + count) * self.inputs;
        match &self.values {
            Values::F32(values) => out.copy_from_slice(&values[range]),
            Values::Bf16(values) => {
                for (wide, narrow) in out.iter_mut().zip(&values[range]) {
                    *wide = f32::from_bits(u32::from(*narrow) << 16);
                }
            }
        }
    }

    /// `y += scale * W x` for a few rows `x` of `inputs`; `y` has as many rows of `outputs`.
    pub(super) fn add_few(&self, x: &[f32], scale: f32, y: &mut [f32]) {
        let rows = x.len() / self.inputs;
        // Output-major, so that each task owns what it writes; turned around at the end.
        let mut columns = vec![0.0; rows * self.outputs];
        columns.par_chunks_mut(rows * BLOCK).enumerate().for_each(|(block, out)| {
            let arch = pulp::Arch::new();
            arch.dispatch(Few { matrix: self, x, first: block * BLOCK, out });
        });
        for (output, column) in columns.chunks_exact(rows).enumerate() {
            for (row, value) in column.iter().enumerate() {
                y[row * self.outputs + output] += scale * value;
            }
        }
    }

    /// The same through the matrix product, for many rows.
    pub(super) fn add_many(&self, x: &[f32], scale: f32, y: &mut [f32]) -> Result<(), InferError> {
        let rows = x.len() / self.inputs;
        let mut wide = Vec::new();
        for first in (0..self.outputs).step_by(DENSE_BLOCK) {
            let count = DENSE_BLOCK.min(self.outputs - first);
            let block = match &self.values {
                Values::F32(values) => &values[first * self.inputs..(first + count) * self.inputs],
                Values::Bf16(_) => {
                    wide.resize(count * self.inputs, 0.0);
                    wide.par_chunks_mut(self.inputs)
                        .enumerate()
                        .for_each(|(row, out)| self.widen(first + row, 1, out));
                    &wide[..]
                }
            };
            let lhs = Mat::new(x, rows, self.inputs)?;
            let rhs = Mat::new(block, count, self.inputs)?.t();
            let end = (rows - 1) * self.outputs + first + count;
            let dst = MatMut::strided(&mut y[first..end], rows, count, self.outputs)?;
            add_product(dst, scale, lhs, rhs, Threads::Pool)?;
        }
        Ok(())
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::Bf16(values) => values.len() * 2,
            Values::F32(values) => values.len() * 4,
        }
    }
}

/// One block of [`Matrix::add_few`], compiled for the vector unit there is.
struct Few<'a> {
    matrix: &'a Matrix,
    x: &'a [f32],
    first: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Few<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let inputs = self.matrix.inputs;
        let rows = self.x.len() / inputs;
        let mut weight = vec![0.0; inputs];
        for (index, out) in self.out.chunks_exact_mut(rows).enumerate() {
            self.matrix.widen(self.first + index, 1, &mut weight);
            for (value, x) in out.iter_mut().zip(self.x.chunks_exact(inputs)) {
                *value = math::dot(&weight, x);
            }
        }
    }
}

/// The low-rank addition of an adapter: `s B A x`, not merged, so that the base stays what its digest says.
#[derive(Clone)]
pub(super) struct LowRank {
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    pub(super) scale: f32,
}

/// A linear layer, with or without an adapter.
#[derive(Clone)]
pub(super) struct Linear {
    pub(super) weight: Matrix,
    pub(super) low_rank: Option<LowRank>,
}

impl Linear {
    /// `y = W x + s B A x` for all rows of `x`; `many` chooses the matrix product.
    pub(super) fn forward(&self, x: &[f32], many: bool) -> Result<Vec<f32>, InferError> {
        let rows = x.len() / self.weight.inputs;
        let mut y = vec![0.0; rows * self.weight.outputs];
        let add = |matrix: &Matrix, x: &[f32], scale: f32, y: &mut [f32]| {
            if many {
                return matrix.add_many(x, scale, y);
            }
            matrix.add_few(x, scale, y);
            Ok(())
        };
        add(&self.weight, x, 1.0, &mut y)?;
        if let Some(low_rank) = &self.low_rank {
            let mut low = vec![0.0; rows * low_rank.a.outputs];
            add(&low_rank.a, x, 1.0, &mut low)?;
            add(&low_rank.b, &low, low_rank.scale, &mut y)?;
        }
        Ok(y)
    }
}
