//! `config.json` as tools write it: fields, defaults, and the variants whose mathematics differ from ours.

use serde::Deserialize;
use serde_json::Value;

use super::{ConfigError, LlamaConfig, RopeScaling};

/// The shape that a `config.json` describes, its numbers not yet checked.
pub(super) fn shape(bytes: &[u8]) -> Result<LlamaConfig, ConfigError> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| ConfigError::Unreadable(e.to_string()))?;
    raw.check_supported()?;
    raw.into_config()
}

/// One id or several, as `config.json` writes `eos_token_id`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

/// `rope_scaling` (before transformers 5) or `rope_parameters` (since).
#[derive(Clone, Debug, Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

/// `config.json` as written; defaults are those of transformers' `LlamaConfig`.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    sliding_window: Option<usize>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
    quantization_config: Option<Value>,
}

impl Raw {
    /// Refuses everything whose mathematics differ from ours.
    fn check_supported(&self) -> Result<(), ConfigError> {
        let refuse = |what: String| Err(ConfigError::UnsupportedModel { what });
        if !matches!(self.model_type.as_str(), "llama" | "mistral") {
            return refuse(format!("model_type `{}`", shown(&self.model_type)));
        }
        let known = |name: &String| matches!(name.as_str(), "LlamaForCausalLM" | "MistralForCausalLM");
        if let Some(other) = self.architectures.iter().find(|name| !known(name)) {
            return refuse(format!("architecture `{}`", shown(other)));
        }
        if let Some(other) = self.hidden_act.as_deref().filter(|act| *act != "silu") {
            return refuse(format!("hidden_act `{}`", shown(other)));
        }
        if self.attention_bias == Some(true) {
            return refuse("attention_bias true".to_owned());
        }
        if self.mlp_bias == Some(true) {
            return refuse("mlp_bias true".to_owned());
        }
        if let Some(window) = self.sliding_window {
            return refuse(format!("sliding_window {window}"));
        }
        if self.quantization_config.is_some() {
            return refuse("quantization_config".to_owned());
        }
        Ok(())
    }

    /// Defaults filled in.
    fn into_config(self) -> Result<LlamaConfig, ConfigError> {
        let rope = self.rope_parameters.or(self.rope_scaling);
        let rope_theta = self.rope_theta.or(rope.as_ref().and_then(|r| r.rope_theta)).unwrap_or(10_000.0);
        let rope_scaling = rope.map(RawRope::into_scaling).transpose()?.flatten();
        let head_dim = match self.head_dim {
            Some(dim) => dim,
            None if self.num_attention_heads > 0
                && self.hidden_size.is_multiple_of(self.num_attention_heads) =>
            {
                self.hidden_size / self.num_attention_heads
            }
            None => {
                return Err(ConfigError::Invalid {
                    field: "num_attention_heads",
                    value: self.num_attention_heads.to_string(),
                    bound: format!("a divisor of hidden_size ({}), or head_dim given", self.hidden_size),
                });
            }
        };
        Ok(LlamaConfig {
            model_type: self.model_type,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            vocab_size: self.vocab_size,
            max_position_embeddings: self.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            tie_word_embeddings: self.tie_word_embeddings.unwrap_or(false),
            bos_token_id: self.bos_token_id,
            eos_token_ids: match self.eos_token_id {
                None => Vec::new(),
                Some(Ids::One(id)) => vec![id],
                Some(Ids::Many(ids)) => ids,
            },
        })
    }
}

impl RawRope {
    /// None for the plain rotary embedding.
    fn into_scaling(self) -> Result<Option<RopeScaling>, ConfigError> {
        let kind = self.rope_type.as_deref().unwrap_or("default");
        let missing =
            |field: &str| ConfigError::Unreadable(format!("rope type `llama3` needs `{field}` above 0"));
        let positive = |value: Option<f64>, field: &str| {
            value.filter(|v| *v > 0.0 && v.is_finite()).ok_or_else(|| missing(field))
        };
        match kind {
            "default" => Ok(None),
            "llama3" => Ok(Some(RopeScaling::Llama3 {
                factor: positive(self.factor, "factor")?,
                low_freq_factor: positive(self.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: positive(self.high_freq_factor, "high_freq_factor")?,
                original: self
                    .original_max_position_embeddings
                    .filter(|n| *n > 0)
                    .ok_or_else(|| missing("original_max_position_embeddings"))?,
            })),
            other => Err(ConfigError::UnsupportedModel { what: format!("rope type `{}`", shown(other)) }),
        }
    }
}

/// The first 60 printable characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
