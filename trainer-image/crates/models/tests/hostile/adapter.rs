//! Adapters in PEFT's layout that are none, belong to another base, or ask for mathematics that are not computed.

use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::{LoraAdapter, LoraConfig};
use cooperator_models::testing::tiny_config;
use serde_json::{Value, json};

use crate::safetensors_file::{Entry, pack};
use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 6] = [
    ("unreadable", "adapter_config.json cannot be read: ...; it must be what PEFT's save_pretrained writes"),
    ("unsupported", "adapter_config.json: ... is not supported; give a plain LoRA"),
    ("setting", "lora: ..."),
    (
        "tensors",
        "adapter_model.safetensors: ...; the tensors must be those of the configured targets in every layer of the \
         base model",
    ),
    ("values", "adapter_model.safetensors: ... holds NaN or infinity; take an earlier checkpoint"),
    ("file", "adapter_model.safetensors: ..."),
];

fn adapter(model: &LlamaConfig, rank: usize) -> LoraAdapter {
    let target_modules = vec!["q_proj".to_owned(), "v_proj".to_owned()];
    LoraAdapter::init(LoraConfig { rank, alpha: 8.0, dropout: 0.0, target_modules }, model, 1).unwrap()
}

fn config() -> Value {
    serde_json::from_str(&adapter(&tiny_config(64), 4).config_json("base")).unwrap()
}

fn tensors() -> Vec<Entry> {
    let bytes = |data: &[f32]| data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let entry = |tensor: &cooperator_models::lora::NamedTensor| Entry {
        name: tensor.name.clone(),
        dtype: "F32",
        shape: tensor.shape.to_vec(),
        data: bytes(&tensor.data),
    };
    adapter(&tiny_config(64), 4).tensors().iter().map(entry).collect()
}

fn read(config: &[u8], tensors: &[u8]) -> Result<(), String> {
    LoraAdapter::from_peft(&tiny_config(64), config, tensors).map(drop).map_err(|error| error.to_string())
}

/// This config beside tensors that are in order.
fn no(name: &'static str, config: impl Into<Vec<u8>>, line: &'static str) -> Case {
    let config = config.into();
    refused(name, whole(line, &LINES), move || read(&config, &pack(&tensors())))
}

fn changed(field: &str, value: Value) -> String {
    let mut config = config();
    config[field] = value;
    config.to_string()
}

/// A config with another value of a field.
fn with(name: &'static str, field: &str, value: Value, line: &'static str) -> Case {
    no(name, changed(field, value), line)
}

/// A config with a word of JSON that serde_json would not write.
fn raw(name: &'static str, field: &str, word: &str, line: &'static str) -> Case {
    no(name, changed(field, json!("WORD")).replace("\"WORD\"", word), line)
}

/// A config in order beside these tensors.
fn beside(name: &'static str, tensors: Vec<u8>, line: &'static str) -> Case {
    refused(name, whole(line, &LINES), move || read(config().to_string().as_bytes(), &tensors))
}

/// A config in order beside the tensors with a change.
fn tensor(name: &'static str, line: &'static str, change: impl FnOnce(&mut Vec<Entry>)) -> Case {
    let mut entries = tensors();
    change(&mut entries);
    beside(name, pack(&entries), line)
}

