//! `config.json` as tools write it: fields, defaults, and the variants whose mathematics differ from ours.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{ConfigError, LlamaConfig, MAX_CONTEXT, RopeScaling, within};
use crate::line::{object, one_line};

/// The shape that a `config.json` describes, its numbers not yet checked.
pub(super) fn shape(bytes: &[u8]) -> Result<LlamaConfig, ConfigError> {
    let raw: Raw = object(bytes).map_err(ConfigError::Unreadable)?;
    raw.check_supported()?;
    raw.into_config()
}

/// Tells a null from a field that is not there.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<usize>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What two places say, if they agree.
fn one_of<T: PartialEq>(field: &str, new: Option<T>, old: Option<T>) -> Result<Option<T>, ConfigError> {
    match (new, old) {
        (Some(new), Some(old)) if new != old => {
            Err(ConfigError::Unreadable(format!("{field} is there twice and differs")))
        }
        (new, old) => Ok(new.or(old)),
    }
}

/// One id or several, as `config.json` writes `eos_token_id`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "eos_token_id is no token id and no list of them")]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

/// `rope_scaling` (before transformers 5) or `rope_parameters` (since).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(expecting = "an object of rotary positions")]
struct RawRope {
    rope_type: Option<String>,
    /// The older name; many files have both.
    #[serde(rename = "type")]
    kind: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
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
    partial_rotary_factor: Option<f64>,
    tie_word_embeddings: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    sliding_window: Option<Option<usize>>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
    quantization_config: Option<Value>,
}

impl Raw {
    /// Refuses everything whose mathematics differ from ours.
    fn check_supported(&self) -> Result<(), ConfigError> {
        let refuse = |what: String| Err(ConfigError::UnsupportedModel { what });
        if !matches!(self.model_type.as_str(), "llama" | "mistral") {
            return refuse(format!("model_type `{}`", one_line(&self.model_type)));
        }
        let known = |name: &String| matches!(name.as_str(), "LlamaForCausalLM" | "MistralForCausalLM");
        if let Some(other) = self.architectures.iter().find(|name| !known(name)) {
            return refuse(format!("architecture `{}`", one_line(other)));
        }
        if let Some(other) = self.hidden_act.as_deref().filter(|act| *act != "silu") {
            return refuse(format!("hidden_act `{}`", one_line(other)));
        }
        if self.attention_bias == Some(true) {
            return refuse("attention_bias true".to_owned());
        }
        if self.mlp_bias == Some(true) {
            return refuse("mlp_bias true".to_owned());
        }
        match self.sliding_window {
            Some(Some(window)) => return refuse(format!("sliding_window {window}")),
            // transformers takes 4096 then.
            None if self.model_type == "mistral" => {
                return refuse("model_type `mistral` without sliding_window null".to_owned());
            }
            _ => {}
        }
        if self.quantization_config.is_some() {
            return refuse("quantization_config".to_owned());
        }
        let ropes = [&self.rope_parameters, &self.rope_scaling];
        let parts = ropes.into_iter().flatten().filter_map(|rope| rope.partial_rotary_factor);
        if let Some(part) = parts.chain(self.partial_rotary_factor).find(|part| *part != 1.0) {
            return refuse(format!("partial_rotary_factor {part}"));
        }
        Ok(())
    }

    /// Defaults filled in.
    fn into_config(self) -> Result<LlamaConfig, ConfigError> {
        let rope = one_of("rope_scaling", self.rope_parameters, self.rope_scaling)?;
        let theta = one_of("rope_theta", self.rope_theta, rope.as_ref().and_then(|rope| rope.rope_theta))?;
        let rope_theta = theta.unwrap_or(10_000.0);
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
        let kind = one_of("rope type", self.rope_type, self.kind)?.unwrap_or_else(|| "default".to_owned());
        let from = |least: f64, value: Option<f64>, field: &'static str| {
            let value = value.filter(|v| *v >= least && v.is_finite());
            value.ok_or_else(|| {
                ConfigError::Unreadable(format!("rope type `llama3` needs `{field}` from {least}"))
            })
        };
        match kind.as_str() {
            "default" => Ok(None),
            "llama3" => {
                let low_freq_factor = from(1e-6, self.low_freq_factor, "low_freq_factor")?;
                let high_freq_factor = from(1e-6, self.high_freq_factor, "high_freq_factor")?;
                let original = self.original_max_position_embeddings.unwrap_or(0);
                within("original_max_position_embeddings", original, MAX_CONTEXT)?;
                // Between the two a frequency is stretched by how far it lies from each: they must not meet.
                if low_freq_factor >= high_freq_factor {
                    let bound = format!("above low_freq_factor ({low_freq_factor})");
                    let value = high_freq_factor.to_string();
                    return Err(ConfigError::Invalid { field: "high_freq_factor", value, bound });
                }
                let factor = from(1.0, self.factor, "factor")?;
                Ok(Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original }))
            }
            other => Err(ConfigError::UnsupportedModel { what: format!("rope type `{}`", one_line(other)) }),
        }
    }
}
