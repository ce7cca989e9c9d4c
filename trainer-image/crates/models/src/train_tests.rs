use super::*;
use crate::config::LINEARS;
use crate::lora::LoraConfig;
use crate::testing::{random_tensors, random_weights, tiny_config};

const SEED: u64 = 5;

fn lora(dropout: f64) -> LoraConfig {
    let target_modules = LINEARS.iter().map(|t| (*t).to_owned()).collect();
    LoraConfig { rank: 4, alpha: 8.0, dropout, target_modules }
}

/// A tiny model whose adapter is not the neutral one it starts as.
fn model(dropout: f64) -> TrainModel {
    let config = tiny_config(50);
    let mut adapter = LoraAdapter::init(lora(dropout), &config, SEED).unwrap();
    for (i, tensor) in adapter.tensors_mut().iter_mut().enumerate() {
        for (j, value) in tensor.data.iter_mut().enumerate() {
            *value += 0.1 * ((i * 31 + j * 17) as f32).sin();
        }
    }
    TrainModel::new(&config, &random_weights(&config, SEED).unwrap(), adapter).unwrap()
}

fn sequence(length: u32, from: u32) -> Vec<u32> {
    (0..length).map(|i| (from + i * i * 7 + i * 3) % 50).collect()
}

fn batch(lengths: &[u32]) -> Batch {
    let sequences: Vec<Vec<u32>> = lengths.iter().map(|length| sequence(*length, *length)).collect();
    Batch::new(&sequences).unwrap()
}

/// The slope of the loss along the gradient, by differences and by the gradient itself.
fn slopes(dropout: f64) -> (f64, f64) {
    let (mut model, batch) = (model(dropout), batch(&[9, 5]));
    let (_, gradients) = model.loss_and_grads(&batch, 3).unwrap();
    let norm = gradients.norm();
    let start = model.adapter().clone();
    let mut at = |by: f64| {
        for ((tensor, gradient), from) in
            model.adapter.tensors_mut().iter_mut().zip(&gradients.tensors).zip(start.tensors())
        {
            let values = tensor.data.iter_mut().zip(gradient).zip(&from.data);
            values.for_each(|((v, g), f)| *v = (f64::from(*f) + by * f64::from(*g) / norm) as f32);
        }
        model.loss_and_grads(&batch, 3).unwrap().0.sum
    };
    let step = 4e-3;
    ((at(step) - at(-step)) / (2.0 * step), norm)
}

#[test]
fn the_gradient_of_the_whole_model_equals_differences_of_its_loss() {
    for dropout in [0.0, 0.3] {
        let (numeric, analytic) = slopes(dropout);
        assert!((numeric - analytic).abs() < 2e-3 * analytic, "{analytic} where {numeric} was expected");
    }
}

#[test]
fn every_tensor_of_the_adapter_has_a_gradient() {
    let (mut model, batch) = (model(0.0), batch(&[12]));
    let (_, gradients) = model.loss_and_grads(&batch, 0).unwrap();
    for (tensor, gradient) in model.adapter().tensors().iter().zip(&gradients.tensors) {
        assert!(gradient.iter().any(|v| *v != 0.0), "{} has none", tensor.name);
    }
}

#[test]
fn a_merged_model_gives_the_logits_of_the_model_with_its_adapter() {
    let (mut model, batch) = (model(0.0), batch(&[11, 4]));
    let adapted = model.logits(&batch, Measure::Adapted).unwrap();
    let config = tiny_config(50);
    let merged = random_tensors(&config, SEED).unwrap().into_iter().map(|(name, tensor)| {
        let place = name.strip_prefix("model.layers.").and_then(|rest| rest.strip_suffix(".weight"));
        let Some((layer, linear)) = place.and_then(|rest| rest.split_once('.')) else {
            return (name, tensor);
        };
        let shape = tensor.shape().clone();
        let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
        let mut values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        model.adapter().merge(layer.parse().unwrap(), linear, &mut values).unwrap();
        (name.clone(), candle_core::Tensor::from_vec(values, shape, tensor.device()).unwrap())
    });
    let weights = Weights::from_tensors(&config, merged.collect::<Vec<_>>()).unwrap();
    let neutral = LoraAdapter::init(lora(0.0), &config, SEED).unwrap();
    let mut plain = TrainModel::new(&config, &weights, neutral).unwrap();
    let logits = plain.logits(&batch, Measure::Base).unwrap();
    let largest = adapted.iter().fold(0.0_f32, |best, v| best.max(v.abs()));
    assert!(adapted.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-5 * largest));
    assert_ne!(adapted, model.logits(&batch, Measure::Base).unwrap());
}