fn configs() -> Vec<Case> {
    vec![
        taken("an adapter in order", || read(config().to_string().as_bytes(), &pack(&tensors()))),
        no("an empty file", "", "unreadable: it is empty"),
        no("a list", "[]", "unreadable: it is no JSON object"),
        no("100,000 brackets", "[".repeat(100_000), "unreadable: it is no JSON object"),
        no("2 MiB", " ".repeat(2 << 20), "unreadable: 2097152 bytes, at most 1048576"),
        no(
            "a rank twice",
            config().to_string().replacen('{', "{\"r\":4,", 1),
            "unreadable: duplicate field `r` at line 1 column 221",
        ),
        with("a rank of 0", "r", json!(0), "setting: r is 0; it must be 1 to 1024"),
        with(
            "a rank below zero",
            "r",
            json!(-4),
            "unreadable: invalid value: integer `-4`, expected usize at line 1 column 218",
        ),
        with("a rank of 1025", "r", json!(1025), "setting: r is 1025; it must be 1 to 1024"),
        with(
            "a rank of 2^63",
            "r",
            json!(1_u64 << 63),
            "setting: r is 9223372036854775808; it must be 1 to 1024",
        ),
        with(
            "a rank that is a fraction",
            "r",
            json!(4.5),
            "unreadable: invalid type: floating point `4.5`, expected usize at line 1 column 219",
        ),
        with(
            "another rank than the tensors'",
            "r",
            json!(8),
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [4, 32], not [8, 32]",
        ),
        raw("an alpha that is NaN", "lora_alpha", "NaN", "unreadable: expected value at line 1 column 132"),
        raw(
            "an alpha of 10^400",
            "lora_alpha",
            "1e400",
            "unreadable: number out of range at line 1 column 136",
        ),
        with(
            "an alpha of 10^300, infinite in 32 bits",
            "lora_alpha",
            json!(1e300),
            "setting: lora_alpha is 1e300; it must be 0.000001 to 1000000",
        ),
        with(
            "an alpha of 10^-300, 0 in 32 bits",
            "lora_alpha",
            json!(1e-300),
            "setting: lora_alpha is 1e-300; it must be 0.000001 to 1000000",
        ),
        with(
            "an alpha of 0",
            "lora_alpha",
            json!(0),
            "setting: lora_alpha is 0.0; it must be 0.000001 to 1000000",
        ),
        with(
            "an alpha below zero",
            "lora_alpha",
            json!(-8),
            "setting: lora_alpha is -8.0; it must be 0.000001 to 1000000",
        ),
        with("an alpha that is a word", "lora_alpha", json!("8"), "unreadable: lora_alpha is not a number"),
        with(
            "a dropout of 1",
            "lora_dropout",
            json!(1),
            "setting: lora_dropout is 1.0; it must be at least 0 and below 1",
        ),
        with(
            "a dropout below zero",
            "lora_dropout",
            json!(-0.1),
            "setting: lora_dropout is -0.1; it must be at least 0 and below 1",
        ),
        with(
            "no targets",
            "target_modules",
            json!([]),
            "setting: target_modules is empty; it must be at least one of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        with(
            "all targets by a word",
            "target_modules",
            json!("all-linear"),
            "unsupported: target_modules that is not a list of names",
        ),
        with(
            "targets by a pattern",
            "target_modules",
            json!(".*q_proj"),
            "unsupported: target_modules that is not a list of names",
        ),
        with(
            "a target that is no layer",
            "target_modules",
            json!(["q_proj", "lm_head"]),
            "setting: target_modules is `lm_head`; it must be among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        with(
            "a target in one layer only",
            "target_modules",
            json!(["layers.0.self_attn.q_proj"]),
            "setting: target_modules is `layers.0.self_attn.q_proj`; it must be among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        with(
            "a target over two lines",
            "target_modules",
            json!(["q_proj\nv_proj"]),
            "setting: target_modules is `q_proj v_proj`; it must be among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        with(
            "a target by a name of half a megabyte",
            "target_modules",
            json!(["a".repeat(1 << 19)]),
            "setting: target_modules is `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`; it must be among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
    ]
}

fn features() -> Vec<Case> {
    vec![
        with("another method", "peft_type", json!("IA3"), "unsupported: peft_type other than LORA"),
        with("biases", "bias", json!("all"), "unsupported: bias other than none"),
        with("biases of B", "lora_bias", json!(true), "unsupported: lora_bias"),
        with("DoRA", "use_dora", json!(true), "unsupported: use_dora"),
        with("a scale by the root of the rank", "use_rslora", json!(true), "unsupported: use_rslora"),
        with("weights the other way round", "fan_in_fan_out", json!(true), "unsupported: fan_in_fan_out"),
        with(
            "modules beside the adapter",
            "modules_to_save",
            json!(["lm_head"]),
            "unsupported: modules_to_save",
        ),
        with("ranks by layer", "rank_pattern", json!({"layers.0.q_proj": 8}), "unsupported: rank_pattern"),
        with("alphas by layer", "alpha_pattern", json!({"layers.0.q_proj": 8}), "unsupported: alpha_pattern"),
        with("layers copied", "layer_replication", json!([[0, 1], [0, 2]]), "unsupported: layer_replication"),
        with("some layers only", "layers_to_transform", json!([0]), "unsupported: layers_to_transform"),
        with(
            "an adapter that waits for a word",
            "alora_invocation_tokens",
            json!([1, 2]),
            "unsupported: alora_invocation_tokens",
        ),
        with(
            "rows of the embedding",
            "trainable_token_indices",
            json!([1]),
            "unsupported: trainable_token_indices",
        ),
        with("parameters by name", "target_parameters", json!(["x"]), "unsupported: target_parameters"),
        with("quantised adapters", "use_qalora", json!(true), "unsupported: use_qalora"),
        with(
            "a start that changes the base",
            "init_lora_weights",
            json!("pissa_niter_16"),
            "unsupported: init_lora_weights that changes the base model",
        ),
        with("a feature of tomorrow", "use_tomorrow\n", json!(true), "unsupported: use_tomorrow "),
        taken("features that are switched off", || {
            let mut config = config();
            for field in ["layer_replication", "use_tomorrow", "corda_config"] {
                config[field] = Value::Null;
            }
            (config["megatron_core"], config["qalora_group_size"]) = (json!("megatron.core"), json!(16));
            (config["peft_version"], config["init_lora_weights"]) = (json!("0.21.2"), json!("gaussian"));
            read(config.to_string().as_bytes(), &pack(&tensors()))
        }),
    ]
}

fn values() -> Vec<Case> {
    let of = |model: LlamaConfig| adapter(&model, 4).to_safetensors().unwrap();
    let deeper = LlamaConfig { num_hidden_layers: 3, ..tiny_config(64) };
    let flatter = LlamaConfig { num_hidden_layers: 1, ..tiny_config(64) };
    let wider = LlamaConfig { hidden_size: 64, ..tiny_config(64) };
    let header =
        br#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
    let overflow = [(header.len() as u64).to_le_bytes().as_slice(), header].concat();
    vec![
        beside(
            "no tensors",
            Vec::new(),
            "file: not safetensors: 0 bytes, no header; download or convert the file again",
        ),
        beside(
            "a pickle",
            b"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0adapter_model/data.pkl".to_vec(),
            "file: this is a ZIP archive, as torch.save writes pickles, not safetensors; convert it with safetensors.torch.save_file",
        ),
        beside(
            "a tensor of 2^64 - 1 bytes",
            overflow,
            "file: not safetensors: tensor `a` of U8 [18446744073709551615] has no whole bytes, or more than memory can have; download or convert the file again",
        ),
        beside(
            "an adapter of a deeper base",
            of(deeper),
            "tensors: 12 tensors, not 8; `base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight` is none of them",
        ),
        beside(
            "an adapter of a base with fewer layers",
            of(flatter),
            "tensors: base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight is missing",
        ),
        beside(
            "an adapter of a wider base",
            of(wider),
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [4, 64], not [4, 32]",
        ),
        beside(
            "an adapter of another rank",
            adapter(&tiny_config(64), 8).to_safetensors().unwrap(),
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [8, 32], not [4, 32]",
        ),
        tensor(
            "a tensor too few",
            "tensors: base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight is missing",
            |all| drop(all.pop()),
        ),
        tensor("a tensor too many", "tensors: 9 tensors, not 8; `../a b` is none of them", |all| {
            let other = Entry { name: "../a\nb".to_owned(), ..all[0].clone() };
            all.push(other);
        }),
        tensor(
            "a tensor twice",
            "file: tensor `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` is there twice; convert the file again",
            |all| {
                let again = all[0].clone();
                all.push(again);
            },
        ),
        tensor(
            "A and B the other way round",
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [32, 4], not [4, 32]",
            |all| {
                let (a, b) = (all[0].name.clone(), all[1].name.clone());
                (all[0].name, all[1].name) = (b, a);
            },
        ),
        tensor(
            "A as one row",
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [128], not [4, 32]",
            |all| all[0].shape = vec![128],
        ),
        tensor(
            "A of whole numbers",
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is I32, not F32, F16 or BF16",
            |all| all[0].dtype = "I32",
        ),
        tensor("NaN in A", "values: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", |all| {
            all[0].data[..4].copy_from_slice(&f32::NAN.to_le_bytes())
        }),
        tensor(
            "infinity in B",
            "values: base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
            |all| all[1].data[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()),
        ),
        tensor(
            "names of another framework",
            "tensors: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is missing",
            |all| {
                all.iter_mut().for_each(|entry| entry.name = entry.name.replace("base_model.model.", ""));
            },
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [configs(), features(), values()].into_iter().flatten().collect()
}
