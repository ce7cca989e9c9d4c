use super::*;
use crate::reference::{assert_close, central_differences, values, weigh, wide};

const LAYER: AttentionShape = AttentionShape { heads: 4, kv_heads: 2, head_dim: 6 };

/// Attention by its definition, head-major.
fn reference(segments: &Segments, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
    let (dim, mut out) = (LAYER.head_dim, Vec::new());
    for at in segments.heads(LAYER.heads) {
        let (q, keys) = (&q[LAYER.query_range(at)], LAYER.key_range(at));
        let (k, v) = (&k[keys.clone()], &v[keys]);
        for row in 0..at.length {
            let score = |col: usize| {
                (0..dim).map(|i| q[row * dim + i] * k[col * dim + i]).sum::<f64>() / (dim as f64).sqrt()
            };
            let weights: Vec<f64> = (0..=row).map(|col| score(col).exp()).collect();
            let sum: f64 = weights.iter().sum();
            out.extend(
                (0..dim).map(|i| (0..=row).map(|col| weights[col] / sum * v[col * dim + i]).sum::<f64>()),
            );
        }
    }
    out
}

struct Case {
    segments: Segments,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    out: Vec<f32>,
    lse: Vec<f32>,
}

fn case(lengths: &[usize]) -> Case {
    let segments = Segments::new(lengths).unwrap();
    let rows = segments.rows();
    let q: Vec<f32> = values(rows * LAYER.q_width(), 1).iter().map(|v| v * 3.0).collect();
    let (k, v) = (values(rows * LAYER.kv_width(), 2), values(rows * LAYER.kv_width(), 3));
    let (mut out, mut lse) = (vec![f32::NAN; q.len()], vec![f32::NAN; rows * LAYER.heads]);
    forward(LAYER, &segments, [&q, &k, &v], &mut out, &mut lse).unwrap();
    Case { segments, q, k, v, out, lse }
}

fn gradients(case: &Case, dout: &[f32]) -> [Vec<f32>; 3] {
    let mut dq = vec![f32::NAN; case.q.len()];
    let (mut dk, mut dv) = (vec![f32::NAN; case.k.len()], vec![f32::NAN; case.k.len()]);
    let kept = Kept { q: &case.q, k: &case.k, v: &case.v, lse: &case.lse };
    let into = Gradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
    backward(LAYER, &case.segments, kept, [&case.out, dout], into).unwrap();
    [dq, dk, dv]
}

#[test]
fn attention_equals_its_definition_across_blocks_and_sequences() {
    let case = case(&[5, 1, 150, 64]);
    assert_close(&case.out, &reference(&case.segments, &wide(&case.q), &wide(&case.k), &wide(&case.v)), 2e-6);
}

#[test]
fn the_gradients_equal_central_differences() {
    let case = case(&[5, 1, 3]);
    let dout = values(case.out.len(), 4);
    let [dq, dk, dv] = gradients(&case, &dout);
    let (q, k, v) = (wide(&case.q), wide(&case.k), wide(&case.v));
    let loss = |q: &[f64], k: &[f64], v: &[f64]| weigh(&reference(&case.segments, q, k, v), &dout);
    assert_close(&dq, &central_differences(&q, |q| loss(q, &k, &v)), 1e-5);
    assert_close(&dk, &central_differences(&k, |k| loss(&q, k, &v)), 1e-5);
    assert_close(&dv, &central_differences(&v, |v| loss(&q, &k, v)), 1e-5);
}

#[test]
fn the_gradient_holds_across_blocks() {
    let case = case(&[70]);
    let dout = values(case.out.len(), 4);
    let [dq, dk, dv] = gradients(&case, &dout);
    let (q, k, v) = (wide(&case.q), wide(&case.k), wide(&case.v));
    // one direction instead of every value: the definition is cubic
    let step = |values: &[f64], direction: &[f32], by: f64| -> Vec<f64> {
        values.iter().zip(direction).map(|(v, &d)| v + by * f64::from(d)).collect()
    };
    let directions = [values(q.len(), 7), values(k.len(), 8), values(v.len(), 9)];
    let loss = |by: f64| {
        let (q, k, v) =
            (step(&q, &directions[0], by), step(&k, &directions[1], by), step(&v, &directions[2], by));
        weigh(&reference(&case.segments, &q, &k, &v), &dout)
    };
    let numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
    let along: f64 = [dq, dk, dv].iter().zip(&directions).map(|(g, d)| weigh(&wide(g), d)).sum();
    assert!((numeric - along).abs() < 1e-4 * numeric.abs().max(1.0), "{along} where {numeric} was expected");
}

#[test]
fn a_sequence_does_not_see_the_one_before_it() {
    let both = case(&[7, 9]);
    let rows = 7 * LAYER.q_width();
    let mut changed = case(&[7, 9]);
    changed.k[..7 * LAYER.kv_width()].fill(0.0);
    forward(
        LAYER,
        &changed.segments,
        [&changed.q, &changed.k, &changed.v],
        &mut changed.out,
        &mut changed.lse,
    )
    .unwrap();
    assert_eq!(both.out[rows..], changed.out[rows..]);
    assert_ne!(both.out[..rows], changed.out[..rows]);
}

#[test]
fn heads_that_do_not_divide_are_refused() {
    let layer = AttentionShape { heads: 3, kv_heads: 2, head_dim: 2 };
    let segments = Segments::new(&[1]).unwrap();
    let error = forward(layer, &segments, [&[0.0; 6], &[0.0; 4], &[0.0; 4]], &mut [0.0; 6], &mut [0.0; 3]);
    assert!(matches!(error, Err(OpsError::Shape { left: 3, right: 2, .. })));
}
