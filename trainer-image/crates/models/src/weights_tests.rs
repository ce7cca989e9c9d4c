use std::collections::HashMap;

use safetensors::tensor::{TensorView, serialize};

use super::*;
use crate::testing::{random_tensors, tiny_config};

fn file(tensors: &[(String, Tensor)]) -> Vec<u8> {
    let map: HashMap<String, Tensor> = tensors.iter().cloned().collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    candle_core::safetensors::save(&map, &path).unwrap();
    std::fs::read(path).unwrap()
}

fn tensors() -> Vec<(String, Tensor)> {
    random_tensors(&tiny_config(64), 1).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    let text = Weights::from_files(&tiny_config(64), &[("m.safetensors", bytes)]).unwrap_err().to_string();
    assert!(text.contains("m.safetensors") && !text.contains('\n'), "{text}");
    text
}

fn changed(name: &str, tensor: Tensor) -> Vec<u8> {
    let mut all = tensors();
    all.iter_mut().find(|(n, _)| n == name).unwrap().1 = tensor;
    file(&all)
}

#[test]
fn a_single_file_and_its_shards_give_the_same_weights() {
    let config = tiny_config(64);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(SINGLE), file(&tensors())).unwrap();
    let single = Weights::read(&config, folder.path()).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let all = tensors();
    let (a, b) = all.split_at(5);
    std::fs::write(folder.path().join("a.safetensors"), file(a)).unwrap();
    std::fs::write(folder.path().join("b.safetensors"), file(b)).unwrap();
    let map: HashMap<&str, &str> = a
        .iter()
        .map(|(n, _)| (n.as_str(), "a.safetensors"))
        .chain(b.iter().map(|(n, _)| (n.as_str(), "b.safetensors")))
        .collect();
    std::fs::write(folder.path().join(INDEX), serde_json::json!({"weight_map": map}).to_string()).unwrap();
    let sharded = Weights::read(&config, folder.path()).unwrap();
    for ((name, one), (_, other)) in single.iter().zip(sharded.iter()) {
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<half::bf16>().unwrap();
        assert_eq!(flat(one), flat(other), "{name}");
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let mut all = tensors();
    all.retain(|(name, _)| name != "model.norm.weight");
    let error = Weights::from_files(&tiny_config(64), &[("m", &file(&all))]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 20 tensors are missing, the first is `model.norm.weight`; give every shard of the model"
    );
}

#[test]
fn a_wrong_shape_names_the_tensor_and_both_shapes() {
    let wide = Tensor::zeros((16, 33), DType::BF16, &Device::Cpu).unwrap();
    let text = refusal(&changed("model.layers.1.self_attn.k_proj.weight", wide));
    assert!(text.contains("model.layers.1.self_attn.k_proj.weight") && text.contains("[16, 33]"), "{text}");
}

#[test]
fn a_wrong_rank_is_refused() {
    let flat = Tensor::zeros(512, DType::BF16, &Device::Cpu).unwrap();
    assert!(refusal(&changed("model.layers.1.self_attn.k_proj.weight", flat)).contains("[512]"));
}

#[test]
fn a_nan_is_refused_with_the_name_of_its_tensor() {
    let mut values = vec![1f32; 32];
    values[7] = f32::NAN;
    let tensor = Tensor::from_vec(values, 32, &Device::Cpu).unwrap();
    assert!(refusal(&changed("model.norm.weight", tensor)).contains("`model.norm.weight` holds NaN"));
}

#[test]
fn integers_are_refused_as_weights() {
    let tensor = Tensor::zeros(32, DType::I64, &Device::Cpu).unwrap();
    assert!(refusal(&changed("model.norm.weight", tensor)).contains("type I64"));
}

#[test]
fn a_bias_is_refused_because_ignoring_it_would_compute_another_model() {
    let mut all = tensors();
    let bias = Tensor::zeros(32, DType::F32, &Device::Cpu).unwrap();
    all.push(("model.layers.0.self_attn.q_proj.bias".to_owned(), bias));
    assert!(refusal(&file(&all)).contains("q_proj.bias"));
}

#[test]
fn a_header_that_claims_too_much_is_refused_before_it_is_read() {
    let mut bytes = (MAX_HEADER + 1).to_le_bytes().to_vec();
    bytes.extend([b' '; 64]);
    assert!(refusal(&bytes).contains("at most 100000000"));
    let mut bytes = 1000u64.to_le_bytes().to_vec();
    bytes.extend([b' '; 64]);
    assert!(refusal(&bytes).contains("header of 1000 bytes"));
    assert!(refusal(&[1, 2, 3]).contains("no header"));
}

#[test]
fn overlapping_tensors_and_cut_files_are_refused() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 12]);
    assert!(refusal(&bytes).contains("`b` begins at byte 4 of the data, the one before ends at 8"));

    let view = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
    let whole = serialize([("a", view)], None).unwrap();
    assert!(refusal(&whole[..whole.len() - 1]).contains("its tensors take 8 bytes, behind the header are 7"));
}

#[test]
fn a_pickle_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pytorch_model.bin"), b"x").unwrap();
    let error = Weights::read(&tiny_config(64), folder.path()).unwrap_err().to_string();
    assert!(error.contains("pytorch_model.bin is a pickle"), "{error}");
}

#[test]
fn an_index_that_leaves_its_folder_is_refused() {
    for name in ["../a.safetensors", "/etc/a.safetensors", "a.txt"] {
        let index = serde_json::json!({"weight_map": {"x": name}}).to_string();
        assert!(matches!(shards(index.as_bytes()), Err(WeightsError::Index { .. })), "{name}");
    }
}

#[test]
fn a_tied_output_layer_written_again_is_ignored() {
    let mut all = tensors();
    let embedding = all[0].1.clone();
    all.push(("lm_head.weight".to_owned(), embedding));
    let weights = Weights::from_files(&tiny_config(64), &[("m", &file(&all))]).unwrap();
    assert!(weights.get("lm_head.weight").is_none() && weights.output().is_some());
}
