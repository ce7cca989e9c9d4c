//! The base weights in the layout of training: f32, with projections of one input under each other.

use std::ops::Range;

use candle_core::{DType, Tensor};
use cooperator_ops::OpsError;
use cooperator_ops::dropout::Dropout;
use cooperator_ops::lora::{LoraLinear, LoraPart};

use super::block::Adaptation;
use crate::config::{LINEARS, LlamaConfig};
use crate::weights::{Weights, WeightsError};

/// Places in [`LINEARS`] of the projections that share an input.
const GROUPS: [Range<usize>; 4] = [0..3, 3..4, 4..6, 6..7];

/// Every frozen value.
#[derive(Debug)]
pub(super) struct Frozen {
    /// `[vocabulary, hidden]`
    pub embedding: Vec<f32>,
    /// `[vocabulary, hidden]`; none where the embedding serves.
    head: Option<Vec<f32>>,
    /// Of the last norm.
    pub norm: Vec<f32>,
    /// In forward order.
    pub blocks: Vec<Block>,
}

/// One transformer block.
#[derive(Debug)]
pub(super) struct Block {
    pub input_norm: Vec<f32>,
    pub post_norm: Vec<f32>,
    pub qkv: Group,
    pub o: Group,
    pub gate_up: Group,
    pub down: Group,
}

/// Projections of one input.
#[derive(Debug)]
pub(super) struct Group {
    /// Places in [`LINEARS`].
    linears: Range<usize>,
    /// `[outputs, inputs]`: one projection's rows after the other's.
    weight: Vec<f32>,
    inputs: usize,
    /// The outputs of each projection.
    columns: Vec<Range<usize>>,
}

impl Frozen {
    pub fn new(config: &LlamaConfig, weights: &Weights) -> Result<Self, WeightsError> {
        let read = |name: &str| values(weights, name);
        let head = if config.tie_word_embeddings { None } else { Some(read("lm_head.weight")?) };
        let blocks = (0..config.num_hidden_layers).map(|layer| Block::new(config, weights, layer));
        Ok(Self {
            embedding: read("model.embed_tokens.weight")?,
            head,
            norm: read("model.norm.weight")?,
            blocks: blocks.collect::<Result<_, _>>()?,
        })
    }

    /// The output layer, `[vocabulary, hidden]`.
    pub fn output(&self) -> &[f32] {
        self.head.as_deref().unwrap_or(&self.embedding)
    }
}

impl Block {
    fn new(config: &LlamaConfig, weights: &Weights, layer: usize) -> Result<Self, WeightsError> {
        let norm = |name: &str| values(weights, &format!("model.layers.{layer}.{name}.weight"));
        let [qkv, o, gate_up, down] = GROUPS.map(|linears| Group::new(config, weights, layer, linears));
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            post_norm: norm("post_attention_layernorm")?,
            qkv: qkv?,
            o: o?,
            gate_up: gate_up?,
            down: down?,
        })
    }
}

impl Group {
    fn new(
        config: &LlamaConfig,
        weights: &Weights,
        layer: usize,
        linears: Range<usize>,
    ) -> Result<Self, WeightsError> {
        let (mut weight, mut columns, mut width) = (Vec::new(), Vec::new(), 0);
        let mut outputs = 0;
        for linear in &LINEARS[linears.clone()] {
            let [rows, inputs] = config.linear_shape(linear).unwrap_or_default();
            weight.extend(values(weights, &format!("model.layers.{layer}.{linear}.weight"))?);
            columns.push(outputs..outputs + rows);
            outputs += rows;
            width = inputs;
        }
        Ok(Self { linears, weight, inputs: width, columns })
    }

    /// This group as a layer of the ops crate, with the adapter's parts if there are any.
    pub fn linear<'a>(
        &'a self,
        layer: usize,
        adaptation: Option<Adaptation<'a>>,
    ) -> Result<LoraLinear<'a>, OpsError> {
        let outputs = self.columns.last().map_or(0, |columns| columns.end);
        let mut parts = Vec::new();
        let places = self.linears.clone().zip(&self.columns);
        for ((place, columns), Adaptation { adapter, dropout_seed }) in
            places.filter_map(|p| Some((p, adaptation?)))
        {
            let Some(pair) = adapter.pair(layer, LINEARS[place]) else { continue };
            let probability = adapter.config().dropout;
            let seed = dropout_seed.filter(|_| probability > 0.0);
            let seed = seed.map(|seed| mask_seed(seed, (layer * LINEARS.len() + place) as u64));
            parts.push(LoraPart {
                a: &pair.a.data,
                b: &pair.b.data,
                rank: adapter.config().rank,
                scale: adapter.config().scale(),
                columns: columns.clone(),
                dropout: seed.map(|seed| Dropout::new(probability, seed)).transpose()?,
            });
        }
        LoraLinear::new(&self.weight, self.inputs, outputs, parts)
    }

    /// Where this group's gradients lie among the adapter's tensors: A and B of each part in turn.
    pub fn gradients(&self, layer: usize, adaptation: Option<Adaptation<'_>>) -> Range<usize> {
        let Some(Adaptation { adapter, .. }) = adaptation else { return 0..0 };
        let pairs: Vec<usize> = LINEARS[self.linears.clone()]
            .iter()
            .filter_map(|linear| Some(adapter.pair(layer, linear)?.index))
            .collect();
        match (pairs.first(), pairs.last()) {
            (Some(first), Some(last)) => *first..*last + 2,
            _ => 0..0,
        }
    }
}

/// A seed for one mask of a micro-batch (the finaliser of SplitMix64: close inputs, unlike outputs).
fn mask_seed(seed: u64, place: u64) -> u64 {
    let mut mixed = seed.wrapping_add((place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A tensor's values in 32 bits.
fn values(weights: &Weights, name: &str) -> Result<Vec<f32>, WeightsError> {
    let flat = |tensor: Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
    flat(weights.f32(name)?).map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })
}
