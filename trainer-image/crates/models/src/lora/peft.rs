//! `adapter_config.json`, PEFT's file beside an adapter's tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LoraConfig, LoraError, short};
use crate::config::LINEARS;
use crate::line::{object, one_line};

/// The largest `adapter_config.json` that is read, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Fields of PEFT that say where an adapter is from, or set what a field below switches on.
const HARMLESS: [&str; 7] = [
    "auto_mapping",
    "layers_pattern",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// Ways to start A and B that leave the base model's weights as they are. Others take from the base what they put into
/// the adapter: with the plain base it would compute something else.
const STARTS: [&str; 3] = ["eva", "gaussian", "orthogonal"];

/// The fields of PEFT's `LoraConfig` that matter; sorted, as PEFT writes them.
#[derive(Serialize, Deserialize)]
struct PeftConfig {
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
    target_modules: Value,
    task_type: Option<String>,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    use_rslora: bool,
    /// PEFT adds some in every release. Switched off they are left alone; what is on may be another mathematics.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

fn none_word() -> String {
    "none".to_owned()
}

/// Reads `adapter_config.json`, refusing what would compute differently.
pub(super) fn read(json: &[u8]) -> Result<LoraConfig, LoraError> {
    if json.len() > MAX_CONFIG {
        return Err(LoraError::Config(format!("{} bytes, at most {MAX_CONFIG}", json.len())));
    }
    let peft: PeftConfig = object(json).map_err(LoraError::Config)?;
    if let Some(feature) = unsupported(&peft) {
        return Err(LoraError::Unsupported(one_line(&feature)));
    }
    let alpha =
        peft.lora_alpha.as_f64().ok_or_else(|| LoraError::Config("lora_alpha is not a number".to_owned()))?;
    let targets: Vec<String> = serde_json::from_value(peft.target_modules)
        .map_err(|_| LoraError::Unsupported("target_modules that is not a list of names".to_owned()))?;
    Ok(LoraConfig { rank: peft.r, alpha, dropout: peft.lora_dropout, target_modules: targets })
}

/// What of PEFT is switched on that is not computed here.
fn unsupported(peft: &PeftConfig) -> Option<String> {
    let features = [
        ("peft_type other than LORA", peft.peft_type != "LORA"),
        ("bias other than none", peft.bias != "none"),
        ("use_dora", peft.use_dora),
        ("use_rslora", peft.use_rslora),
        ("fan_in_fan_out", peft.fan_in_fan_out),
        ("lora_bias", peft.lora_bias),
        ("modules_to_save", peft.modules_to_save.as_ref().is_some_and(|modules| !modules.is_empty())),
        ("init_lora_weights that changes the base model", !is_plain_start(&peft.init_lora_weights)),
    ];
    let feature = features.into_iter().find(|(_, used)| *used).map(|(feature, _)| feature.to_owned());
    let is_on = |(name, value): &(&String, &Value)| !HARMLESS.contains(&name.as_str()) && !is_off(value);
    feature.or_else(|| peft.others.iter().find(is_on).map(|(name, _)| name.clone()))
}

fn is_plain_start(start: &Value) -> bool {
    match start {
        Value::Null | Value::Bool(_) => true,
        Value::String(start) => STARTS.contains(&start.as_str()),
        _ => false,
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
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
        others: BTreeMap::new(),
    };
    // a struct of plain values always serialises
    serde_json::to_string_pretty(&peft).unwrap_or_default()
}
