//! The gate of the feed-forward part: `act = silu(gate) * up`, with gate and up side by side in one row.

use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};
use crate::math::sigmoid;

fn check(op: &'static str, gate_up: &[f32], act: &[f32], width: usize) -> Result<(), OpsError> {
    shape(op, "rows are whole", act.len(), width, width > 0 && act.len().is_multiple_of(width))?;
    length(op, "gate_up", gate_up.len(), 2 * act.len())
}

/// `gate_up` is `[rows, 2 * width]` (gate first), `act` is `[rows, width]`.
pub fn forward(gate_up: &[f32], width: usize, act: &mut [f32]) -> Result<(), OpsError> {
    check("swiglu", gate_up, act, width)?;
    let rows = act.par_chunks_mut(width).zip(gate_up.par_chunks(2 * width));
    rows.with_min_len(8).for_each(|(act, gate_up)| {
        let (gate, up) = gate_up.split_at(width);
        for ((act, &g), &u) in act.iter_mut().zip(gate).zip(up) {
            *act = g * sigmoid(g) * u;
        }
    });
    Ok(())
}

/// Replaces `gate_up`, the values of the forward pass, by their gradient, given `dact`; and writes `act` once more, which
/// the backward of the layer above needs and the forward did not keep.
pub fn backward_in_place(
    gate_up: &mut [f32],
    width: usize,
    dact: &[f32],
    act: &mut [f32],
) -> Result<(), OpsError> {
    check("swiglu backward", gate_up, dact, width)?;
    length("swiglu backward", "act", act.len(), dact.len())?;
    let rows = gate_up.par_chunks_mut(2 * width).zip(dact.par_chunks(width)).zip(act.par_chunks_mut(width));
    rows.with_min_len(8).for_each(|((gate_up, dact), act)| {
        let (gate, up) = gate_up.split_at_mut(width);
        for (((g, u), &d), act) in gate.iter_mut().zip(up).zip(dact).zip(act) {
            let s = sigmoid(*g);
            let silu = *g * s;
            *act = silu * *u;
            *g = d * *u * (s + silu * (1.0 - s));
            *u = d * silu;
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, central_differences, values, weigh, wide};

    fn reference(gate_up: &[f64], width: usize) -> Vec<f64> {
        gate_up
            .chunks(2 * width)
            .flat_map(|row| {
                let (gate, up) = row.split_at(width);
                gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_activation_and_its_gradient_equal_the_reference() {
        let (rows, width) = (3, 21);
        let values_in: Vec<f32> = values(rows * 2 * width, 5).iter().map(|v| v * 6.0).collect();
        let dact = values(rows * width, 6);
        let mut act = vec![f32::NAN; rows * width];
        forward(&values_in, width, &mut act).unwrap();
        assert_close(&act, &reference(&wide(&values_in), width), 1e-6);

        let (mut gradient, mut again) = (values_in.clone(), vec![f32::NAN; act.len()]);
        backward_in_place(&mut gradient, width, &dact, &mut again).unwrap();
        let numeric = central_differences(&wide(&values_in), |x| weigh(&reference(x, width), &dact));
        assert_close(&gradient, &numeric, 1e-5);
        assert_eq!(act, again);
    }

    #[test]
    fn a_gate_without_its_up_is_refused() {
        assert!(forward(&[0.0; 6], 4, &mut [0.0; 4]).is_err());
    }
}