#[test]
fn a_sequence_loses_the_same_alone_and_beside_others() {
    let mut model = model(0.0);
    let together = model.loss(&batch(&[9, 5, 2]), Measure::Adapted).unwrap();
    let mut apart = LossSum::default();
    for length in [9, 5, 2] {
        apart += model.loss(&batch(&[length]), Measure::Adapted).unwrap();
    }
    assert_eq!(together.count, apart.count);
    assert!((together.sum - apart.sum).abs() < 1e-4);
}

#[test]
fn the_same_step_gives_the_same_bits_on_any_number_of_threads_and_after_any_other() {
    let steps = |threads: usize, before: &[u32]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = model(0.2);
            model.loss_and_grads(&batch(before), 9).unwrap();
            model.loss(&batch(before), Measure::Base).unwrap();
            model.loss_and_grads(&batch(&[33, 70]), 4).unwrap()
        })
    };
    let one = steps(1, &[3]);
    assert_eq!(one, steps(2, &[90, 20]));
    assert_eq!(one, steps(3, &[2]));
}

#[test]
fn dropout_follows_its_seed_and_is_off_in_evaluation() {
    let (mut dropping, mut plain, batch) = (model(0.3), model(0.0), batch(&[9, 5]));
    let train = |model: &mut TrainModel, seed| model.loss_and_grads(&batch, seed).unwrap().0.sum;
    assert_eq!(train(&mut dropping, 1), train(&mut dropping, 1));
    assert_ne!(train(&mut dropping, 1), train(&mut dropping, 2));
    let evaluated = dropping.loss(&batch, Measure::Adapted).unwrap();
    assert_eq!(evaluated, plain.loss(&batch, Measure::Adapted).unwrap());
}

#[test]
fn labels_of_minus_100_are_not_trained_on() {
    let tokens = sequence(8, 3);
    let mut labels: Vec<i32> = tokens.iter().map(|t| *t as i32).collect();
    labels[..6].fill(IGNORED);
    let mut model = model(0.0);
    let some = Batch::with_labels(&[(tokens.as_slice(), labels.as_slice())]).unwrap();
    assert_eq!(model.loss(&some, Measure::Base).unwrap().count, 2);
    labels.fill(IGNORED);
    let none = Batch::with_labels(&[(tokens.as_slice(), labels.as_slice())]).unwrap();
    let (loss, gradients) = model.loss_and_grads(&none, 0).unwrap();
    assert_eq!((loss.sum, loss.count, gradients.norm()), (0.0, 0, 0.0));
}

#[test]
fn bad_batches_and_foreign_adapters_are_refused() {
    let mut model = model(0.0);
    assert!(matches!(Batch::new(&[vec![1_u32]]), Err(TrainError::Sequence { index: 0, tokens: 1, .. })));
    assert!(Batch::new::<Vec<u32>>(&[]).is_err());
    let long = Batch::new(&[vec![1_u32; 257]]).unwrap();
    assert!(matches!(model.loss(&long, Measure::Base), Err(TrainError::TooLong { length: 257, bound: 256 })));
    let foreign = Batch::new(&[[1_u32, 50]]).unwrap();
    let error = model.loss(&foreign, Measure::Base).unwrap_err().to_string();
    assert!(error.contains("id 50 at row 1 is outside the vocabulary of 50"), "{error}");

    let (config, mut wider) = (tiny_config(50), tiny_config(50));
    wider.intermediate_size = 64;
    let adapter = LoraAdapter::init(lora(0.0), &wider, 1).unwrap();
    let error = TrainModel::new(&config, &random_weights(&config, 1).unwrap(), adapter).unwrap_err();
    assert!(matches!(error, TrainError::Adapter(why) if why.contains("gate_proj.lora_B")));
}
