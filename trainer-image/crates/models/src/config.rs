//! The shape of a Llama-family model, read from the `config.json` of a Hugging Face folder and checked: whatever
//! this module returns, the forward passes of this crate compute exactly as `transformers` does.

use serde_json::{Value, json};

mod read;

/// Largest accepted `config.json`, bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Bounds that keep a hostile file from asking for absurd memory; every published Llama lies far below them.
const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 18;
const MAX_VOCAB: usize = 1 << 22;
const MAX_CONTEXT: usize = 1 << 24;
const MAX_THETA: f64 = 1e12;

/// Why a model cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, too large, or a field is missing or of another type.
    #[error("config.json cannot be read: {0}; give that of the model as its authors published it")]
    Unreadable(String),
    /// Well-formed, but of an architecture or variant that no code here computes.
    #[error(
        "config.json: {what} is not supported; supported are LlamaForCausalLM and MistralForCausalLM without \
         biases and sliding window, SiLU, rope `default` or `llama3`"
    )]
    UnsupportedModel {
        /// The field and its value.
        what: String,
    },
    /// A number that is out of bounds or contradicts another.
    #[error("config.json: {field} is {value}; it must be {bound}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it must hold.
        bound: String,
    },
}

/// Rotary position embedding beyond the plain one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Llama 3.1 and later: low frequencies are stretched for a longer context.
    Llama3 {
        /// Stretch of the lowest frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are stretched in full.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` stay.
        high_freq_factor: f64,
        /// Context the model was first trained with, tokens.
        original: usize,
    },
}

/// A validated shape. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// `llama` or `mistral`; both compute alike.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Transformer blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of one head, even.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Longest sequence, tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched; none: not at all.
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the output layer is the embedding.
    pub tie_word_embeddings: bool,
    /// First token of a text, where the model knows one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be empty.
    pub eos_token_ids: Vec<u32>,
}

/// The seven linear layers of a block, below `model.layers.<i>.`: every place a LoRA can sit, in forward order.
pub const LINEARS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

