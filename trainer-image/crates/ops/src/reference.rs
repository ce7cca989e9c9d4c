//! What the tests of this crate share: reproducible values, comparison, central differences in f64.

/// Reproducible values in (-1, 1), from a small linear congruence.
pub fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32) / ((1_u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// The same values in f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Fails unless the two agree within `tolerance`, relative to the largest of `want` (at least 1).
pub fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0_f64, |best, v| best.max(v.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(g) - w).abs() <= tolerance * scale, "value {i}: {g} where {w} was expected");
    }
}

/// The gradient of `loss` at `at` by central differences.
pub fn central_differences(at: &[f64], mut loss: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut point = at.to_vec();
    (0..at.len())
        .map(|i| {
            point[i] = at[i] + STEP;
            let above = loss(&point);
            point[i] = at[i] - STEP;
            let below = loss(&point);
            point[i] = at[i];
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// A loss whose gradient with respect to `outputs` is `weights`: their inner product.
pub fn weigh(outputs: &[f64], weights: &[f32]) -> f64 {
    outputs.iter().zip(weights).map(|(o, &w)| o * f64::from(w)).sum()
}
