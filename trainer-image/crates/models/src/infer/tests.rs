use super::*;
use crate::lora::{LoraAdapter, LoraConfig};
use crate::testing::{random_weights, tiny_config};

fn weights(seed: u64) -> (LlamaConfig, Weights) {
    let config = tiny_config(64);
    let weights = random_weights(&config, seed).unwrap();
    (config, weights)
}

fn model(seed: u64) -> InferModel {
    let (config, weights) = weights(seed);
    InferModel::new(&config, &weights, None).unwrap()
}

fn prompt(length: usize, salt: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * 7 + salt * 13 + i * i) % 64).collect()
}

fn close(left: &[f32], right: &[f32], tolerance: f32) {
    assert_eq!(left.len(), right.len());
    for (l, r) in left.iter().zip(right) {
        assert!((l - r).abs() <= tolerance * (1.0 + r.abs()), "{l} {r}");
    }
}

#[test]
fn reading_a_prompt_at_once_or_token_by_token_gives_the_same_logits() {
    let model = model(1);
    let tokens = prompt(40, 0);
    let (mut at_once, mut singly) = (model.cache(), model.cache());
    let expected = model.read(&mut at_once, &tokens).unwrap();
    let mut logits = Vec::new();
    for token in &tokens {
        logits = model.decode(&mut [(&mut singly, *token)]).unwrap();
    }
    close(&logits, &expected, 1e-4);
    assert_eq!((at_once.len(), singly.len()), (40, 40));
}

#[test]
fn a_batch_of_three_gives_the_bits_of_one_by_one() {
    let model = model(2);
    let prompts = [prompt(3, 1), prompt(30, 2), prompt(130, 3)];
    let alone: Vec<Vec<f32>> = prompts
        .iter()
        .map(|tokens| {
            let mut cache = model.cache();
            model.read(&mut cache, tokens).unwrap();
            model.decode(&mut [(&mut cache, 5)]).unwrap();
            model.decode(&mut [(&mut cache, 6)]).unwrap()
        })
        .collect();
    let mut caches: Vec<Cache> = prompts
        .iter()
        .map(|tokens| {
            let mut cache = model.cache();
            model.read(&mut cache, tokens).unwrap();
            cache
        })
        .collect();
    let mut batch: Vec<(&mut Cache, u32)> = caches.iter_mut().map(|cache| (cache, 5)).collect();
    model.decode(&mut batch).unwrap();
    let mut batch: Vec<(&mut Cache, u32)> = caches.iter_mut().map(|cache| (cache, 6)).collect();
    let together = model.decode(&mut batch).unwrap();
    for (row, alone) in together.chunks_exact(64).zip(&alone) {
        assert_eq!(row, &alone[..]);
    }
}

#[test]
fn an_adapter_beside_the_weights_is_the_adapter_merged_into_them() {
    let (config, weights) = weights(3);
    let lora = LoraConfig {
        rank: 4,
        alpha: 8.0,
        dropout: 0.0,
        target_modules: ["q_proj", "v_proj", "o_proj", "down_proj"].map(str::to_owned).to_vec(),
    };
    let mut adapter = LoraAdapter::init(lora, &config, 1).unwrap();
    for (index, tensor) in adapter.tensors_mut().iter_mut().enumerate() {
        for (i, value) in tensor.data.iter_mut().enumerate() {
            *value = ((i * 31 + index * 17) % 23) as f32 / 230.0 - 0.05;
        }
    }
    let beside = InferModel::new(&config, &weights, Some(&adapter)).unwrap();

    let merged = weights.iter().map(|(name, tensor)| {
        let mut values = weights.f32(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        if let Some(rest) = name.strip_prefix("model.layers.") {
            let (layer, linear) = rest.split_once('.').unwrap();
            let linear = linear.strip_suffix(".weight").unwrap();
            adapter.merge(layer.parse().unwrap(), linear, &mut values).unwrap();
        }
        let merged = candle_core::Tensor::from_vec(values, tensor.shape(), &candle_core::Device::Cpu);
        (name.to_owned(), merged.unwrap())
    });
    let merged = Weights::from_tensors(&config, merged.collect::<Vec<_>>()).unwrap();
    let merged = InferModel::new(&config, &merged, None).unwrap();
    let tokens = prompt(20, 4);
    let logits = beside.read(&mut beside.cache(), &tokens).unwrap();
    close(&logits, &merged.read(&mut merged.cache(), &tokens).unwrap(), 1e-4);
    let base = InferModel::new(&config, &weights, None).unwrap();
    let base = base.read(&mut base.cache(), &tokens).unwrap();
    assert!(base.iter().zip(&logits).any(|(a, b)| (a - b).abs() > 0.01), "the adapter changes nothing");
}

#[test]
fn the_order_of_earlier_tokens_matters() {
    let model = model(4);
    let read = |tokens: &[u32]| model.read(&mut model.cache(), tokens).unwrap();
    assert_ne!(read(&[1, 2, 3]), read(&[2, 1, 3]));
}

#[test]
fn what_does_not_fit_is_refused_and_the_cache_stays() {
    let model = model(5);
    let mut cache = model.cache();
    model.read(&mut cache, &prompt(250, 0)).unwrap();
    let error = model.prefill(&mut cache, &prompt(7, 0)).unwrap_err();
    assert!(matches!(error, InferError::ContextFull { wanted: 257, most: 256 }), "{error}");
    assert!(matches!(model.decode(&mut [(&mut cache, 64)]), Err(InferError::OutOfVocabulary { .. })));
    assert!(matches!(model.prefill(&mut cache, &[]), Err(InferError::Piece(0))));
    assert_eq!(cache.len(), 250);
    model.decode(&mut [(&mut cache, 1)]).unwrap();
}
