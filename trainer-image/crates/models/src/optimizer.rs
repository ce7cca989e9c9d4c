//! AdamW over an adapter's tensors, in their order: schedule, accumulation, clipping, and a state that can be stored. All of
//! it is deterministic, and computes what `torch.optim.AdamW` and `clip_grad_norm_` compute.

use std::collections::HashMap;
use std::f64::consts::PI;

use cooperator_ops::cross_entropy::LossSum;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

use crate::lora::{NamedTensor, le_bytes};
use crate::stored::{Stored, StoredError};

/// More steps than any training makes.
const MAX_STEPS: u64 = 1 << 40;

/// Why a step cannot be made or a state not be read.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerError {
    /// The loss is NaN or infinite; nothing was changed.
    #[error(
        "the loss is {0}; lower the learning rate, or look for broken records, and go on from the last checkpoint"
    )]
    LossNotFinite(f64),
    /// A gradient is NaN or infinite; nothing was changed.
    #[error(
        "the gradient of {0} holds NaN or infinity; lower the learning rate and go on from the last checkpoint"
    )]
    GradientNotFinite(String),
    /// No row of the whole step had a label.
    #[error("a step has no labelled token; a batch needs sequences of at least two tokens")]
    Nothing,
    /// Gradients or state are not those of the parameters.
    #[error("optimiser: {0}; use the state of this very adapter")]
    Mismatch(String),
    /// The stored state is no safetensors file.
    #[error("optimiser state: {0}")]
    Stored(#[from] StoredError),
    /// The state could not be made a safetensors file.
    #[error("optimiser state: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// It stays.
    Constant,
    /// It falls to zero in a straight line.
    Linear,
    /// It falls to zero along half a cosine.
    Cosine,
}

/// The learning rate of each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate at the end of the warm-up.
    pub peak: f64,
    /// Steps of the warm-up: step `k` (from 0) has `(k + 1) / warmup` of the peak.
    pub warmup: u64,
    /// Steps of the whole run; the decay would reach zero at the step after the last.
    pub total: u64,
    /// The course after the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of a step, counted from 0; of a step past the end, zero unless constant.
    #[must_use]
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / span).min(1.0);
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Linear => self.peak * (1.0 - progress),
            Decay::Cosine => self.peak * 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}

/// Gradients in the order of an adapter's tensors: of a loss *sum*, so that batches of different sizes add up.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// One flat buffer a tensor.
    pub tensors: Vec<Vec<f32>>,
}

impl Gradients {
    /// Zeros for these parameters.
    #[must_use]
    pub fn zeros(parameters: &[NamedTensor]) -> Self {
        Self { tensors: parameters.iter().map(|p| vec![0.0; p.data.len()]).collect() }
    }

    /// The norm over all values; NaN or infinite if one of them is.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let squares = |tensor: &Vec<f32>| tensor.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        self.tensors.iter().map(squares).sum::<f64>().sqrt()
    }

    fn scale(&mut self, factor: f64) {
        self.tensors.iter_mut().flatten().for_each(|v| *v = (f64::from(*v) * factor) as f32);
    }
}

/// The sum over the micro-batches of one step.
#[derive(Clone, Debug)]
pub struct Accumulator {
    gradients: Gradients,
    loss: LossSum,
}

/// What a step's micro-batches come to.
#[derive(Clone, Debug)]
pub struct Accumulated {
    /// The gradient of the mean loss a labelled token, clipped.
    pub gradients: Gradients,
    /// The loss.
    pub loss: LossSum,
    /// The gradient's norm before clipping.
    pub norm: f64,
}

impl Accumulator {
    /// An empty sum for these parameters.
    #[must_use]
    pub fn new(parameters: &[NamedTensor]) -> Self {
        Self { gradients: Gradients::zeros(parameters), loss: LossSum::default() }
    }

    /// Adds a micro-batch: its loss and the gradients of its loss sum.
    ///
    /// # Errors
    /// [`OptimizerError::Mismatch`].
    pub fn add(&mut self, loss: LossSum, gradients: &Gradients) -> Result<(), OptimizerError> {
        same_sizes(&self.gradients, gradients.tensors.iter().map(Vec::len))?;
        self.loss += loss;
        for (total, more) in self.gradients.tensors.iter_mut().zip(&gradients.tensors) {
            total.iter_mut().zip(more).for_each(|(t, m)| *t += m);
        }
        Ok(())
    }

    /// The mean over all labelled tokens, clipped to `clip_norm` (0: not clipped). `parameters` give the names for errors.
    ///
    /// # Errors
    /// [`OptimizerError::LossNotFinite`], [`OptimizerError::GradientNotFinite`], [`OptimizerError::Nothing`].
    pub fn finish(
        mut self,
        parameters: &[NamedTensor],
        clip_norm: f64,
    ) -> Result<Accumulated, OptimizerError> {
        if self.loss.count == 0 {
            return Err(OptimizerError::Nothing);
        }
        if !self.loss.sum.is_finite() {
            return Err(OptimizerError::LossNotFinite(self.loss.mean()));
        }
        self.gradients.scale(1.0 / self.loss.count as f64);
        let norm = self.gradients.norm();
        if !norm.is_finite() {
            let broken = |(_, tensor): &(&NamedTensor, &Vec<f32>)| tensor.iter().any(|v| !v.is_finite());
            let mut named = parameters.iter().zip(&self.gradients.tensors);
            let name = named.find(broken).map_or_else(|| "a tensor".to_owned(), |(p, _)| p.name.clone());
            return Err(OptimizerError::GradientNotFinite(name));
        }
        if clip_norm > 0.0 && norm > clip_norm {
            self.gradients.scale(clip_norm / (norm + 1e-6));
        }
        Ok(Accumulated { gradients: self.gradients, loss: self.loss, norm })
    }
}

