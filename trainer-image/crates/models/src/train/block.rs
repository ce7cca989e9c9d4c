//! Forward and backward of one block, and the buffers between them.

use cooperator_ops::attention::{self, AttentionShape};
use cooperator_ops::lora::{LoraGradient, LoraLinear};
use cooperator_ops::norm;
use cooperator_ops::rope::{HeadColumns, RopeTable, merge_heads, split_heads};
use cooperator_ops::segments::Segments;
use cooperator_ops::{OpsError, swiglu};

use super::frozen::{Block, Group};
use crate::config::LlamaConfig;
use crate::lora::LoraAdapter;
use crate::optimizer::Gradients;

/// The adapter as a pass uses it.
#[derive(Clone, Copy)]
pub(super) struct Adaptation<'a> {
    pub adapter: &'a LoraAdapter,
    /// Seed of this micro-batch's masks; none: no dropout.
    pub dropout_seed: Option<u64>,
}

/// What all blocks of a pass share.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub config: &'a LlamaConfig,
    pub rope: &'a RopeTable,
    pub segments: &'a Segments,
    pub adaptation: Option<Adaptation<'a>>,
}

/// What a block's backward needs of its forward. `N` rows; see [`cooperator_ops::rope`] for head-major.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The stream before the block, `[N, hidden]`.
    input: Vec<f32>,
    /// Head-major, turned.
    q: Vec<f32>,
    /// Head-major, turned.
    k: Vec<f32>,
    /// Head-major.
    v: Vec<f32>,
    /// A value a head and row.
    lse: Vec<f32>,
    /// What attention gave, `[N, q]`.
    attended: Vec<f32>,
    /// The stream between the two halves, `[N, hidden]`.
    middle: Vec<f32>,
    /// `[N, 2 * mlp]`; the backward turns it into its gradient.
    gate_up: Vec<f32>,
    /// `A x` of each group's parts.
    low: [Vec<f32>; 4],
}

/// Buffers that one block leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `[N, hidden]`
    normed: Vec<f32>,
    /// `[N, hidden]`: the gradient of a normed input, and of the head's.
    pub gradient: Vec<f32>,
    /// `[N, q + 2 kv]`
    qkv: Vec<f32>,
    /// Head-major, as wide as q.
    heads: Vec<f32>,
    /// Head-major, as wide as q.
    dheads: Vec<f32>,
    /// Head-major.
    dq: Vec<f32>,
    /// Head-major.
    dk: Vec<f32>,
    /// Head-major.
    dv: Vec<f32>,
    /// `[N, q]`
    dattended: Vec<f32>,
    /// `[N, mlp]`
    act: Vec<f32>,
    /// `[N, mlp]`
    dact: Vec<f32>,
    /// As wide as three parts.
    dlow: Vec<f32>,
}

impl Kept {
    pub fn resize(&mut self, config: &LlamaConfig, rows: usize) {
        let to = |buffer: &mut Vec<f32>, width: usize| buffer.resize(rows * width, 0.0);
        to(&mut self.input, config.hidden_size);
        to(&mut self.q, config.q_size());
        to(&mut self.k, config.kv_size());
        to(&mut self.v, config.kv_size());
        to(&mut self.lse, config.num_attention_heads);
        to(&mut self.attended, config.q_size());
        to(&mut self.middle, config.hidden_size);
        to(&mut self.gate_up, 2 * config.intermediate_size);
    }
}

impl Scratch {
    pub fn resize(&mut self, config: &LlamaConfig, rows: usize, rank: usize) {
        let to = |buffer: &mut Vec<f32>, width: usize| buffer.resize(rows * width, 0.0);
        to(&mut self.normed, config.hidden_size);
        to(&mut self.gradient, config.hidden_size);
        to(&mut self.qkv, config.q_size() + 2 * config.kv_size());
        to(&mut self.heads, config.q_size());
        to(&mut self.dheads, config.q_size());
        to(&mut self.dq, config.q_size());
        to(&mut self.dk, config.kv_size());
        to(&mut self.dv, config.kv_size());
        to(&mut self.dattended, config.q_size());
        to(&mut self.act, config.intermediate_size);
        to(&mut self.dact, config.intermediate_size);
        to(&mut self.dlow, 3 * rank);
    }
}

