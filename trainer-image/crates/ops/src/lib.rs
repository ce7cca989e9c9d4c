//! The arithmetic of training on a CPU: forward and analytic backward of each part of a Llama-family block, in f32.
//!
//! There is no autograd graph. Each module holds one operation, its forward and its backward, over row-major slices;
//! `cooperator-models` strings them together and decides what is kept between the two.
//!
//! Guarantees, for every function here:
//! - the same inputs give the same bits, on any number of threads: each sum has one fixed order, work is only split where
//!   results do not meet;
//! - a gradient is proven against central differences of an f64 reference (the tests beside each module);
//! - a wrong length is an [`OpsError`], never a panic; NaN and infinity go through, so that the caller sees them in the loss.

pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod lora;
pub mod math;
pub mod matrix;
pub mod norm;
pub mod rope;
pub mod segments;
pub mod swiglu;

mod error;
#[cfg(test)]
mod reference;

pub use error::OpsError;