fn same_sizes(have: &Gradients, sizes: impl ExactSizeIterator<Item = usize>) -> Result<(), OptimizerError> {
    if have.tensors.len() != sizes.len() {
        return Err(OptimizerError::Mismatch(format!(
            "{} tensors where there are {}",
            sizes.len(),
            have.tensors.len()
        )));
    }
    match have.tensors.iter().zip(sizes).find(|(tensor, size)| tensor.len() != *size) {
        None => Ok(()),
        Some((tensor, size)) => {
            Err(OptimizerError::Mismatch(format!("{size} values where there are {}", tensor.len())))
        }
    }
}

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// How much of the first moment stays.
    pub beta1: f64,
    /// How much of the second moment stays.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// What each step takes off a parameter, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// The optimiser and its state.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u64,
    /// Of each parameter, in order.
    first: Gradients,
    second: Gradients,
}

impl AdamW {
    /// A fresh optimiser for these parameters.
    #[must_use]
    pub fn new(config: AdamWConfig, parameters: &[NamedTensor]) -> Self {
        Self { config, steps: 0, first: Gradients::zeros(parameters), second: Gradients::zeros(parameters) }
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step at this learning rate. Nothing changes if it fails.
    ///
    /// # Errors
    /// [`OptimizerError::Mismatch`].
    pub fn step(
        &mut self,
        parameters: &mut [NamedTensor],
        gradients: &Gradients,
        rate: f64,
    ) -> Result<(), OptimizerError> {
        same_sizes(&self.first, gradients.tensors.iter().map(Vec::len))?;
        same_sizes(&self.first, parameters.iter().map(|p| p.data.len()))?;
        self.steps += 1;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let step_size = (rate / (1.0 - beta1.powi(power))) as f32;
        let root = (1.0 - beta2.powi(power)).sqrt() as f32;
        let (keep, epsilon) = ((1.0 - rate * weight_decay) as f32, epsilon as f32);
        let (new1, keep2, new2) = ((1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32);
        let all = parameters.par_iter_mut().zip(&gradients.tensors);
        let all = all.zip(&mut self.first.tensors).zip(&mut self.second.tensors);
        all.for_each(|(((parameter, gradient), first), second)| {
            let moments = first.iter_mut().zip(second);
            for ((p, &g), (m, v)) in parameter.data.iter_mut().zip(gradient).zip(moments) {
                *m += (g - *m) * new1;
                *v = *v * keep2 + new2 * g * g;
                *p = *p * keep - step_size * (*m / (v.sqrt() / root + epsilon));
            }
        });
        Ok(())
    }

    /// The state as safetensors: `exp_avg.<name>` and `exp_avg_sq.<name>` (torch's words), the step in the header.
    ///
    /// # Errors
    /// [`OptimizerError::Mismatch`] for other parameters.
    pub fn to_safetensors(&self, parameters: &[NamedTensor]) -> Result<Vec<u8>, OptimizerError> {
        same_sizes(&self.first, parameters.iter().map(|p| p.data.len()))?;
        let mut stored = Vec::with_capacity(parameters.len() * 2);
        for (i, parameter) in parameters.iter().enumerate() {
            for (word, moments) in [("exp_avg", &self.first), ("exp_avg_sq", &self.second)] {
                stored.push((
                    format!("{word}.{}", parameter.name),
                    parameter.shape,
                    le_bytes(&moments.tensors[i]),
                ));
            }
        }
        let mut views = Vec::with_capacity(stored.len());
        for (name, shape, bytes) in &stored {
            views.push((name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes)?));
        }
        let metadata = HashMap::from([("step".to_owned(), self.steps.to_string())]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// The optimiser that [`AdamW::to_safetensors`] stored, for the same parameters.
    ///
    /// # Errors
    /// [`OptimizerError::Stored`], or [`OptimizerError::Mismatch`] naming the tensor.
    pub fn from_safetensors(
        config: AdamWConfig,
        parameters: &[NamedTensor],
        bytes: &[u8],
    ) -> Result<Self, OptimizerError> {
        let file = Stored::parse(bytes)?;
        let steps = file.metadata("step").and_then(|step| step.parse().ok()).filter(|step| *step < MAX_STEPS);
        let steps = steps.ok_or_else(|| OptimizerError::Mismatch("the state has no step".to_owned()))?;
        if file.len() != parameters.len() * 2 {
            let (have, want) = (file.len(), parameters.len() * 2);
            return Err(OptimizerError::Mismatch(format!("{have} stored moments where there are {want}")));
        }
        let read = |word: &str| -> Result<Gradients, OptimizerError> {
            let tensors = parameters.iter().map(|parameter| {
                let name = format!("{word}.{}", parameter.name);
                let view = file
                    .tensor(&name)
                    .ok_or_else(|| OptimizerError::Mismatch(format!("{name} is missing")))?;
                if view.dtype() != Dtype::F32 || view.shape() != parameter.shape {
                    return Err(OptimizerError::Mismatch(format!(
                        "{name} is not F32 of shape {:?}",
                        parameter.shape
                    )));
                }
                Ok(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            });
            Ok(Gradients { tensors: tensors.collect::<Result<_, _>>()? })
        };
        Ok(Self { config, steps, first: read("exp_avg")?, second: read("exp_avg_sq")? })
    }
}

#[cfg(test)]
#[path = "optimizer_tests.rs"]
mod tests;