impl Pass<'_> {
    fn eps(&self) -> f32 {
        self.config.rms_norm_eps as f32
    }

    fn attention(&self) -> AttentionShape {
        AttentionShape {
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
        }
    }

    /// The columns of q, k and v in the rows of the fused projection.
    fn qkv_columns(&self) -> [HeadColumns; 3] {
        let (q, kv) = (self.config.q_size(), self.config.kv_size());
        let at =
            |offset, heads| HeadColumns { offset, stride: q + 2 * kv, heads, head_dim: self.config.head_dim };
        let kv_heads = self.config.num_key_value_heads;
        [at(0, self.config.num_attention_heads), at(q, kv_heads), at(q + kv, kv_heads)]
    }

    /// The columns of the heads in rows that hold nothing else.
    fn head_columns(&self) -> HeadColumns {
        let heads = self.config.num_attention_heads;
        HeadColumns { offset: 0, stride: self.config.q_size(), heads, head_dim: self.config.head_dim }
    }
}

/// Runs a group forward, making room for `A x` of its parts.
fn run(
    linear: &LoraLinear<'_>,
    x: &[f32],
    onto: bool,
    y: &mut [f32],
    low: &mut Vec<f32>,
    rows: usize,
) -> Result<(), OpsError> {
    low.resize(rows * linear.ranks(), 0.0);
    linear.forward(x, onto, y, low)
}

/// The gradients of a group's parts, from its input `x`, its kept `low`, and what [`LoraLinear::backward_input`] wrote.
fn learn(
    pass: Pass<'_>,
    (group, layer): (&Group, usize),
    [x, low, dy, dlow]: [&[f32]; 4],
    gradients: &mut Gradients,
) -> Result<(), OpsError> {
    let linear = group.linear(layer, pass.adaptation)?;
    let buffers = &mut gradients.tensors[group.gradients(layer, pass.adaptation)];
    let mut parts: Vec<LoraGradient<'_>> =
        buffers.as_chunks_mut::<2>().0.iter_mut().map(|[a, b]| LoraGradient { a, b }).collect();
    linear.backward_parts(x, low, dy, dlow, &mut parts)
}

impl Block {
    /// Adds this block to `stream`, `[N, hidden]`.
    pub fn forward(
        &self,
        pass: Pass<'_>,
        layer: usize,
        stream: &mut [f32],
        kept: &mut Kept,
        scratch: &mut Scratch,
    ) -> Result<(), OpsError> {
        let (rows, segments, on) = (pass.segments.rows(), pass.segments, pass.adaptation);
        let [low_qkv, low_o, low_gate_up, low_down] = &mut kept.low;
        kept.input.copy_from_slice(stream);
        norm::forward(stream, &self.input_norm, pass.eps(), &mut scratch.normed)?;
        run(&self.qkv.linear(layer, on)?, &scratch.normed, false, &mut scratch.qkv, low_qkv, rows)?;
        let [q, k, v] = pass.qkv_columns();
        split_heads(&scratch.qkv, q, segments, Some(pass.rope), &mut kept.q)?;
        split_heads(&scratch.qkv, k, segments, Some(pass.rope), &mut kept.k)?;
        split_heads(&scratch.qkv, v, segments, None, &mut kept.v)?;
        attention::forward(
            pass.attention(),
            segments,
            [&kept.q, &kept.k, &kept.v],
            &mut scratch.heads,
            &mut kept.lse,
        )?;
        merge_heads(&scratch.heads, pass.head_columns(), segments, None, &mut kept.attended)?;
        run(&self.o.linear(layer, on)?, &kept.attended, true, stream, low_o, rows)?;

        kept.middle.copy_from_slice(stream);
        norm::forward(stream, &self.post_norm, pass.eps(), &mut scratch.normed)?;
        run(&self.gate_up.linear(layer, on)?, &scratch.normed, false, &mut kept.gate_up, low_gate_up, rows)?;
        swiglu::forward(&kept.gate_up, pass.config.intermediate_size, &mut scratch.act)?;
        run(&self.down.linear(layer, on)?, &scratch.act, true, stream, low_down, rows)
    }

