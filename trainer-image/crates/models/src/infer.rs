//! Inference: the forward pass of a Llama-family model with a key-value cache, for several sequences at once.
//!
//! Guarantees: the same weights, tokens and adapter give the same logits, bit for bit, whatever else is decoded in
//! the same step and however many threads there are. A prompt is read in pieces of at most [`PREFILL`] tokens, so
//! that sequences already speaking need not wait for a long prompt.

use cooperator_ops::{OpsError, math, norm};

use crate::config::{LINEARS, LlamaConfig};
use crate::lora::LoraAdapter;
use crate::weights::{Weights, WeightsError};

mod attention;
mod linear;

use attention::LayerCache;
use linear::{Linear, LowRank, Matrix};

/// Tokens of a prompt that one call reads.
pub const PREFILL: usize = 128;
/// From this many tokens on, a piece of a prompt goes through the matrix product.
const MANY: usize = 16;

/// Why a forward pass was refused.
#[derive(Debug, thiserror::Error)]
pub enum InferError {
    /// A tensor is missing or unreadable.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tensor library failed.
    #[error("tensor: {0}")]
    Tensor(#[from] candle_core::Error),
    /// Shapes that do not fit, a mistake of ours.
    #[error(transparent)]
    Ops(#[from] OpsError),
    /// A token beyond the embedding.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    OutOfVocabulary {
        /// The token.
        token: u32,
        /// Rows of the embedding.
        vocabulary: usize,
    },
    /// The sequence would outgrow the positions the model knows.
    #[error("{wanted} tokens, the model knows {most} positions: shorten the prompt or the answer")]
    ContextFull {
        /// Tokens there would be.
        wanted: usize,
        /// Positions there are.
        most: usize,
    },
    /// A prompt or a piece of one is empty, or longer than [`PREFILL`].
    #[error("a piece of a prompt has 1 to {PREFILL} tokens, this one {0}")]
    Piece(usize),
}

/// What one sequence has read and said so far.
#[derive(Clone, Debug)]
pub struct Cache {
    layers: Vec<LayerCache>,
    length: usize,
}

impl Cache {
    /// Positions filled.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been read yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// One block.
struct Layer {
    input_norm: Vec<f32>,
    /// In the order of [`LINEARS`].
    linears: [Linear; 7],
    post_norm: Vec<f32>,
}

/// A model ready to speak. Weights stay in the type they are stored in; arithmetic is f32.
pub struct InferModel {
    config: LlamaConfig,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// None where the embedding is the output layer too.
    head: Option<Matrix>,
    frequencies: Vec<f32>,
}

impl std::fmt::Debug for InferModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InferModel({} layers, {} bytes)", self.layers.len(), self.bytes())
    }
}

impl InferModel {
    /// Lays out `weights` for inference, with `adapter` on top: `W x + s B A x`.
    ///
    /// # Errors
    /// [`InferError::Weights`], [`InferError::Tensor`] if the weights are not those of `config`.
    pub fn new(
        config: &LlamaConfig,
        weights: &Weights,
        adapter: Option<&LoraAdapter>,
    ) -> Result<Self, InferError> {
        let vector = |name: &str| -> Result<Vec<f32>, InferError> { Ok(weights.f32(name)?.to_vec1()?) };
        let matrix = |name: &str| Matrix::new(weights.need(name)?);
        let layer = |index: usize| -> Result<Layer, InferError> {
            let linear = |name: &str| -> Result<Linear, InferError> {
                let weight = matrix(&format!("model.layers.{index}.{name}.weight"))?;
                Ok(Linear { weight, low_rank: adapter.and_then(|adapter| low_rank(adapter, index, name)) })
            };
            let [q, k, v, o, gate, up, down] = LINEARS;
            Ok(Layer {
                input_norm: vector(&format!("model.layers.{index}.input_layernorm.weight"))?,
                linears: [
                    linear(q)?,
                    linear(k)?,
                    linear(v)?,
                    linear(o)?,
                    linear(gate)?,
                    linear(up)?,
                    linear(down)?,
                ],
                post_norm: vector(&format!("model.layers.{index}.post_attention_layernorm.weight"))?,
            })
        };
        Ok(Self {
            embedding: matrix("model.embed_tokens.weight")?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            norm: vector("model.norm.weight")?,
            head: if config.tie_word_embeddings { None } else { Some(matrix("lm_head.weight")?) },
            frequencies: config.inverse_frequencies(),
            config: config.clone(),
        })
    }

