//! What transformers and PEFT computed (`e2e/parity/make_fixtures.py`) against what this crate computes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::LoraAdapter;
use cooperator_models::optimizer::{Accumulator, AdamW, AdamWConfig};
use cooperator_models::train::{Batch, Measure, TrainModel};
use cooperator_models::weights::Weights;
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    tokens: Vec<Vec<u32>>,
    labels: Vec<Vec<i32>>,
    loss_base: f64,
    loss_adapted: f64,
    rates: Vec<f64>,
    weight_decay: f64,
    clip_norm: f64,
    losses: Vec<f64>,
    norms: Vec<f64>,
}

struct Case {
    model: TrainModel,
    batch: Batch,
    expected: Expected,
    tensors: Vec<u8>,
}

impl Case {
    fn read(name: &str) -> Self {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let file = |name: &str| fs::read(folder.join(name)).unwrap();
        let config = LlamaConfig::from_json(&file("config.json")).unwrap();
        let tensors = file("model.safetensors");
        let weights = Weights::from_files(&config, &[("model.safetensors", &tensors)]).unwrap();
        let adapter =
            LoraAdapter::from_peft(&config, &file("adapter_config.json"), &file("adapter_model.safetensors"))
                .unwrap();
        let expected: Expected = serde_json::from_slice(&file("expected.json")).unwrap();
        let pairs: Vec<(&[u32], &[i32])> =
            expected.tokens.iter().zip(&expected.labels).map(|(t, l)| (t.as_slice(), l.as_slice())).collect();
        let batch = Batch::with_labels(&pairs).unwrap();
        let model = TrainModel::new(&config, &weights, adapter).unwrap();
        Self { model, batch, expected, tensors: file("expected.safetensors") }
    }

    fn tensor(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.tensors).unwrap();
        let view = file.tensor(name).unwrap();
        view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// Fails unless each value is within `tolerance` of the other, relative to the largest expected.
fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(0.0_f32, |best, v| best.max(v.abs()));
    let worst = got.iter().zip(want).fold(0.0_f32, |worst, (g, w)| worst.max((g - w).abs()));
    assert!(worst <= tolerance * scale, "{what}: off by {worst} where the largest value is {scale}");
}

fn near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{what}: {got} where {want} was expected");
}

fn check(name: &str) {
    let mut case = Case::read(name);
    for (measure, word, loss) in [
        (Measure::Base, "base", case.expected.loss_base),
        (Measure::Adapted, "adapted", case.expected.loss_adapted),
    ] {
        let logits = case.model.logits(&case.batch, measure).unwrap();
        assert_close(word, &logits, &case.tensor(&format!("logits.{word}")), 1e-4);
        near(word, case.model.loss(&case.batch, measure).unwrap().mean(), loss);
    }

    let (loss, mut gradients) = case.model.loss_and_grads(&case.batch, 0).unwrap();
    near("training loss", loss.mean(), case.expected.loss_adapted);
    for (tensor, gradient) in case.model.adapter().tensors().iter().zip(&mut gradients.tensors) {
        gradient.iter_mut().for_each(|v| *v /= loss.count as f32);
        assert_close(&tensor.name, gradient, &case.tensor(&format!("gradient.{}", tensor.name)), 1e-4);
    }

    let settings = AdamWConfig { weight_decay: case.expected.weight_decay, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(settings, case.model.adapter().tensors());
    for (step, rate) in case.expected.rates.clone().into_iter().enumerate() {
        let (loss, gradients) = case.model.loss_and_grads(&case.batch, 0).unwrap();
        let mut sum = Accumulator::new(case.model.adapter().tensors());
        sum.add(loss, &gradients).unwrap();
        let whole = sum.finish(case.model.adapter().tensors(), case.expected.clip_norm).unwrap();
        near("loss of a step", whole.loss.mean(), case.expected.losses[step]);
        near("norm of a step", whole.norm, case.expected.norms[step]);
        optimizer.step(case.model.adapter_mut().tensors_mut(), &whole.gradients, rate).unwrap();
    }
    for tensor in case.model.adapter().tensors() {
        assert_close(&tensor.name, &tensor.data, &case.tensor(&format!("trained.{}", tensor.name)), 2e-3);
    }
}

#[test]
fn a_tied_model_with_lora_everywhere_equals_transformers_and_peft() {
    check("tied");
}

#[test]
fn an_untied_model_with_stretched_positions_and_some_targets_equals_transformers_and_peft() {
    check("untied_llama3");
}
