//! Matrix products over borrowed slices, through the `gemm` crate (the one inside candle).

use crate::OpsError;
use crate::error::{length, shape};

/// A borrowed matrix: `rows x cols` values of a slice, with a stride either way, so that a transpose copies nothing.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A mutable row-major matrix; `stride` values lie between the starts of two rows.
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The calling thread alone: for products inside a task of the pool.
    Caller,
    /// The threads of the current rayon pool.
    Pool,
}

/// The number of values a strided row-major matrix reaches over.
fn extent(rows: usize, cols: usize, stride: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols }
}

impl<'a> Mat<'a> {
    /// A dense row-major matrix; `data` holds exactly `rows * cols` values.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Result<Self, OpsError> {
        length("matrix", "data", data.len(), rows * cols)?;
        Ok(Self { data, rows, cols, row_stride: cols, col_stride: 1 })
    }

    /// A row-major matrix that is a block of columns of a wider one: row `i` starts at `i * stride`.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Result<Self, OpsError> {
        shape("matrix", "a stride is at least the number of columns", stride, cols, stride >= cols)?;
        let want = extent(rows, cols, stride);
        shape("matrix", "a view lies inside its data", data.len(), want, data.len() >= want)?;
        Ok(Self { data, rows, cols, row_stride: stride, col_stride: 1 })
    }

    /// The transpose, without a copy.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

impl<'a> MatMut<'a> {
    /// A dense row-major matrix; `data` holds exactly `rows * cols` values.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Result<Self, OpsError> {
        length("matrix", "destination", data.len(), rows * cols)?;
        Ok(Self { data, rows, cols, stride: cols })
    }

    /// A block of columns of a wider row-major matrix: row `i` starts at `i * stride`.
    pub fn strided(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Result<Self, OpsError> {
        shape("matrix", "a stride is at least the number of columns", stride, cols, stride >= cols)?;
        let want = extent(rows, cols, stride);
        shape("matrix", "a view lies inside its data", data.len(), want, data.len() >= want)?;
        Ok(Self { data, rows, cols, stride })
    }
}

/// `dst = scale * lhs * rhs`, whatever `dst` held (it may be uninitialised memory of an earlier step, even NaN).
pub fn product(
    dst: MatMut<'_>,
    scale: f32,
    lhs: Mat<'_>,
    rhs: Mat<'_>,
    threads: Threads,
) -> Result<(), OpsError> {
    multiply(dst, false, scale, lhs, rhs, threads)
}

/// `dst += scale * lhs * rhs`.
pub fn add_product(
    dst: MatMut<'_>,
    scale: f32,
    lhs: Mat<'_>,
    rhs: Mat<'_>,
    threads: Threads,
) -> Result<(), OpsError> {
    multiply(dst, true, scale, lhs, rhs, threads)
}

#[allow(unsafe_code)]
fn multiply(
    dst: MatMut<'_>,
    accumulate: bool,
    scale: f32,
    lhs: Mat<'_>,
    rhs: Mat<'_>,
    threads: Threads,
) -> Result<(), OpsError> {
    shape("product", "inner sizes agree", lhs.cols, rhs.rows, lhs.cols == rhs.rows)?;
    shape(
        "product",
        "the destination has the rows of the left side",
        dst.rows,
        lhs.rows,
        dst.rows == lhs.rows,
    )?;
    shape(
        "product",
        "the destination has the columns of the right side",
        dst.cols,
        rhs.cols,
        dst.cols == rhs.cols,
    )?;
    let parallelism = match threads {
        Threads::Caller => gemm::Parallelism::None,
        Threads::Pool => gemm::Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: every view was checked on construction to lie inside its slice; the shapes agree (above); `dst` is
    // borrowed mutably, so it overlaps neither operand. The strides fit isize: they are at most a slice's length.
    unsafe {
        gemm::gemm(
            dst.rows,
            dst.cols,
            lhs.cols,
            dst.data.as_mut_ptr(),
            1,
            dst.stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, values};

    fn naive(lhs: &[f32], rhs: &[f32], m: usize, k: usize, n: usize) -> Vec<f64> {
        let mut out = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                out[i * n + j] = (0..k).map(|l| f64::from(lhs[i * k + l]) * f64::from(rhs[l * n + j])).sum();
            }
        }
        out
    }

    #[test]
    fn a_product_equals_the_sum_of_products_for_every_small_shape() {
        for (m, k, n) in [(1, 1, 1), (1, 7, 5), (5, 2, 1), (3, 9, 4), (33, 17, 20), (70, 65, 90)] {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            let mut out = vec![f32::NAN; m * n];
            let dst = MatMut::new(&mut out, m, n).unwrap();
            product(dst, 2.0, Mat::new(&a, m, k).unwrap(), Mat::new(&b, k, n).unwrap(), Threads::Pool)
                .unwrap();
            let want: Vec<f64> = naive(&a, &b, m, k, n).iter().map(|v| v * 2.0).collect();
            assert_close(&out, &want, 1e-5);
        }
    }

    #[test]
    fn a_strided_destination_leaves_its_neighbours_alone() {
        let (a, b) = (values(6, 3), values(8, 4));
        let mut out = [1.0; 3 * 10];
        let dst = MatMut::strided(&mut out[2..], 3, 4, 10).unwrap();
        // b is stored 4 x 2 and read transposed
        add_product(dst, 1.0, Mat::new(&a, 3, 2).unwrap(), Mat::new(&b, 4, 2).unwrap().t(), Threads::Caller)
            .unwrap();
        for row in 0..3 {
            for col in 0..10 {
                let got = out[row * 10 + col];
                if !(2..6).contains(&col) {
                    assert_eq!(got, 1.0);
                    continue;
                }
                let want = 1.0 + (0..2).map(|l| a[row * 2 + l] * b[(col - 2) * 2 + l]).sum::<f32>();
                assert!((got - want).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let a = values(6, 3);
        assert!(Mat::new(&a, 2, 4).is_err());
        assert!(Mat::strided(&a, 3, 2, 3).is_err());
        let mut out = vec![0.0; 4];
        let error = product(
            MatMut::new(&mut out, 2, 2).unwrap(),
            1.0,
            Mat::new(&a, 2, 3).unwrap(),
            Mat::new(&a, 2, 3).unwrap(),
            Threads::Caller,
        );
        assert!(matches!(error, Err(OpsError::Shape { left: 3, right: 2, .. })));
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let (m, k, n) = (130, 300, 210);
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            pool.install(|| {
                let dst = MatMut::new(&mut out, m, n).unwrap();
                product(dst, 1.0, Mat::new(&a, m, k).unwrap(), Mat::new(&b, k, n).unwrap(), Threads::Pool)
                    .unwrap();
            });
            out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(3));
    }
}