    /// The shape.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Bytes of weights held.
    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|layer| &layer.linears).map(|linear| {
            let low = linear.low_rank.as_ref().map_or(0, |low| low.a.bytes() + low.b.bytes());
            linear.weight.bytes() + low
        });
        layers.sum::<usize>() + self.embedding.bytes() + self.head.as_ref().map_or(0, Matrix::bytes)
    }

    /// The cache of a new sequence.
    pub fn cache(&self) -> Cache {
        Cache { layers: vec![LayerCache::new(&self.config); self.layers.len()], length: 0 }
    }

    /// Reads the next 1 to [`PREFILL`] tokens of a prompt; returns the logits after the last of them.
    ///
    /// # Errors
    /// [`InferError::Piece`], [`InferError::ContextFull`], [`InferError::OutOfVocabulary`]; the cache is as before.
    pub fn prefill(&self, cache: &mut Cache, piece: &[u32]) -> Result<Vec<f32>, InferError> {
        if piece.is_empty() || piece.len() > PREFILL {
            return Err(InferError::Piece(piece.len()));
        }
        let hidden = self.forward(&mut [(cache, piece)], piece.len() >= MANY)?;
        self.logits(&hidden[hidden.len() - self.config.hidden_size..])
    }

    /// Reads a whole prompt, piece by piece.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn read(&self, cache: &mut Cache, prompt: &[u32]) -> Result<Vec<f32>, InferError> {
        let mut logits = Err(InferError::Piece(0));
        for piece in prompt.chunks(PREFILL) {
            logits = Ok(self.prefill(cache, piece)?);
        }
        logits
    }

    /// One token for each sequence; returns each one's logits, `[sequences, vocabulary]` in one buffer.
    ///
    /// # Errors
    /// [`InferError::ContextFull`], [`InferError::OutOfVocabulary`]; all caches are as before.
    pub fn decode(&self, batch: &mut [(&mut Cache, u32)]) -> Result<Vec<f32>, InferError> {
        let tokens: Vec<[u32; 1]> = batch.iter().map(|(_, token)| [*token]).collect();
        let mut segments: Vec<(&mut Cache, &[u32])> =
            batch.iter_mut().zip(&tokens).map(|((cache, _), token)| (&mut **cache, &token[..])).collect();
        let hidden = self.forward(&mut segments, false)?;
        self.logits(&hidden)
    }

    /// Hidden rows of all segments, one after the other. Checks everything before any cache is touched.
    fn forward(&self, segments: &mut [(&mut Cache, &[u32])], many: bool) -> Result<Vec<f32>, InferError> {
        let hidden = self.config.hidden_size;
        let mut x = Vec::new();
        let mut rotations = Vec::new();
        for (cache, tokens) in segments.iter() {
            self.check(cache, tokens)?;
            for (offset, token) in tokens.iter().enumerate() {
                let start = x.len();
                x.resize(start + hidden, 0.0);
                self.embedding.row(*token as usize, &mut x[start..]);
                self.push_rotation(cache.length + offset, &mut rotations);
            }
        }
        for (index, layer) in self.layers.iter().enumerate() {
            self.block(index, layer, segments, &rotations, many, &mut x)?;
        }
        for (cache, tokens) in segments.iter_mut() {
            cache.length += tokens.len();
        }
        Ok(x)
    }

    fn check(&self, cache: &Cache, tokens: &[u32]) -> Result<(), InferError> {
        let vocabulary = self.config.vocab_size;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(InferError::OutOfVocabulary { token: *token, vocabulary });
        }
        let (wanted, most) = (cache.length + tokens.len(), self.config.max_position_embeddings);
        if wanted > most {
            return Err(InferError::ContextFull { wanted, most });
        }
        Ok(())
    }

    /// `head_dim / 2` pairs (cos, sin) of one position.
    fn push_rotation(&self, position: usize, rotations: &mut Vec<(f32, f32)>) {
        rotations.extend(self.frequencies.iter().map(|frequency| {
            let angle = f64::from(position as f32 * frequency);
            (angle.cos() as f32, angle.sin() as f32)
        }));
    }

    /// One block, in place on the residual stream `x`.
    fn block(
        &self,
        index: usize,
        layer: &Layer,
        segments: &mut [(&mut Cache, &[u32])],
        rotations: &[(f32, f32)],
        many: bool,
        x: &mut [f32],
    ) -> Result<(), InferError> {
        let (config, eps) = (&self.config, self.config.rms_norm_eps as f32);
        let [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj] = &layer.linears;
        let mut normed = vec![0.0; x.len()];
        norm::forward(x, &layer.input_norm, eps, &mut normed)?;
        let mut q = q_proj.forward(&normed, many)?;
        let mut k = k_proj.forward(&normed, many)?;
        let v = v_proj.forward(&normed, many)?;
        rotate(&mut q, config.q_size(), config.head_dim, rotations);
        rotate(&mut k, config.kv_size(), config.head_dim, rotations);

        let mut attended = vec![0.0; q.len()];
        let (q_width, kv_width) = (config.q_size(), config.kv_size());
        let mut row = 0;
        for (cache, tokens) in segments.iter_mut() {
            let rows = row..row + tokens.len();
            let Some(kept) = cache.layers.get_mut(index) else { continue };
            for row in rows.clone() {
                let at = row * kv_width..(row + 1) * kv_width;
                kept.push(&k[at.clone()], &v[at], config.head_dim);
            }
            let at = rows.start * q_width..rows.end * q_width;
            kept.attend(config, &q[at.clone()], cache.length + tokens.len(), &mut attended[at]);
            row = rows.end;
        }
        add(x, &o_proj.forward(&attended, many)?);

        norm::forward(x, &layer.post_norm, eps, &mut normed)?;
        let mut gate = gate_proj.forward(&normed, many)?;
        let up = up_proj.forward(&normed, many)?;
        for (gate, up) in gate.iter_mut().zip(&up) {
            *gate = *gate * math::sigmoid(*gate) * up;
        }
        add(x, &down_proj.forward(&gate, many)?);
        Ok(())
    }

    /// Logits of hidden rows.
    fn logits(&self, hidden: &[f32]) -> Result<Vec<f32>, InferError> {
        let mut normed = vec![0.0; hidden.len()];
        norm::forward(hidden, &self.norm, self.config.rms_norm_eps as f32, &mut normed)?;
        let rows = hidden.len() / self.config.hidden_size;
        let mut logits = vec![0.0; rows * self.config.vocab_size];
        self.head.as_ref().unwrap_or(&self.embedding).add_few(&normed, 1.0, &mut logits);
        Ok(logits)
    }
}

/// The adapter's part at one place; none where it has none.
fn low_rank(adapter: &LoraAdapter, layer: usize, linear: &str) -> Option<LowRank> {
    let pair = adapter.pair(layer, linear)?;
    let matrix = |tensor: &crate::lora::NamedTensor| {
        Matrix::from_f32(tensor.shape[0], tensor.shape[1], tensor.data.clone())
    };
    Some(LowRank { a: matrix(pair.a), b: matrix(pair.b), scale: adapter.config().scale() })
}

/// Rotates the halves of each head against each other, as `rotate_half` does; `rows` of `width`.
fn rotate(rows: &mut [f32], width: usize, head_dim: usize, rotations: &[(f32, f32)]) {
    let half = head_dim / 2;
    for (row, rotations) in rows.chunks_exact_mut(width).zip(rotations.chunks_exact(half)) {
        for head in row.chunks_exact_mut(head_dim) {
            let (first, second) = head.split_at_mut(half);
            for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(rotations) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

#[cfg(test)]
#[path = "infer/tests.rs"]
mod tests;