    /// Turns `gradient`, that of the stream after the block, into that of the stream before it, and writes the gradients of
    /// the block's parts. Before the first block there is nothing that learns: there `gradient` is left half done.
    pub fn backward(
        &self,
        pass: Pass<'_>,
        layer: usize,
        gradient: &mut [f32],
        kept: &mut Kept,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) -> Result<(), OpsError> {
        self.backward_mlp(pass, layer, gradient, kept, scratch, gradients)?;
        self.backward_attention(pass, layer, gradient, kept, scratch, gradients)
    }

    fn backward_mlp(
        &self,
        pass: Pass<'_>,
        layer: usize,
        gradient: &mut [f32],
        kept: &mut Kept,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) -> Result<(), OpsError> {
        let (rows, on) = (pass.segments.rows(), pass.adaptation);
        let Scratch { normed, gradient: dnormed, act, dact, dlow, .. } = scratch;
        let down = self.down.linear(layer, on)?;
        let dlow_down = &mut dlow[..rows * down.ranks()];
        down.backward_input(gradient, dlow_down, Some(dact))?;
        swiglu::backward_in_place(&mut kept.gate_up, pass.config.intermediate_size, dact, act)?;
        learn(pass, (&self.down, layer), [act, &kept.low[3], gradient, dlow_down], gradients)?;

        let gate_up = self.gate_up.linear(layer, on)?;
        let dlow_gate_up = &mut dlow[..rows * gate_up.ranks()];
        gate_up.backward_input(&kept.gate_up, dlow_gate_up, Some(dnormed))?;
        norm::forward(&kept.middle, &self.post_norm, pass.eps(), normed)?;
        learn(pass, (&self.gate_up, layer), [normed, &kept.low[2], &kept.gate_up, dlow_gate_up], gradients)?;
        norm::add_backward(&kept.middle, &self.post_norm, pass.eps(), dnormed, gradient)
    }

    fn backward_attention(
        &self,
        pass: Pass<'_>,
        layer: usize,
        gradient: &mut [f32],
        kept: &mut Kept,
        scratch: &mut Scratch,
        gradients: &mut Gradients,
    ) -> Result<(), OpsError> {
        let (rows, segments, on) = (pass.segments.rows(), pass.segments, pass.adaptation);
        let Scratch {
            normed, gradient: dnormed, qkv: dqkv, heads, dheads, dq, dk, dv, dattended, dlow, ..
        } = scratch;
        let o = self.o.linear(layer, on)?;
        let dlow_o = &mut dlow[..rows * o.ranks()];
        o.backward_input(gradient, dlow_o, Some(dattended))?;
        learn(pass, (&self.o, layer), [&kept.attended, &kept.low[1], gradient, dlow_o], gradients)?;

        split_heads(&kept.attended, pass.head_columns(), segments, None, heads)?;
        split_heads(dattended, pass.head_columns(), segments, None, dheads)?;
        let read = attention::Kept { q: &kept.q, k: &kept.k, v: &kept.v, lse: &kept.lse };
        let into = attention::Gradients { dq, dk, dv };
        attention::backward(pass.attention(), segments, read, [heads, dheads], into)?;
        let [q_at, k_at, v_at] = pass.qkv_columns();
        merge_heads(dq, q_at, segments, Some(pass.rope), dqkv)?;
        merge_heads(dk, k_at, segments, Some(pass.rope), dqkv)?;
        merge_heads(dv, v_at, segments, None, dqkv)?;

        let qkv = self.qkv.linear(layer, on)?;
        let dlow_qkv = &mut dlow[..rows * qkv.ranks()];
        let first = layer == 0;
        qkv.backward_input(dqkv, dlow_qkv, if first { None } else { Some(dnormed) })?;
        norm::forward(&kept.input, &self.input_norm, pass.eps(), normed)?;
        learn(pass, (&self.qkv, layer), [normed, &kept.low[0], dqkv, dlow_qkv], gradients)?;
        if first {
            Ok(())
        } else {
            norm::add_backward(&kept.input, &self.input_norm, pass.eps(), dnormed, gradient)
        }
    }
}
