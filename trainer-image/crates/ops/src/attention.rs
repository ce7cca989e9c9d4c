//! Causal attention with grouped keys and values, per sequence and head. The probabilities are never kept: the backward
//! makes them again, a block of queries at a time, from the logarithm of each row's sum.
//!
//! All buffers are head-major (see [`crate::rope`]): `q`, `out` and their gradients with `heads` heads, `k` and `v` with
//! `kv_heads`. `lse` is one value a query row, in the order of `q`.

use std::ops::Range;

use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};
use crate::math;
use crate::matrix::{Mat, MatMut, Threads, add_product, product};
use crate::segments::{HeadAt, Segments, pieces};

/// Queries whose scores are computed together; the score block of a task is at most this times a sequence's length.
const BLOCK: usize = 64;

/// The heads of one attention layer. Scores are scaled by `1 / sqrt(head_dim)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub kv_heads: usize,
    /// Values a head.
    pub head_dim: usize,
}

/// What the forward pass read and left.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Queries, turned by their positions.
    pub q: &'a [f32],
    /// Keys, turned by their positions.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
    /// The logarithm of the sum of the exponentials of each row's scores.
    pub lse: &'a [f32],
}

/// Where the backward writes; the shapes are those of the values.
pub struct Gradients<'a> {
    /// Of the queries.
    pub dq: &'a mut [f32],
    /// Of the keys.
    pub dk: &'a mut [f32],
    /// Of the values.
    pub dv: &'a mut [f32],
}

impl AttentionShape {
    fn check(
        &self,
        op: &'static str,
        segments: &Segments,
        sizes: [(&'static str, usize, usize); 5],
    ) -> Result<(), OpsError> {
        let divides = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads) && self.head_dim > 0;
        shape(op, "the key heads divide the heads", self.heads, self.kv_heads, divides)?;
        sizes
            .into_iter()
            .try_for_each(|(operand, got, per_row)| length(op, operand, got, segments.rows() * per_row))
    }

    fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Where this query head's values lie in a buffer of `heads` heads.
    fn query_range(&self, at: HeadAt) -> Range<usize> {
        let from = (at.start * self.heads + at.head * at.length) * self.head_dim;
        from..from + at.length * self.head_dim
    }

    /// Where the keys and values lie that this query head reads.
    fn key_range(&self, at: HeadAt) -> Range<usize> {
        let kv_head = at.head / (self.heads / self.kv_heads);
        let from = (at.start * self.kv_heads + kv_head * at.length) * self.head_dim;
        from..from + at.length * self.head_dim
    }
}

/// The blocks of queries of a sequence.
fn blocks(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(BLOCK).map(move |from| from..length.min(from + BLOCK))
}

/// One query head of one sequence with its keys and values, all `[length, dim]`.
#[derive(Clone, Copy)]
struct Head<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dim: usize,
    scale: f32,
}