impl LlamaConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field, its value and what is possible.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_BYTES {
            return Err(ConfigError::Unreadable(format!("{} bytes, at most {MAX_BYTES}", bytes.len())));
        }
        let config = read::shape(bytes)?;
        config.validate()?;
        Ok(config)
    }

    /// The `config.json` that [`Self::from_json`] and `transformers` read back. `dtype` is how the weights are
    /// stored: `float32`, `float16` or `bfloat16`.
    pub fn to_json(&self, dtype: &str) -> Value {
        let architecture =
            if self.model_type == "mistral" { "MistralForCausalLM" } else { "LlamaForCausalLM" };
        let mut value = json!({
            "architectures": [architecture],
            "attention_bias": false,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": match self.eos_token_ids.as_slice() {
                [] => Value::Null,
                [one] => json!(one),
                many => json!(many),
            },
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "model_type": self.model_type,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": null,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": dtype,
            "vocab_size": self.vocab_size,
        });
        if self.model_type == "mistral" {
            value["sliding_window"] = Value::Null;
        }
        if let Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original }) =
            self.rope_scaling
        {
            value["rope_scaling"] = json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original,
            });
        }
        value
    }

    /// Query heads that share one key and value head.
    pub fn group_size(&self) -> usize {
        self.num_attention_heads / self.num_key_value_heads
    }

    /// Width of all queries together.
    pub fn q_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all keys, or all values, together.
    pub fn kv_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// `[out, in]` of one of [`LINEARS`]; none for another name. The last part of the name alone will do.
    pub fn linear_shape(&self, name: &str) -> Option<[usize; 2]> {
        let (hidden, mlp) = (self.hidden_size, self.intermediate_size);
        match name.rsplit('.').next().unwrap_or(name) {
            "q_proj" => Some([self.q_size(), hidden]),
            "k_proj" | "v_proj" => Some([self.kv_size(), hidden]),
            "o_proj" => Some([hidden, self.q_size()]),
            "gate_proj" | "up_proj" => Some([mlp, hidden]),
            "down_proj" => Some([hidden, mlp]),
            _ => None,
        }
    }

    /// Every tensor of the model by its Hugging Face name, with its shape; the embedding first, then by layer.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let hidden = self.hidden_size;
        let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden])];
        for layer in 0..self.num_hidden_layers {
            let at = |part: &str| format!("model.layers.{layer}.{part}.weight");
            all.push((at("input_layernorm"), vec![hidden]));
            for name in LINEARS {
                let shape = self.linear_shape(name).unwrap_or_default();
                all.push((at(name), shape.to_vec()));
            }
            all.push((at("post_attention_layernorm"), vec![hidden]));
        }
        all.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tie_word_embeddings {
            all.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        all
    }

    /// Number of parameters, tied weights counted once.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }

    /// The `head_dim / 2` rotary frequencies, in radians a position, as `transformers` computes them.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let dim = self.head_dim as f64;
        (0..self.head_dim / 2)
            .map(|i| {
                let frequency = self.rope_theta.powf(-(2.0 * i as f64) / dim);
                match self.rope_scaling {
                    None => frequency as f32,
                    Some(scaling) => scaling.stretch(frequency) as f32,
                }
            })
            .collect()
    }

    /// Bounds and divisibility.
    fn validate(&self) -> Result<(), ConfigError> {
        within("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS)?;
        within("hidden_size", self.hidden_size, MAX_WIDTH)?;
        within("intermediate_size", self.intermediate_size, MAX_WIDTH)?;
        within("num_attention_heads", self.num_attention_heads, MAX_WIDTH)?;
        within("num_key_value_heads", self.num_key_value_heads, self.num_attention_heads)?;
        within("head_dim", self.head_dim, MAX_WIDTH)?;
        within("vocab_size", self.vocab_size, MAX_VOCAB)?;
        within("max_position_embeddings", self.max_position_embeddings, MAX_CONTEXT)?;
        let invalid = |field, value: String, bound: String| Err(ConfigError::Invalid { field, value, bound });
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let bound = format!("a divisor of num_attention_heads ({})", self.num_attention_heads);
            return invalid("num_key_value_heads", self.num_key_value_heads.to_string(), bound);
        }
        if !self.head_dim.is_multiple_of(2) {
            return invalid("head_dim", self.head_dim.to_string(), "even, for rotary positions".to_owned());
        }
        if self.q_size() > MAX_WIDTH {
            let bound = format!("at most {MAX_WIDTH} together with head_dim");
            return invalid("num_attention_heads", self.num_attention_heads.to_string(), bound);
        }
        // Below, the sum under the root of a row of zeros would be zero in 32 bits.
        if !(1e-30..1.0).contains(&self.rms_norm_eps) {
            return invalid(
                "rms_norm_eps",
                format!("{:?}", self.rms_norm_eps),
                "1e-30 to below 1".to_owned(),
            );
        }
        if !(self.rope_theta > 1.0 && self.rope_theta <= MAX_THETA) {
            return invalid(
                "rope_theta",
                format!("{:?}", self.rope_theta),
                "above 1, at most 1e12".to_owned(),
            );
        }
        for &id in self.eos_token_ids.iter().chain(&self.bos_token_id) {
            if id as usize >= self.vocab_size {
                let bound = format!("below vocab_size ({})", self.vocab_size);
                return invalid("bos_token_id or eos_token_id", id.to_string(), bound);
            }
        }
        Ok(())
    }
}

impl RopeScaling {
    /// A frequency as it is after stretching.
    fn stretch(self, frequency: f64) -> f64 {
        let Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } = self;
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        let original = original as f64;
        if wavelength < original / high_freq_factor {
            return frequency;
        }
        if wavelength > original / low_freq_factor {
            return frequency / factor;
        }
        let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// `1 ..= most`.
fn within(field: &'static str, value: usize, most: usize) -> Result<(), ConfigError> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Invalid { field, value: value.to_string(), bound: format!("1 to {most}") })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
