//! LoRA adapters: which layers they add to, their values in one fixed order, and the PEFT files that hold them.

use std::collections::{HashMap, HashSet};

use cooperator_ops::OpsError;
use cooperator_ops::lora::{LoraPart, merge};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};

use crate::config::{LINEARS, LlamaConfig};
use crate::line::one_line;
use crate::stored::{Stored, StoredError};

mod peft;

/// The largest rank accepted; published adapters rarely pass 256.
pub const MAX_RANK: usize = 1024;
/// Bounds of alpha: beyond them `alpha / rank` is zero or infinite in 32 bits for some rank.
const MIN_ALPHA: f64 = 1e-6;
const MAX_ALPHA: f64 = 1e6;

/// Why an adapter cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum LoraError {
    /// A setting is out of its bounds.
    #[error("lora: {field} is {value}; it must be {bound}")]
    Setting {
        /// The setting, by its PEFT name.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        bound: String,
    },
    /// `adapter_config.json` is not JSON of the PEFT form.
    #[error("adapter_config.json cannot be read: {0}; it must be what PEFT's save_pretrained writes")]
    Config(String),
    /// The adapter uses a PEFT feature that changes the mathematics.
    #[error("adapter_config.json: {0} is not supported; give a plain LoRA")]
    Unsupported(String),
    /// The tensors are not a safetensors file.
    #[error("adapter_model.safetensors: {0}")]
    Stored(#[from] StoredError),
    /// The tensors could not be made a safetensors file.
    #[error("adapter_model.safetensors: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The file lacks a tensor, or has one too many.
    #[error(
        "adapter_model.safetensors: {0}; the tensors must be those of the configured targets in every layer of the base model"
    )]
    Tensors(String),
    /// A value is NaN or infinite.
    #[error("adapter_model.safetensors: {0} holds NaN or infinity; take an earlier checkpoint")]
    NotFinite(String),
    /// A shape mistake below.
    #[error(transparent)]
    Ops(#[from] OpsError),
}

/// What an adapter adds and where. Field meanings are PEFT's.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// Rows of each A; 1 to [`MAX_RANK`].
    pub rank: usize,
    /// The addition is scaled by `alpha / rank`; 0.000001 to 1,000,000.
    pub alpha: f64,
    /// Probability with which an input of A is dropped in training; in [0, 1).
    pub dropout: f64,
    /// The last parts of the names in [`LINEARS`] (`q_proj`); at least one.
    pub target_modules: Vec<String>,
}

impl LoraConfig {
    /// What the product `B A x` is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    /// The targets as places in [`LINEARS`], in that order and each once.
    fn targets(&self) -> Result<Vec<usize>, LoraError> {
        let setting = |field, value: String, bound: &str| {
            Err(LoraError::Setting { field, value, bound: bound.to_owned() })
        };
        if !(1..=MAX_RANK).contains(&self.rank) {
            return setting("r", self.rank.to_string(), "1 to 1024");
        }
        if !(MIN_ALPHA..=MAX_ALPHA).contains(&self.alpha) {
            return setting("lora_alpha", format!("{:?}", self.alpha), "0.000001 to 1000000");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return setting("lora_dropout", format!("{:?}", self.dropout), "at least 0 and below 1");
        }
        let known: Vec<&str> = LINEARS.iter().map(|name| short(name)).collect();
        let place = |name: &str| LINEARS.iter().position(|linear| name == *linear || name == short(linear));
        if let Some(other) = self.target_modules.iter().find(|name| place(name).is_none()) {
            return setting(
                "target_modules",
                format!("`{}`", one_line(other)),
                &format!("among {}", known.join(", ")),
            );
        }
        let wanted = |target: &usize| self.target_modules.iter().any(|name| place(name) == Some(*target));
        let targets: Vec<usize> = (0..LINEARS.len()).filter(wanted).collect();
        if targets.is_empty() {
            return setting(
                "target_modules",
                "empty".to_owned(),
                &format!("at least one of {}", known.join(", ")),
            );
        }
        Ok(targets)
    }
}

