//! How fast the CPUs are at what training does most: a product of activations and a frozen weight.

use std::time::{Duration, Instant};

use cooperator_ops::OpsError;
use cooperator_ops::matrix::{Mat, MatMut, Threads, product};

use super::rate::Rate;

/// Tokens of a micro-batch, and the width of a small model.
const TOKENS: usize = 256;
const WIDTH: usize = 1024;
/// Floating-point operations of one product.
const WORK: u64 = 2 * (TOKENS * WIDTH * WIDTH) as u64;
/// For how long products are made.
const TIME: Duration = Duration::from_millis(250);

/// Floating-point operations, on all CPUs that the run has.
///
/// # Errors
/// [`OpsError`]: never, the shapes fit.
pub(super) fn speed() -> Result<Rate, OpsError> {
    let (activations, weight) = (vec![0.5_f32; TOKENS * WIDTH], vec![0.25_f32; WIDTH * WIDTH]);
    let mut made = vec![0.0_f32; TOKENS * WIDTH];
    let mut one = || {
        let made = MatMut::new(&mut made, TOKENS, WIDTH)?;
        let weight = Mat::new(&weight, WIDTH, WIDTH)?.t();
        product(made, 1.0, Mat::new(&activations, TOKENS, WIDTH)?, weight, Threads::Pool)
    };
    // The first one starts the threads.
    one()?;
    let (started, mut done) = (Instant::now(), 0);
    while done == 0 || started.elapsed() < TIME {
        one()?;
        done += 1;
    }
    Ok(Rate::new(done * WORK, started.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_does_some_work_in_some_time() {
        let speed = speed().unwrap();
        assert!(speed.amount >= WORK && speed.giga() >= 1, "{speed:?}");
    }
}
