//! Training a LoRA adapter of a Llama-family model: the loss of a batch and the adapter's gradients, in f32 on the CPU.
//!
//! There is no autograd: each block keeps what its backward needs, in buffers that live as long as the model, and the backward
//! is written out (`block`). Base weights are frozen; no gradient is made for them. Sequences of any lengths lie one after
//! the other without padding. Work is spread over the current rayon pool; the results do not depend on its size.

use cooperator_ops::OpsError;
use cooperator_ops::cross_entropy::{IGNORED, LossHead, LossSum};
use cooperator_ops::norm;
use cooperator_ops::rope::RopeTable;
use cooperator_ops::segments::Segments;

use crate::config::LlamaConfig;
use crate::lora::LoraAdapter;
use crate::optimizer::Gradients;
use crate::weights::{Weights, WeightsError};

mod block;
mod frozen;

use block::{Adaptation, Kept, Pass, Scratch};
use frozen::Frozen;

/// Why a batch cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The base weights are not complete.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The adapter was made for a model of another shape.
    #[error("the adapter does not fit the base model: {0}; it must be made for this config.json")]
    Adapter(String),
    /// Tokens and labels of a sequence differ in number, or it has too few tokens to have a target.
    #[error("sequence {index} has {tokens} tokens and {labels} labels; it needs as many of each, at least 2")]
    Sequence {
        /// Its place in the batch.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// Its labels.
        labels: usize,
    },
    /// A sequence is longer than the model's context.
    #[error("a sequence has {length} tokens; the model's context is {bound}")]
    TooLong {
        /// Its tokens.
        length: usize,
        /// `max_position_embeddings`.
        bound: usize,
    },
    /// An operation refused its operands.
    #[error(transparent)]
    Ops(#[from] OpsError),
}

/// Sequences to train or evaluate on.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    tokens: Vec<u32>,
    /// The target of each row: the label of the next token.
    targets: Vec<i32>,
    segments: Segments,
}

impl Batch {
    /// Sequences whose every token but the first is a target.
    ///
    /// # Errors
    /// [`TrainError::Sequence`] for one of fewer than two tokens; [`TrainError::Ops`] for no sequence at all.
    pub fn new<S: AsRef<[u32]>>(sequences: &[S]) -> Result<Self, TrainError> {
        let labels: Vec<Vec<i32>> =
            sequences.iter().map(|s| s.as_ref().iter().map(|t| *t as i32).collect()).collect();
        let pairs: Vec<(&[u32], &[i32])> =
            sequences.iter().map(AsRef::as_ref).zip(labels.iter().map(Vec::as_slice)).collect();
        Self::with_labels(&pairs)
    }

    /// Sequences with transformers' labels: as many as tokens, `labels[i]` being the id at place `i` as a target, or -100
    /// where that place is not trained on. The shift by one is done here.
    ///
    /// # Errors
    /// [`TrainError::Sequence`] for unequal numbers or fewer than two; [`TrainError::Ops`] for no sequence at all.
    pub fn with_labels(sequences: &[(&[u32], &[i32])]) -> Result<Self, TrainError> {
        let lengths: Vec<usize> = sequences.iter().map(|(tokens, _)| tokens.len()).collect();
        let rows = lengths.iter().sum();
        let (mut all, mut targets) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for (index, (tokens, labels)) in sequences.iter().enumerate() {
            if tokens.len() != labels.len() || tokens.len() < 2 {
                return Err(TrainError::Sequence { index, tokens: tokens.len(), labels: labels.len() });
            }
            all.extend_from_slice(tokens);
            targets.extend_from_slice(&labels[1..]);
            targets.push(IGNORED);
        }
        Ok(Self { tokens: all, targets, segments: Segments::new(&lengths)? })
    }

    /// Tokens of all sequences.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// Which model an evaluation measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The base model alone.
    Base,
    /// The base model with the adapter, without dropout.
    Adapted,
}

/// A frozen base model, the adapter in training, and the buffers of a step.
#[derive(Debug)]
pub struct TrainModel {
    config: LlamaConfig,
    frozen: Frozen,
    adapter: LoraAdapter,
    rope: RopeTable,
    /// What each block keeps for its backward; evaluation uses the first for all.
    kept: Vec<Kept>,
    scratch: Scratch,
    stream: Vec<f32>,
    hidden: Vec<f32>,
}

