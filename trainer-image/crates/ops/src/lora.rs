//! A frozen linear layer with low-rank additions: `y = W x + s B A x`, where only `A` and `B` learn.
//!
//! Several projections of the same input (q, k, v; gate, up) are one layer here: their weights lie one under the other, and
//! each part adds to its own columns of `y`. The backward makes no gradient for `W`: that is a third of the work saved.

use std::ops::Range;

use crate::OpsError;
use crate::dropout::Dropout;
use crate::error::{length, shape};
use crate::matrix::{Mat, MatMut, Threads, add_product, product};

/// The low-rank addition to some of a layer's outputs.
#[derive(Clone, Debug)]
pub struct LoraPart<'a> {
    /// `[rank, inputs]`
    pub a: &'a [f32],
    /// `[columns.len(), rank]`
    pub b: &'a [f32],
    /// Rows of `a`.
    pub rank: usize,
    /// What the addition is multiplied by: alpha / rank.
    pub scale: f32,
    /// The outputs it adds to.
    pub columns: Range<usize>,
    /// The mask of this part's input; only in training.
    pub dropout: Option<Dropout>,
}

/// The gradients of one part.
#[derive(Debug)]
pub struct LoraGradient<'a> {
    /// Of `a`, the same shape.
    pub a: &'a mut [f32],
    /// Of `b`, the same shape.
    pub b: &'a mut [f32],
}

/// A frozen weight and the parts that add to it.
#[derive(Clone, Debug)]
pub struct LoraLinear<'a> {
    weight: &'a [f32],
    inputs: usize,
    outputs: usize,
    parts: Vec<LoraPart<'a>>,
}

impl<'a> LoraLinear<'a> {
    /// A layer of `weight`, `[outputs, inputs]` as Hugging Face stores it, and its `parts`.
    pub fn new(
        weight: &'a [f32],
        inputs: usize,
        outputs: usize,
        parts: Vec<LoraPart<'a>>,
    ) -> Result<Self, OpsError> {
        length("lora linear", "the weight", weight.len(), inputs * outputs)?;
        for part in &parts {
            length("lora linear", "lora_A", part.a.len(), part.rank * inputs)?;
            length("lora linear", "lora_B", part.b.len(), part.columns.len() * part.rank)?;
            let inside =
                part.rank > 0 && part.columns.start <= part.columns.end && part.columns.end <= outputs;
            shape(
                "lora linear",
                "a part's columns are outputs of the layer",
                part.columns.end,
                outputs,
                inside,
            )?;
        }
        Ok(Self { weight, inputs, outputs, parts })
    }