impl<'a> Head<'a> {
    /// A block of rows of a `[length, dim]` buffer.
    fn rows(&self, data: &'a [f32], rows: Range<usize>) -> Result<Mat<'a>, OpsError> {
        let count = rows.len();
        Mat::new(&data[rows.start * self.dim..rows.end * self.dim], count, self.dim)
    }

    /// The scores of a block of queries against all keys up to the block's last query: `[block, block.end]`.
    fn scores(&self, block: Range<usize>, scores: &mut [f32]) -> Result<(), OpsError> {
        let (count, seen) = (block.len(), block.end);
        let (q, k) = (self.rows(self.q, block)?, self.rows(self.k, 0..seen)?);
        product(MatMut::new(scores, count, seen)?, self.scale, q, k.t(), Threads::Caller)
    }

    fn forward(&self, out: &mut [f32], lse: &mut [f32]) -> Result<(), OpsError> {
        let length = lse.len();
        let mut buffer = vec![0.0; BLOCK.min(length) * length];
        for block in blocks(length) {
            let seen = block.end;
            let scores = &mut buffer[..block.len() * seen];
            self.scores(block.clone(), scores)?;
            for (row, lse) in block.clone().zip(&mut lse[block.clone()]) {
                let (past, future) = scores[(row - block.start) * seen..][..seen].split_at_mut(row + 1);
                let largest = math::max(past);
                let sum = math::exp_in_place(past, largest);
                past.iter_mut().for_each(|p| *p /= sum);
                future.fill(0.0);
                *lse = largest + sum.ln();
            }
            let target =
                MatMut::new(&mut out[block.start * self.dim..seen * self.dim], block.len(), self.dim)?;
            product(
                target,
                1.0,
                Mat::new(scores, block.len(), seen)?,
                self.rows(self.v, 0..seen)?,
                Threads::Caller,
            )?;
        }
        Ok(())
    }

    /// `dk` and `dv` are this query head's part; `delta` is each row's `dout . out`.
    fn backward(
        &self,
        lse: &[f32],
        dout: &[f32],
        delta: &[f32],
        [dq, dk, dv]: [&mut [f32]; 3],
    ) -> Result<(), OpsError> {
        let (length, dim) = (lse.len(), self.dim);
        let size = BLOCK.min(length) * length;
        let (mut p_buffer, mut ds_buffer) = (vec![0.0; size], vec![0.0; size]);
        dk.fill(0.0);
        dv.fill(0.0);
        for block in blocks(length) {
            let (count, seen) = (block.len(), block.end);
            let (p, ds) = (&mut p_buffer[..count * seen], &mut ds_buffer[..count * seen]);
            let dout = Mat::new(&dout[block.start * dim..seen * dim], count, dim)?;
            self.scores(block.clone(), p)?;
            product(
                MatMut::new(ds, count, seen)?,
                1.0,
                dout,
                self.rows(self.v, 0..seen)?.t(),
                Threads::Caller,
            )?;
            for (row, (p, ds)) in block.clone().zip(p.chunks_mut(seen).zip(ds.chunks_mut(seen))) {
                let (lse, delta) = (lse[row], delta[row]);
                for (p, ds) in p[..=row].iter_mut().zip(&mut ds[..=row]) {
                    *p = math::exp(*p - lse);
                    *ds = *p * (*ds - delta) * self.scale;
                }
                p[row + 1..].fill(0.0);
                ds[row + 1..].fill(0.0);
            }
            let (p, ds) = (Mat::new(p, count, seen)?, Mat::new(ds, count, seen)?);
            let rows = block.start * dim..seen * dim;
            product(
                MatMut::new(&mut dq[rows], count, dim)?,
                1.0,
                ds,
                self.rows(self.k, 0..seen)?,
                Threads::Caller,
            )?;
            add_product(
                MatMut::new(&mut dk[..seen * dim], seen, dim)?,
                1.0,
                ds.t(),
                self.rows(self.q, block)?,
                Threads::Caller,
            )?;
            add_product(MatMut::new(&mut dv[..seen * dim], seen, dim)?, 1.0, p.t(), dout, Threads::Caller)?;
        }
        Ok(())
    }
}

/// Writes `softmax(q k^T / sqrt(head_dim)) v` to `out`, each query seeing the keys up to its own place, and `lse`.
pub fn forward(
    layer: AttentionShape,
    segments: &Segments,
    [q, k, v]: [&[f32]; 3],
    out: &mut [f32],
    lse: &mut [f32],
) -> Result<(), OpsError> {
    let (wide, narrow) = (layer.q_width(), layer.kv_width());
    let sizes = [
        ("q", q.len(), wide),
        ("k", k.len(), narrow),
        ("v", v.len(), narrow),
        ("out", out.len(), wide),
        ("lse", lse.len(), layer.heads),
    ];
    layer.check("attention", segments, sizes)?;
    let outs = pieces(out, segments.heads(layer.heads).map(|at| at.length * layer.head_dim));
    let lses = pieces(lse, segments.heads(layer.heads).map(|at| at.length));
    let places: Vec<_> = segments.heads(layer.heads).collect();
    outs.into_par_iter().zip(lses).zip(places).try_for_each(|((out, lse), at)| {
        let keys = layer.key_range(at);
        let head = Head {
            q: &q[layer.query_range(at)],
            k: &k[keys.clone()],
            v: &v[keys],
            dim: layer.head_dim,
            scale: layer.scale(),
        };
        head.forward(out, lse)
    })
}

/// The gradients of `q`, `k` and `v`, given `dout` and `out` (both head-major).
pub fn backward(
    layer: AttentionShape,
    segments: &Segments,
    kept: Kept<'_>,
    [out, dout]: [&[f32]; 2],
    gradients: Gradients<'_>,
) -> Result<(), OpsError> {
    let (op, wide, narrow) = ("attention backward", layer.q_width(), layer.kv_width());
    let Kept { q, k, v, lse } = kept;
    let Gradients { dq, dk, dv } = gradients;
    layer.check(
        op,
        segments,
        [
            ("q", q.len(), wide),
            ("k", k.len(), narrow),
            ("v", v.len(), narrow),
            ("out", out.len(), wide),
            ("lse", lse.len(), layer.heads),
        ],
    )?;
    layer.check(
        op,
        segments,
        [
            ("dout", dout.len(), wide),
            ("dq", dq.len(), wide),
            ("dk", dk.len(), narrow),
            ("dv", dv.len(), narrow),
            ("lse", lse.len(), layer.heads),
        ],
    )?;
    let sizes = || segments.heads(layer.heads).map(|at| at.length * layer.head_dim);
    // Each query head has its own part of dk and dv, so that heads run at once; the parts are then added in order.
    let (mut dk_parts, mut dv_parts) = (vec![0.0; q.len()], vec![0.0; q.len()]);
    let tasks = pieces(dq, sizes())
        .into_par_iter()
        .zip(pieces(&mut dk_parts, sizes()))
        .zip(pieces(&mut dv_parts, sizes()));
    let places: Vec<_> = segments.heads(layer.heads).collect();
    tasks.zip(places).try_for_each(|(((dq, dk), dv), at)| {
        let (queries, keys) = (layer.query_range(at), layer.key_range(at));
        let head = Head {
            q: &q[queries.clone()],
            k: &k[keys.clone()],
            v: &v[keys],
            dim: layer.head_dim,
            scale: layer.scale(),
        };
        let rows = queries.start / layer.head_dim..queries.end / layer.head_dim;
        let (out, dout) = (&out[queries.clone()], &dout[queries]);
        let delta: Vec<f32> = out
            .chunks(layer.head_dim)
            .zip(dout.chunks(layer.head_dim))
            .map(|(o, d)| math::dot(o, d))
            .collect();
        head.backward(&lse[rows], dout, &delta, [dq, dk, dv])
    })?;
    add_groups(layer, segments, &dk_parts, dk);
    add_groups(layer, segments, &dv_parts, dv);
    Ok(())
}

/// Sums the parts of the query heads of each group.
fn add_groups(layer: AttentionShape, segments: &Segments, parts: &[f32], total: &mut [f32]) {
    let group = layer.heads / layer.kv_heads;
    let targets = pieces(total, segments.heads(layer.kv_heads).map(|at| at.length * layer.head_dim));
    let sources = segments.heads(layer.kv_heads).map(|at| {
        let size = at.length * layer.head_dim;
        let from = at.start * layer.q_width() + at.head * group * size;
        &parts[from..from + group * size]
    });
    let sources: Vec<_> = sources.collect();
    targets.into_par_iter().zip(sources).for_each(|(total, parts)| {
        total.fill(0.0);
        for part in parts.chunks(total.len()) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
    });
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
