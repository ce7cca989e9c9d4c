use super::*;

fn parameters(values: &[f32]) -> Vec<NamedTensor> {
    vec![NamedTensor { name: "w".to_owned(), shape: [1, values.len()], data: values.to_vec() }]
}

fn gradients(values: &[f32]) -> Gradients {
    Gradients { tensors: vec![values.to_vec()] }
}

fn near(got: f32, want: f64) {
    assert!((f64::from(got) - want).abs() < 1e-6, "{got} where {want} was expected");
}

#[test]
fn two_steps_equal_the_computation_by_hand() {
    let mut weights = parameters(&[1.0]);
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }, &weights);
    // after one step both corrected moments equal g and g^2: p = 1 (1 - 0.01 * 0.1) - 0.01 * 0.5 / 0.5
    optimizer.step(&mut weights, &gradients(&[0.5]), 0.01).unwrap();
    near(weights[0].data[0], 0.999 - 0.01);
    // m = 0.9 * 0.05 - 0.1 * 0.25 = 0.02, v = 0.999 * 0.00025 + 0.001 * 0.0625 = 0.00031225
    optimizer.step(&mut weights, &gradients(&[-0.25]), 0.01).unwrap();
    let (m, v) = (0.02 / (1.0 - 0.81), 0.000_312_25_f64 / (1.0 - 0.999 * 0.999));
    near(weights[0].data[0], 0.989 * 0.999 - 0.01 * m / v.sqrt());
    assert_eq!(optimizer.steps(), 2);
}

#[test]
fn a_stored_optimizer_goes_on_exactly_as_the_one_that_never_stopped() {
    let mut weights = parameters(&[1.0, -2.0, 0.5]);
    let mut optimizer = AdamW::new(AdamWConfig::default(), &weights);
    optimizer.step(&mut weights, &gradients(&[0.1, 0.2, -0.3]), 0.01).unwrap();
    let bytes = optimizer.to_safetensors(&weights).unwrap();
    let mut again = AdamW::from_safetensors(AdamWConfig::default(), &weights, &bytes).unwrap();
    assert_eq!(again, optimizer);
    let mut other = weights.clone();
    optimizer.step(&mut weights, &gradients(&[0.3, 0.1, 0.9]), 0.02).unwrap();
    again.step(&mut other, &gradients(&[0.3, 0.1, 0.9]), 0.02).unwrap();
    assert_eq!(weights, other);
}

#[test]
fn the_state_of_another_adapter_is_refused() {
    let weights = parameters(&[1.0, 2.0]);
    let bytes = AdamW::new(AdamWConfig::default(), &weights).to_safetensors(&weights).unwrap();
    let mut other = parameters(&[1.0, 2.0, 3.0]);
    assert!(AdamW::from_safetensors(AdamWConfig::default(), &other, &bytes).is_err());
    other[0].name = "x".to_owned();
    let error = AdamW::from_safetensors(AdamWConfig::default(), &other, &bytes).unwrap_err();
    assert!(error.to_string().contains("exp_avg.x is missing"));
    assert!(AdamW::from_safetensors(AdamWConfig::default(), &weights, &bytes[..20]).is_err());
}

#[test]
fn the_rate_warms_up_and_decays() {
    let schedule = |decay| Schedule { peak: 2.0, warmup: 4, total: 12, decay };
    let cosine = schedule(Decay::Cosine);
    assert_eq!((0..5).map(|k| cosine.rate(k)).collect::<Vec<_>>(), [0.5, 1.0, 1.5, 2.0, 2.0]);
    assert!((cosine.rate(8) - 1.0).abs() < 1e-12);
    assert!(cosine.rate(11) > 0.0 && cosine.rate(12) < 1e-12 && cosine.rate(99) < 1e-12);
    assert_eq!(schedule(Decay::Linear).rate(6), 1.5);
    assert_eq!(schedule(Decay::Constant).rate(50), 2.0);
    let none = Schedule { warmup: 0, ..cosine };
    assert_eq!(none.rate(0), 2.0);
}

#[test]
fn accumulation_is_the_mean_over_tokens_not_over_batches() {
    let weights = parameters(&[0.0, 0.0]);
    let mut sum = Accumulator::new(&weights);
    sum.add(LossSum { sum: 3.0, count: 1 }, &gradients(&[3.0, 0.0])).unwrap();
    sum.add(LossSum { sum: 1.0, count: 3 }, &gradients(&[1.0, 4.0])).unwrap();
    let whole = sum.finish(&weights, 0.0).unwrap();
    assert_eq!(whole.gradients, gradients(&[1.0, 1.0]));
    assert_eq!(whole.loss.mean(), 1.0);
    assert!((whole.norm - 2.0_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn a_large_gradient_is_clipped_to_the_norm_and_a_small_one_left() {
    let weights = parameters(&[0.0, 0.0]);
    let one = |values: &[f32]| {
        let mut sum = Accumulator::new(&weights);
        sum.add(LossSum { sum: 1.0, count: 1 }, &gradients(values)).unwrap();
        sum.finish(&weights, 1.0).unwrap()
    };
    let large = one(&[3.0, 4.0]);
    assert!((large.norm - 5.0).abs() < 1e-12 && (large.gradients.norm() - 1.0).abs() < 1e-5);
    assert_eq!(one(&[0.3, 0.4]).gradients, gradients(&[0.3, 0.4]));
}

#[test]
fn nan_infinity_and_an_empty_step_are_told_apart() {
    let weights = parameters(&[0.0]);
    let finish = |loss: LossSum, value: f32| {
        let mut sum = Accumulator::new(&weights);
        sum.add(loss, &gradients(&[value])).unwrap();
        sum.finish(&weights, 1.0).unwrap_err()
    };
    let loss = finish(LossSum { sum: f64::NAN, count: 2 }, 1.0);
    assert!(matches!(loss, OptimizerError::LossNotFinite(v) if v.is_nan()));
    let gradient = finish(LossSum { sum: 1.0, count: 2 }, f32::INFINITY);
    assert!(matches!(gradient, OptimizerError::GradientNotFinite(name) if name == "w"));
    assert!(matches!(finish(LossSum::default(), 0.0), OptimizerError::Nothing));
}
