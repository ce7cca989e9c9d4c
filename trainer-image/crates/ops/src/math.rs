//! Scalar functions written so that loops over them vectorise, and sums with one fixed order.

use std::array;

/// Adding and taking away 1.5 * 2^23 rounds an f32 to the nearest integer, which then lies in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;
/// How many partial sums a reduction keeps: one 512-bit register of f32, whatever the machine has.
const LANES: usize = 16;

/// e^x, within 2 units in the last place for x in [-87, 88]; outside, the value at the nearer bound. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Cephes: x = n ln2 + r with |r| <= ln2 / 2, a polynomial for e^r, and 2^n put into the exponent bits.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    f32::from_bits(exponent << 23) * y
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    let mut sums = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// The sum of `term(i)` over `0..len`, in an order that depends on `len` alone.
#[inline(always)]
pub fn sum_of(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let whole = len - len % LANES;
    let mut lanes = [0.0; LANES];
    for start in (0..whole).step_by(LANES) {
        let step: [f32; LANES] = array::from_fn(|lane| term(start + lane));
        for (sum, value) in lanes.iter_mut().zip(step) {
            *sum += value;
        }
    }
    let tail: f32 = (whole..len).map(term).sum();
    fold(lanes) + tail
}

/// The inner product of two rows; of the shorter one where their lengths differ.
#[inline(always)]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let len = left.len().min(right.len());
    let (left, right) = (&left[..len], &right[..len]);
    sum_of(len, |i| left[i] * right[i])
}

/// The largest value of a row; NaN if any value is NaN, so that it is not hidden; minus infinity for an empty row.
#[inline(always)]
pub fn max(row: &[f32]) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (best, &value) in lanes.iter_mut().zip(chunk) {
            // `!(a <= b)` takes NaN over; a later number cannot displace it, for NaN <= x is false as well
            *best = if *best >= value || best.is_nan() { *best } else { value };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |best, &value| if best >= value || best.is_nan() { best } else { value })
}

/// Replaces each value by `exp(value - shift)` and returns the sum of the new values.
#[inline(always)]
pub fn exp_in_place(row: &mut [f32], shift: f32) -> f32 {
    for value in row.iter_mut() {
        *value = exp(*value - shift);
    }
    sum_of(row.len(), |i| row[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_library_over_its_whole_range() {
        for step in -87_000..88_000 {
            let x = step as f32 / 1000.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 2.5e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn exp_keeps_nan_and_bounds_the_infinite() {
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::INFINITY) > 1e38);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sums_of_every_length_agree_with_the_plain_sum() {
        for len in 0..70 {
            let row: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(sum_of(len, |i| row[i]), row.iter().sum::<f32>());
            assert_eq!(dot(&row, &row), row.iter().map(|v| v * v).sum::<f32>());
        }
    }

    #[test]
    fn the_largest_value_is_found_and_nan_is_not_hidden() {
        let mut row: Vec<f32> = (0..37).map(|i| -((i as f32) - 20.0).abs()).collect();
        assert_eq!(max(&row), 0.0);
        for place in [0, 15, 16, 36] {
            row[place] = f32::NAN;
            assert!(max(&row).is_nan());
            row[place] = -1.0;
        }
        assert_eq!(max(&[]), f32::NEG_INFINITY);
    }
}
