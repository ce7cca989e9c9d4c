use super::*;
use crate::testing::tiny_config;

fn config(targets: &[&str]) -> LoraConfig {
    let target_modules = targets.iter().map(|t| (*t).to_owned()).collect();
    LoraConfig { rank: 4, alpha: 8.0, dropout: 0.0, target_modules }
}

fn all() -> LoraConfig {
    config(&LINEARS)
}

#[test]
fn tensors_have_pefts_names_and_forward_order() {
    let adapter = LoraAdapter::init(config(&["down_proj", "q_proj"]), &tiny_config(50), 1).unwrap();
    let names: Vec<&str> = adapter.tensors().iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names[0], "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert_eq!(names[1], "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    assert_eq!(names[2], "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight");
    assert_eq!(names[7], "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
    assert_eq!(names.len(), 8);
    let pair = adapter.pair(1, "mlp.down_proj").unwrap();
    assert_eq!((pair.index, pair.a.shape, pair.b.shape), (6, [4, 48], [32, 4]));
    assert!(adapter.pair(1, "mlp.up_proj").is_none() && adapter.pair(2, "mlp.down_proj").is_none());
}

#[test]
fn a_new_adapter_is_seeded_bounded_and_changes_nothing() {
    let model = tiny_config(50);
    let adapter = LoraAdapter::init(all(), &model, 7).unwrap();
    assert_eq!(adapter, LoraAdapter::init(all(), &model, 7).unwrap());
    assert_ne!(adapter, LoraAdapter::init(all(), &model, 8).unwrap());
    for tensor in adapter.tensors() {
        if tensor.name.ends_with("lora_B.weight") {
            assert!(tensor.data.iter().all(|v| *v == 0.0));
        } else {
            let bound = 1.0 / (tensor.shape[1] as f32).sqrt();
            let largest = tensor.data.iter().fold(0.0_f32, |best, v| best.max(v.abs()));
            assert!(largest <= bound && largest > 0.9 * bound);
        }
    }
    let mut weight = vec![0.5; 32 * 32];
    adapter.merge(0, "self_attn.q_proj", &mut weight).unwrap();
    assert_eq!(weight, vec![0.5; 32 * 32]);
}

#[test]
fn files_written_are_read_back_the_same() {
    let model = tiny_config(50);
    let adapter = LoraAdapter::init(LoraConfig { dropout: 0.05, alpha: 12.5, ..all() }, &model, 7).unwrap();
    let (json, bytes) = (adapter.config_json("base"), adapter.to_safetensors().unwrap());
    let again = LoraAdapter::from_peft(&model, json.as_bytes(), &bytes).unwrap();
    assert_eq!(again.tensors(), adapter.tensors());
    assert_eq!((again.config().rank, again.config().alpha, again.config().dropout), (4, 12.5, 0.05));
    assert_eq!(again.to_safetensors().unwrap(), bytes);
    assert_eq!(again.config_json("base"), json);
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let model = tiny_config(50);
    let refused = |config: LoraConfig| LoraAdapter::init(config, &model, 1).unwrap_err().to_string();
    assert!(refused(LoraConfig { rank: 0, ..all() }).contains("r is 0; it must be 1 to 1024"));
    assert!(refused(LoraConfig { alpha: f64::NAN, ..all() }).contains("lora_alpha is NaN"));
    assert!(refused(LoraConfig { dropout: 1.0, ..all() }).contains("lora_dropout is 1.0"));
    assert!(
        refused(config(&["embed_tokens"]))
            .contains("target_modules is `embed_tokens`; it must be among q_proj")
    );
    assert!(refused(config(&[])).contains("target_modules is empty"));
}

#[test]
fn an_adapter_of_another_form_is_refused() {
    let model = tiny_config(50);
    let adapter = LoraAdapter::init(all(), &model, 7).unwrap();
    let (json, bytes) = (adapter.config_json("base"), adapter.to_safetensors().unwrap());
    let dora = json.replace("\"use_dora\": false", "\"use_dora\": true");
    let error = LoraAdapter::from_peft(&model, dora.as_bytes(), &bytes).unwrap_err();
    assert!(matches!(error, LoraError::Unsupported(feature) if feature == "use_dora"));

    let fewer = LoraAdapter::init(config(&["q_proj"]), &model, 7).unwrap();
    let error =
        LoraAdapter::from_peft(&model, json.as_bytes(), &fewer.to_safetensors().unwrap()).unwrap_err();
    assert!(error.to_string().contains("k_proj.lora_A.weight is missing"));
    let error = LoraAdapter::from_peft(&model, fewer.config_json("base").as_bytes(), &bytes).unwrap_err();
    assert!(error.to_string().contains("28 tensors, not 4"));

    let mut broken = adapter.clone();
    broken.tensors_mut()[3].data[0] = f32::INFINITY;
    let error =
        LoraAdapter::from_peft(&model, json.as_bytes(), &broken.to_safetensors().unwrap()).unwrap_err();
    assert!(matches!(error, LoraError::NotFinite(name) if name.ends_with("k_proj.lora_B.weight")));
}