    /// How many values a row the forward leaves for the backward: the ranks of all parts.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.parts.iter().map(|part| part.rank).sum()
    }

    fn rows(&self, op: &'static str, x: usize, width: usize) -> Result<usize, OpsError> {
        shape(op, "rows are whole", x, width, width > 0 && x.is_multiple_of(width))?;
        Ok(x / width)
    }

    /// Each part with its share of a `[part][rows, rank]` buffer.
    fn with_low<'s, 'l>(
        &'s self,
        mut low: &'l mut [f32],
        rows: usize,
    ) -> Vec<(&'s LoraPart<'a>, &'l mut [f32])> {
        let mut out = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let (mine, rest) = low.split_at_mut(rows * part.rank);
            out.push((part, mine));
            low = rest;
        }
        out
    }

    /// Writes the outputs of the rows of `x` to `y`, or adds them if `onto` (a residual stream). `low` (`ranks()` values a
    /// row) receives `A x` of each part, for [`LoraLinear::backward_parts`].
    pub fn forward(&self, x: &[f32], onto: bool, y: &mut [f32], low: &mut [f32]) -> Result<(), OpsError> {
        let op = "lora linear";
        let rows = self.rows(op, x.len(), self.inputs)?;
        length(op, "y", y.len(), rows * self.outputs)?;
        length(op, "low", low.len(), rows * self.ranks())?;
        let (input, weight) =
            (Mat::new(x, rows, self.inputs)?, Mat::new(self.weight, self.outputs, self.inputs)?);
        let multiply = if onto { add_product } else { product };
        multiply(MatMut::new(y, rows, self.outputs)?, 1.0, input, weight.t(), Threads::Pool)?;
        for (part, low) in self.with_low(low, rows) {
            let masked = part.masked(x, self.inputs)?;
            let input = Mat::new(masked.as_deref().unwrap_or(x), rows, self.inputs)?;
            let a = Mat::new(part.a, part.rank, self.inputs)?;
            product(MatMut::new(low, rows, part.rank)?, 1.0, input, a.t(), Threads::Pool)?;
            let target =
                MatMut::strided(&mut y[part.columns.start..], rows, part.columns.len(), self.outputs)?;
            let b = Mat::new(part.b, part.columns.len(), part.rank)?;
            add_product(target, part.scale, Mat::new(low, rows, part.rank)?, b.t(), Threads::Pool)?;
        }
        Ok(())
    }

    /// The first half of the backward: writes `s B^T dy` of each part to `dlow`, and the gradient of the inputs to `dx` if
    /// there is one (the first layer of a model needs none).
    pub fn backward_input(
        &self,
        dy: &[f32],
        dlow: &mut [f32],
        mut dx: Option<&mut [f32]>,
    ) -> Result<(), OpsError> {
        let op = "lora linear backward";
        let rows = self.rows(op, dy.len(), self.outputs)?;
        length(op, "dlow", dlow.len(), rows * self.ranks())?;
        if let Some(dx) = dx.as_deref_mut() {
            length(op, "dx", dx.len(), rows * self.inputs)?;
            let (dy, weight) =
                (Mat::new(dy, rows, self.outputs)?, Mat::new(self.weight, self.outputs, self.inputs)?);
            product(MatMut::new(dx, rows, self.inputs)?, 1.0, dy, weight, Threads::Pool)?;
        }
        for (part, dlow) in self.with_low(dlow, rows) {
            let dy = Mat::strided(&dy[part.columns.start..], rows, part.columns.len(), self.outputs)?;
            let b = Mat::new(part.b, part.columns.len(), part.rank)?;
            product(MatMut::new(dlow, rows, part.rank)?, part.scale, dy, b, Threads::Pool)?;
            let Some(dx) = dx.as_deref_mut() else { continue };
            let (low, a) = (Mat::new(dlow, rows, part.rank)?, Mat::new(part.a, part.rank, self.inputs)?);
            let Some(dropout) = &part.dropout else {
                add_product(MatMut::new(dx, rows, self.inputs)?, 1.0, low, a, Threads::Pool)?;
                continue;
            };
            let mut masked = vec![0.0; rows * self.inputs];
            product(MatMut::new(&mut masked, rows, self.inputs)?, 1.0, low, a, Threads::Pool)?;
            dropout.add_backward(&masked, self.inputs, dx)?;
        }
        Ok(())
    }

    /// The second half: the gradients of `A` and `B` of each part, in the order of the parts, from the forward's `x` and
    /// `low` and the first half's `dlow`.
    pub fn backward_parts(
        &self,
        x: &[f32],
        low: &[f32],
        dy: &[f32],
        dlow: &[f32],
        gradients: &mut [LoraGradient<'_>],
    ) -> Result<(), OpsError> {
        let op = "lora linear backward";
        let rows = self.rows(op, x.len(), self.inputs)?;
        length(op, "dy", dy.len(), rows * self.outputs)?;
        length(op, "low", low.len(), rows * self.ranks())?;
        length(op, "dlow", dlow.len(), rows * self.ranks())?;
        length(op, "gradients", gradients.len(), self.parts.len())?;
        let mut from = 0;
        for (part, gradient) in self.parts.iter().zip(gradients) {
            let range = from..from + rows * part.rank;
            from = range.end;
            let (low, dlow) =
                (Mat::new(&low[range.clone()], rows, part.rank)?, Mat::new(&dlow[range], rows, part.rank)?);
            let dy = Mat::strided(&dy[part.columns.start..], rows, part.columns.len(), self.outputs)?;
            product(
                MatMut::new(gradient.b, part.columns.len(), part.rank)?,
                part.scale,
                dy.t(),
                low,
                Threads::Pool,
            )?;
            let masked = part.masked(x, self.inputs)?;
            let input = Mat::new(masked.as_deref().unwrap_or(x), rows, self.inputs)?;
            product(MatMut::new(gradient.a, part.rank, self.inputs)?, 1.0, dlow.t(), input, Threads::Pool)?;
        }
        Ok(())
    }
}

impl LoraPart<'_> {
    /// The input as this part sees it, where that differs from the layer's.
    fn masked(&self, x: &[f32], width: usize) -> Result<Option<Vec<f32>>, OpsError> {
        let Some(dropout) = &self.dropout else { return Ok(None) };
        let mut masked = vec![0.0; x.len()];
        dropout.apply(x, width, &mut masked)?;
        Ok(Some(masked))
    }
}

/// Adds `s B A` to `weight` (`[outputs, inputs]`): the merged layer gives what the layer with its part gave.
pub fn merge(weight: &mut [f32], inputs: usize, part: &LoraPart<'_>) -> Result<(), OpsError> {
    shape(
        "merge",
        "rows are whole",
        weight.len(),
        inputs,
        inputs > 0 && weight.len().is_multiple_of(inputs),
    )?;
    let reach = part.columns.end * inputs;
    shape(
        "merge",
        "the part's columns are outputs of the layer",
        reach,
        weight.len(),
        part.columns.start <= part.columns.end && reach <= weight.len(),
    )?;
    let target = MatMut::new(&mut weight[part.columns.start * inputs..reach], part.columns.len(), inputs)?;
    let (a, b) = (Mat::new(part.a, part.rank, inputs)?, Mat::new(part.b, part.columns.len(), part.rank)?);
    add_product(target, part.scale, b, a, Threads::Pool)
}

#[cfg(test)]
#[path = "lora_tests.rs"]
mod tests;
