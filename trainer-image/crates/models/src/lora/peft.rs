//! `adapter_config.json`, PEFT's file beside an adapter's tensors.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LoraConfig, LoraError, short};
use crate::config::LINEARS;

/// The largest `adapter_config.json` that is read, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// The fields of PEFT's `LoraConfig` that matter; sorted, as PEFT writes them. Unknown ones are left alone on reading:
/// PEFT adds some in every release, and all so far default to a plain LoRA.
#[derive(Serialize, Deserialize)]
struct PeftConfig {
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    alpha_pattern: HashMap<String, Value>,
    base_model_name_or_path: Option<String>,
    #[serde(default = "none_word")]
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
    #[serde(default)]
    init_lora_weights: Value,
    lora_alpha: Value,
    #[serde(default)]
    lora_bias: bool,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    peft_type: String,
    r: usize,
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    rank_pattern: HashMap<String, Value>,
    target_modules: Value,
    task_type: Option<String>,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    use_rslora: bool,
}

fn none_word() -> String {
    "none".to_owned()
}

/// Reads `adapter_config.json`, refusing what would compute differently.
pub(super) fn read(json: &[u8]) -> Result<LoraConfig, LoraError> {
    if json.len() > MAX_CONFIG {
        return Err(LoraError::Config(format!("{} bytes, at most {MAX_CONFIG}", json.len())));
    }
    let peft: PeftConfig =
        serde_json::from_slice(json).map_err(|error| LoraError::Config(error.to_string()))?;
    let features = [
        ("peft_type other than LORA", peft.peft_type != "LORA"),
        ("bias other than none", peft.bias != "none"),
        ("use_dora", peft.use_dora),
        ("use_rslora", peft.use_rslora),
        ("fan_in_fan_out", peft.fan_in_fan_out),
        ("lora_bias", peft.lora_bias),
        ("modules_to_save", peft.modules_to_save.is_some_and(|modules| !modules.is_empty())),
        ("rank_pattern", !peft.rank_pattern.is_empty()),
        ("alpha_pattern", !peft.alpha_pattern.is_empty()),
    ];
    if let Some((feature, _)) = features.into_iter().find(|(_, used)| *used) {
        return Err(LoraError::Unsupported(feature.to_owned()));
    }
    let alpha =
        peft.lora_alpha.as_f64().ok_or_else(|| LoraError::Config("lora_alpha is not a number".to_owned()))?;
    let targets: Vec<String> = serde_json::from_value(peft.target_modules)
        .map_err(|_| LoraError::Unsupported("target_modules that is not a list of names".to_owned()))?;
    Ok(LoraConfig { rank: peft.r, alpha, dropout: peft.lora_dropout, target_modules: targets })
}

/// The text of `adapter_config.json`: pretty JSON with sorted keys.
pub(super) fn write(config: &LoraConfig, targets: &[usize], base_model: &str) -> String {
    let alpha = config.alpha;
    let peft = PeftConfig {
        base_model_name_or_path: Some(base_model.to_owned()),
        bias: "none".to_owned(),
        fan_in_fan_out: false,
        inference_mode: true,
        init_lora_weights: Value::Bool(true),
        // PEFT declares an integer and takes either
        lora_alpha: if alpha.fract() == 0.0 && alpha < 1e9 {
            Value::from(alpha as u64)
        } else {
            Value::from(alpha)
        },
        lora_bias: false,
        lora_dropout: config.dropout,
        modules_to_save: None,
        peft_type: "LORA".to_owned(),
        r: config.rank,
        target_modules: Value::from(targets.iter().map(|t| short(LINEARS[*t])).collect::<Vec<_>>()),
        task_type: Some("CAUSAL_LM".to_owned()),
        use_dora: false,
        use_rslora: false,
        alpha_pattern: HashMap::new(),
        rank_pattern: HashMap::new(),
    };
    // a struct of plain values always serialises
    serde_json::to_string_pretty(&peft).unwrap_or_default()
}
