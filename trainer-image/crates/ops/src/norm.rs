//! RMSNorm with a frozen weight: `y = x / sqrt(mean(x^2) + eps) * weight`, row by row.

use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};
use crate::math::{dot, sum_of};

#[inline(always)]
fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

fn check(op: &'static str, x: &[f32], weight: &[f32]) -> Result<(), OpsError> {
    let width = weight.len();
    shape(op, "rows are as wide as the weight", x.len(), width, width > 0 && x.len().is_multiple_of(width))
}

/// Writes the norm of each row of `x` (`[rows, weight.len()]`) to `y`, of the same shape.
pub fn forward(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) -> Result<(), OpsError> {
    check("rms_norm", x, weight)?;
    length("rms_norm", "y", y.len(), x.len())?;
    let width = weight.len();
    y.par_chunks_mut(width).zip(x.par_chunks(width)).with_min_len(16).for_each(|(y, x)| {
        let inverse = inverse_rms(x, eps);
        for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
            *y = w * (x * inverse);
        }
    });
    Ok(())
}

/// Adds to `dx` the gradient of the rows of `x`, given `dy`, that of the outputs. Adding suits a residual stream, whose
/// gradient is already there. All three have the shape of `x`.
pub fn add_backward(x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32]) -> Result<(), OpsError> {
    check("rms_norm backward", x, weight)?;
    length("rms_norm backward", "dy", dy.len(), x.len())?;
    length("rms_norm backward", "dx", dx.len(), x.len())?;
    let width = weight.len();
    let rows = dx.par_chunks_mut(width).zip(x.par_chunks(width)).zip(dy.par_chunks(width));
    rows.with_min_len(16).for_each(|((dx, x), dy)| {
        let inverse = inverse_rms(x, eps);
        let (x, dy, weight) = (&x[..width], &dy[..width], &weight[..width]);
        let along = sum_of(width, |i| x[i] * (dy[i] * weight[i]));
        let pull = along * inverse * inverse / width as f32;
        for (((dx, &x), &dy), &w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
            *dx += inverse * (dy * w - x * pull);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, central_differences, values, weigh, wide};

    const EPS: f32 = 1e-3;

    fn reference(x: &[f64], weight: &[f32]) -> Vec<f64> {
        let width = weight.len();
        x.chunks(width)
            .flat_map(|row| {
                let mean = row.iter().map(|v| v * v).sum::<f64>() / width as f64;
                let inverse = 1.0 / (mean + f64::from(EPS)).sqrt();
                row.iter().zip(weight).map(move |(v, &w)| v * inverse * f64::from(w)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_norm_equals_the_reference() {
        let (x, weight) = (values(5 * 19, 1), values(19, 2));
        let mut y = vec![f32::NAN; x.len()];
        forward(&x, &weight, EPS, &mut y).unwrap();
        assert_close(&y, &reference(&wide(&x), &weight), 1e-6);
    }

    #[test]
    fn the_gradient_equals_central_differences_and_is_added() {
        let (x, weight, dy) = (values(3 * 19, 1), values(19, 2), values(3 * 19, 3));
        let mut dx = vec![0.5; x.len()];
        add_backward(&x, &weight, EPS, &dy, &mut dx).unwrap();
        let numeric = central_differences(&wide(&x), |x| weigh(&reference(x, &weight), &dy));
        let want: Vec<f64> = numeric.iter().map(|v| v + 0.5).collect();
        assert_close(&dx, &want, 1e-5);
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        assert!(forward(&[0.0; 7], &[1.0; 3], EPS, &mut [0.0; 7]).is_err());
    }
}