impl TrainModel {
    /// Takes f32 copies of `weights` (which may be dropped afterwards) and the adapter.
    ///
    /// # Errors
    /// [`TrainError::Weights`] for a missing tensor; [`TrainError::Adapter`] for another model's adapter.
    pub fn new(config: &LlamaConfig, weights: &Weights, adapter: LoraAdapter) -> Result<Self, TrainError> {
        check_adapter(config, &adapter)?;
        Ok(Self {
            config: config.clone(),
            frozen: Frozen::new(config, weights)?,
            adapter,
            rope: RopeTable::new(&[], 0),
            kept: Vec::new(),
            scratch: Scratch::default(),
            stream: Vec::new(),
            hidden: Vec::new(),
        })
    }

    /// The shape of the base model.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// The adapter.
    #[must_use]
    pub fn adapter(&self) -> &LoraAdapter {
        &self.adapter
    }

    /// The adapter, for the optimiser.
    pub fn adapter_mut(&mut self) -> &mut LoraAdapter {
        &mut self.adapter
    }

    /// The adapter alone, the rest dropped.
    #[must_use]
    pub fn into_adapter(self) -> LoraAdapter {
        self.adapter
    }

    /// The summed loss of a batch and its gradients, in the order of the adapter's tensors. `dropout_seed` decides the masks
    /// (only used if the adapter has dropout): give every micro-batch of a run its own, such as a function of the run's
    /// seed and the micro-batch's number, and a resumed run draws the same masks.
    ///
    /// A NaN or infinity shows in the loss or the gradients; [`crate::optimizer::Accumulator::finish`] refuses it.
    ///
    /// # Errors
    /// [`TrainError::TooLong`], or [`TrainError::Ops`] for a token outside the vocabulary.
    pub fn loss_and_grads(
        &mut self,
        batch: &Batch,
        dropout_seed: u64,
    ) -> Result<(LossSum, Gradients), TrainError> {
        let layers = self.config.num_hidden_layers;
        self.prepare(batch, layers)?;
        let mut gradients = Gradients::zeros(self.adapter.tensors());
        let adaptation = Adaptation { adapter: &self.adapter, dropout_seed: Some(dropout_seed) };
        let pass = Pass {
            config: &self.config,
            rope: &self.rope,
            segments: &batch.segments,
            adaptation: Some(adaptation),
        };
        for (layer, (block, kept)) in self.frozen.blocks.iter().zip(&mut self.kept).enumerate() {
            block.forward(pass, layer, &mut self.stream, kept, &mut self.scratch)?;
        }
        let eps = self.config.rms_norm_eps as f32;
        norm::forward(&self.stream, &self.frozen.norm, eps, &mut self.hidden)?;
        // the normed rows and their gradient swap places: the head reads one and writes the other
        let mut gradient = std::mem::take(&mut self.scratch.gradient);
        let loss =
            head(&self.config, &self.frozen)?.loss(&self.hidden, &batch.targets, Some(&mut gradient))?;
        self.hidden.fill(0.0);
        norm::add_backward(&self.stream, &self.frozen.norm, eps, &gradient, &mut self.hidden)?;
        self.scratch.gradient = gradient;
        for (layer, (block, kept)) in self.frozen.blocks.iter().zip(&mut self.kept).enumerate().rev() {
            block.backward(pass, layer, &mut self.hidden, kept, &mut self.scratch, &mut gradients)?;
        }
        Ok((loss, gradients))
    }

    /// The summed loss of a batch, for evaluation. Needs the memory of one block.
    ///
    /// # Errors
    /// [`TrainError::TooLong`], or [`TrainError::Ops`] for a token outside the vocabulary.
    pub fn loss(&mut self, batch: &Batch, measure: Measure) -> Result<LossSum, TrainError> {
        self.forward(batch, measure)?;
        Ok(head(&self.config, &self.frozen)?.loss(&self.hidden, &batch.targets, None)?)
    }