/// `q_proj` of `self_attn.q_proj`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A matrix with its PEFT name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// `base_model.model.model.layers.<i>.<linear>.lora_<A|B>.weight`
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Row-major values.
    pub data: Vec<f32>,
}

/// An adapter of one base model. Its tensors are in forward order: by layer, by [`LINEARS`], A before B.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraAdapter {
    config: LoraConfig,
    targets: Vec<usize>,
    layers: usize,
    tensors: Vec<NamedTensor>,
}

/// A and B of one linear layer.
#[derive(Clone, Copy, Debug)]
pub struct LoraPair<'a> {
    /// `[rank, inputs]`
    pub a: &'a NamedTensor,
    /// `[outputs, rank]`
    pub b: &'a NamedTensor,
    /// The place of `a` among the adapter's tensors; `b` is the next.
    pub index: usize,
}

impl LoraAdapter {
    /// A new adapter as PEFT starts one: A uniform in `±1 / sqrt(inputs)` (Kaiming with a = sqrt 5), B zero, so that it
    /// changes nothing yet. The same for the same arguments.
    ///
    /// # Errors
    /// [`LoraError::Setting`].
    pub fn init(config: LoraConfig, model: &LlamaConfig, seed: u64) -> Result<Self, LoraError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self::build(config, model, |name, [rows, cols]| {
            let bound = 1.0 / (cols as f32).sqrt();
            let is_b = name.ends_with("lora_B.weight");
            let value = |_| if is_b { 0.0 } else { random.random_range(-bound..bound) };
            Ok((0..rows * cols).map(value).collect())
        })
    }

    /// Every tensor in order, its values from `fill`.
    fn build(
        config: LoraConfig,
        model: &LlamaConfig,
        mut fill: impl FnMut(&str, [usize; 2]) -> Result<Vec<f32>, LoraError>,
    ) -> Result<Self, LoraError> {
        let targets = config.targets()?;
        let mut tensors = Vec::with_capacity(model.num_hidden_layers * targets.len() * 2);
        for layer in 0..model.num_hidden_layers {
            for linear in targets.iter().map(|place| LINEARS[*place]) {
                let [outputs, inputs] = model.linear_shape(linear).unwrap_or_default();
                for (part, shape) in [("A", [config.rank, inputs]), ("B", [outputs, config.rank])] {
                    let name = format!("base_model.model.model.layers.{layer}.{linear}.lora_{part}.weight");
                    let data = fill(&name, shape)?;
                    tensors.push(NamedTensor { name, shape, data });
                }
            }
        }
        Ok(Self { config, targets, layers: model.num_hidden_layers, tensors })
    }

    /// Reads the two files of a PEFT adapter (`adapter_config.json`, `adapter_model.safetensors`; f32, f16 or bf16) made
    /// for a base model of this shape.
    ///
    /// # Errors
    /// [`LoraError`], naming the setting or the tensor.
    pub fn from_peft(model: &LlamaConfig, config_json: &[u8], safetensors: &[u8]) -> Result<Self, LoraError> {
        Self::from_safetensors(model, peft::read(config_json)?, safetensors)
    }

    /// Reads the tensors of an adapter whose configuration is known, such as a checkpoint's.
    ///
    /// # Errors
    /// [`LoraError`], naming the tensor.
    pub fn from_safetensors(
        model: &LlamaConfig,
        config: LoraConfig,
        safetensors: &[u8],
    ) -> Result<Self, LoraError> {
        let file = Stored::parse(safetensors)?;
        let adapter = Self::build(config, model, |name, shape| {
            let view = file.tensor(name).ok_or_else(|| LoraError::Tensors(format!("{name} is missing")))?;
            if view.shape() != shape {
                return Err(LoraError::Tensors(format!(
                    "{name} has shape {:?}, not {shape:?}",
                    view.shape()
                )));
            }
            let data = to_f32(name, view)?;
            if data.iter().all(|value| value.is_finite()) {
                Ok(data)
            } else {
                Err(LoraError::NotFinite(name.to_owned()))
            }
        })?;
        if file.len() == adapter.tensors.len() {
            return Ok(adapter);
        }
        let ours: HashSet<&str> = adapter.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let other = file.names().filter(|name| !ours.contains(name)).min().unwrap_or_default();
        let (other, have, want) = (one_line(other), file.len(), adapter.tensors.len());
        Err(LoraError::Tensors(format!("{have} tensors, not {want}; `{other}` is none of them")))
    }

    /// `adapter_model.safetensors`, f32: the same bytes for the same values.
    ///
    /// # Errors
    /// [`LoraError::Safetensors`] if there are more tensors than a header holds.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, LoraError> {
        let bytes: Vec<Vec<u8>> = self.tensors.iter().map(|t| le_bytes(&t.data)).collect();
        let mut views = Vec::with_capacity(bytes.len());
        for (tensor, bytes) in self.tensors.iter().zip(&bytes) {
            views.push((tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.to_vec(), bytes)?));
        }
        // PEFT and transformers look for this one entry; a map of one has one order
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// `adapter_config.json` for this adapter of the base model of that name: pretty JSON with sorted keys.
    #[must_use]
    pub fn config_json(&self, base_model: &str) -> String {
        peft::write(&self.config, &self.targets, base_model)
    }

    /// How it was configured.
    #[must_use]
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// All tensors in order.
    #[must_use]
    pub fn tensors(&self) -> &[NamedTensor] {
        &self.tensors
    }

    /// All tensors in order, for the optimiser. Names, shapes and lengths must stay.
    pub fn tensors_mut(&mut self) -> &mut [NamedTensor] {
        &mut self.tensors
    }

    /// The number of values that learn.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.data.len()).sum()
    }

    /// A and B for a linear layer, named as in [`LINEARS`]; none if it is no target.
    #[must_use]
    pub fn pair(&self, layer: usize, linear: &str) -> Option<LoraPair<'_>> {
        let place = self.targets.iter().position(|t| LINEARS[*t] == linear)?;
        let index = (layer * self.targets.len() + place) * 2;
        (layer < self.layers).then(|| LoraPair {
            a: &self.tensors[index],
            b: &self.tensors[index + 1],
            index,
        })
    }

    /// Adds this adapter to one weight of its base model (`[outputs, inputs]`, row-major). A layer that is no target stays.
    ///
    /// # Errors
    /// [`LoraError::Ops`] if the weight has another shape.
    pub fn merge(&self, layer: usize, linear: &str, weight: &mut [f32]) -> Result<(), LoraError> {
        let Some(LoraPair { a, b, .. }) = self.pair(layer, linear) else { return Ok(()) };
        let [outputs, inputs] = [b.shape[0], a.shape[1]];
        let part = LoraPart {
            a: &a.data,
            b: &b.data,
            rank: self.config.rank,
            scale: self.config.scale(),
            columns: 0..outputs,
            dropout: None,
        };
        if weight.len() != outputs * inputs {
            let want = outputs * inputs;
            return Err(
                OpsError::Length { op: "merge", operand: "the weight", got: weight.len(), want }.into()
            );
        }
        Ok(merge(weight, inputs, &part)?)
    }
}

/// Little-endian bytes of f32 values, as safetensors holds them.
pub(crate) fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values of a stored tensor in 32 bits.
fn to_f32(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, LoraError> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Ok(data.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => {
            Ok(data.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect())
        }
        other => Err(LoraError::Tensors(format!("{name} is {other:?}, not F32, F16 or BF16"))),
    }
}

#[cfg(test)]
#[path = "lora_tests.rs"]
mod tests;
