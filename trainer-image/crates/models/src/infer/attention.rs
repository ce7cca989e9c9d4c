//! The key-value cache of one sequence and the attention that reads it.

use cooperator_ops::math;
use rayon::prelude::*;

use crate::config::LlamaConfig;

/// Keys and values of one layer, per key-value head `[positions, head_dim]`.
#[derive(Clone, Debug)]
pub(super) struct LayerCache {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl LayerCache {
    pub(super) fn new(config: &LlamaConfig) -> Self {
        let empty = || vec![Vec::new(); config.num_key_value_heads];
        Self { keys: empty(), values: empty() }
    }

    /// Appends one position: `key` and `value` are the rows of all heads side by side.
    pub(super) fn push(&mut self, key: &[f32], value: &[f32], head_dim: usize) {
        for (head, part) in self.keys.iter_mut().zip(key.chunks_exact(head_dim)) {
            head.extend_from_slice(part);
        }
        for (head, part) in self.values.iter_mut().zip(value.chunks_exact(head_dim)) {
            head.extend_from_slice(part);
        }
    }

    /// Causal attention of `q`, whose rows are the newest positions in the cache, into `out` of the same shape:
    /// `[rows, heads * head_dim]`.
    pub(super) fn attend(&self, config: &LlamaConfig, q: &[f32], length: usize, out: &mut [f32]) {
        let width = config.q_size();
        let rows = q.len() / width;
        let dim = config.head_dim;
        let attend = |(index, out): (usize, &mut [f32])| {
            let (row, head) = (index / config.num_attention_heads, index % config.num_attention_heads);
            let kv = head / config.group_size();
            let visible = (length - rows + row + 1) * dim;
            let q = &q[row * width + head * dim..][..dim];
            let keys = &self.keys[kv][..visible];
            let values = &self.values[kv][..visible];
            pulp::Arch::new().dispatch(Head { q, keys, values, out });
        };
        // A decode step at a short length is done before another thread has woken up.
        if rows * length < 256 {
            out.chunks_mut(dim).enumerate().for_each(attend);
        } else {
            out.par_chunks_mut(dim).enumerate().for_each(attend);
        }
    }
}

/// One query of one head against what it may see.
struct Head<'a> {
    q: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let dim = self.q.len();
        let scale = 1.0 / (dim as f32).sqrt();
        let mut scores: Vec<f32> =
            self.keys.chunks_exact(dim).map(|key| scale * math::dot(self.q, key)).collect();
        let highest = math::max(&scores);
        let total = math::exp_in_place(&mut scores, highest);
        self.out.fill(0.0);
        for (score, value) in scores.iter().zip(self.values.chunks_exact(dim)) {
            let weight = score / total;
            for (out, v) in self.out.iter_mut().zip(value) {
                *out += weight * v;
            }
        }
    }
}