    /// The logits of every row, `[tokens, vocabulary]`: for tests and small batches.
    ///
    /// # Errors
    /// [`TrainError::TooLong`], or [`TrainError::Ops`] for a token outside the vocabulary.
    pub fn logits(&mut self, batch: &Batch, measure: Measure) -> Result<Vec<f32>, TrainError> {
        self.forward(batch, measure)?;
        let mut logits = vec![0.0; batch.tokens() * self.config.vocab_size];
        head(&self.config, &self.frozen)?.logits(&self.hidden, &mut logits)?;
        Ok(logits)
    }

    /// Leaves the last block's normed output in `hidden`.
    fn forward(&mut self, batch: &Batch, measure: Measure) -> Result<(), TrainError> {
        self.prepare(batch, 1)?;
        let adaptation = match measure {
            Measure::Base => None,
            Measure::Adapted => Some(Adaptation { adapter: &self.adapter, dropout_seed: None }),
        };
        let pass = Pass { config: &self.config, rope: &self.rope, segments: &batch.segments, adaptation };
        let Some(kept) = self.kept.first_mut() else { return Ok(()) };
        for (layer, block) in self.frozen.blocks.iter().enumerate() {
            block.forward(pass, layer, &mut self.stream, kept, &mut self.scratch)?;
        }
        Ok(norm::forward(&self.stream, &self.frozen.norm, self.config.rms_norm_eps as f32, &mut self.hidden)?)
    }

    /// Checks the batch, sizes the buffers for `kept` blocks, and looks up the embeddings.
    fn prepare(&mut self, batch: &Batch, kept: usize) -> Result<(), TrainError> {
        let (longest, bound) = (batch.segments.longest(), self.config.max_position_embeddings);
        if longest > bound {
            return Err(TrainError::TooLong { length: longest, bound });
        }
        if longest > self.rope.positions() {
            let frequencies: Vec<f64> =
                self.config.inverse_frequencies().iter().map(|f| f64::from(*f)).collect();
            self.rope = RopeTable::new(&frequencies, longest);
        }
        let (rows, width) = (batch.tokens(), self.config.hidden_size);
        if self.kept.len() < kept {
            self.kept.resize_with(kept, Kept::default);
        }
        // every buffer has the size of this batch, even one that only another kind of pass uses
        self.kept.iter_mut().for_each(|kept| kept.resize(&self.config, rows));
        self.scratch.resize(&self.config, rows, self.adapter.config().rank);
        self.stream.resize(rows * width, 0.0);
        self.hidden.resize(rows * width, 0.0);
        for (row, (token, target)) in batch.tokens.iter().zip(self.stream.chunks_mut(width)).enumerate() {
            let from = *token as usize * width;
            let embedding =
                self.frozen.embedding.get(from..from + width).ok_or(OpsError::OutOfVocabulary {
                    op: "embedding",
                    row,
                    id: i64::from(*token),
                    vocabulary: self.config.vocab_size,
                })?;
            target.copy_from_slice(embedding);
        }
        Ok(())
    }
}

fn head<'a>(config: &LlamaConfig, frozen: &'a Frozen) -> Result<LossHead<'a>, OpsError> {
    LossHead::new(frozen.output(), config.vocab_size, config.hidden_size)
}

/// Refuses an adapter whose tensors are not those that this configuration would give.
fn check_adapter(config: &LlamaConfig, adapter: &LoraAdapter) -> Result<(), TrainError> {
    let own = LoraAdapter::init(adapter.config().clone(), config, 0)
        .map_err(|error| TrainError::Adapter(error.to_string()))?;
    let (have, want) = (adapter.tensors(), own.tensors());
    if have.len() != want.len() {
        return Err(TrainError::Adapter(format!(
            "{} tensors where the model takes {}",
            have.len(),
            want.len()
        )));
    }
    let differs = |(have, want): &(&crate::lora::NamedTensor, &crate::lora::NamedTensor)| {
        have.name != want.name || have.shape != want.shape || have.data.len() != want.data.len()
    };
    match have.iter().zip(want).find(differs) {
        None => Ok(()),
        Some((have, want)) => {
            let (name, got, shape) = (&have.name, have.shape, want.shape);
            Err(TrainError::Adapter(format!(
                "{name} has shape {got:?} where the model takes {} {shape:?}",
                want.name
            )))
        }
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
