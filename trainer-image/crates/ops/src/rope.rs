//! Rotary position embedding (Hugging Face's `rotate_half`), fused with the change between the two layouts of attention:
//! - *row-major*: a row a token, the heads side by side, as the projections make and take them;
//! - *head-major*: sequence by sequence, in each head by head, in each `[length, head_dim]`, as attention reads them.

use rayon::prelude::*;

use crate::OpsError;
use crate::error::{length, shape};
use crate::segments::{Segments, pieces};

/// The cosine and sine of every position and frequency.
#[derive(Clone, Debug)]
pub struct RopeTable {
    half: usize,
    /// `[positions, half]`
    cos: Vec<f32>,
    /// `[positions, half]`
    sin: Vec<f32>,
}

impl RopeTable {
    /// The table for positions `0..positions`; `inverse_frequencies` holds `head_dim / 2` radians a position.
    #[must_use]
    pub fn new(inverse_frequencies: &[f64], positions: usize) -> Self {
        let angles = (0..positions).flat_map(|p| inverse_frequencies.iter().map(move |f| p as f64 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Self { half: inverse_frequencies.len(), cos, sin }
    }

    /// `theta^(-2i / head_dim)` for `i` in `0..head_dim / 2`: the frequencies of the first Llama models.
    #[must_use]
    pub fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f64> {
        (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64)).collect()
    }

    /// How many positions the table knows.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(0)
    }

    /// Turns one head of one token by its position; by the opposite angle if `back`.
    #[inline(always)]
    fn rotate(&self, position: usize, back: bool, source: &[f32], target: &mut [f32]) {
        let at = position * self.half..(position + 1) * self.half;
        let sign = if back { -1.0 } else { 1.0 };
        let (low, high) = source.split_at(self.half);
        let (out_low, out_high) = target.split_at_mut(self.half);
        let angles = self.cos[at.clone()].iter().zip(&self.sin[at]);
        for ((((&a, &b), (&cos, &sin)), out_a), out_b) in
            low.iter().zip(high).zip(angles).zip(out_low).zip(out_high)
        {
            let sin = sin * sign;
            *out_a = a * cos - b * sin;
            *out_b = b * cos + a * sin;
        }
    }
}

/// Some heads inside wider rows: `heads * head_dim` columns from column `offset` of rows of `stride` values.
#[derive(Clone, Copy, Debug)]
pub struct HeadColumns {
    /// The first column.
    pub offset: usize,
    /// Values from one row to the next.
    pub stride: usize,
    /// The number of heads.
    pub heads: usize,
    /// Values a head.
    pub head_dim: usize,
}

fn check(
    op: &'static str,
    at: HeadColumns,
    rows: usize,
    head: usize,
    segments: &Segments,
    table: Option<&RopeTable>,
) -> Result<(), OpsError> {
    let width = at.heads * at.head_dim;
    shape(
        op,
        "the heads lie inside the rows",
        at.stride,
        at.offset + width,
        width > 0 && at.offset + width <= at.stride,
    )?;
    length(op, "the rows", rows, segments.rows() * at.stride)?;
    length(op, "the heads", head, segments.rows() * width)?;
    let Some(table) = table else { return Ok(()) };
    shape(
        op,
        "the table has half a head's frequencies",
        2 * table.half,
        at.head_dim,
        2 * table.half == at.head_dim,
    )?;
    let longest = segments.longest();
    shape(op, "the table knows every position", table.positions(), longest, longest <= table.positions())
}

/// Copies heads from row-major `rows` to head-major `heads`, turning each by its position if there is a `table`.
pub fn split_heads(
    rows: &[f32],
    at: HeadColumns,
    segments: &Segments,
    table: Option<&RopeTable>,
    heads: &mut [f32],
) -> Result<(), OpsError> {
    check("split_heads", at, rows.len(), heads.len(), segments, table)?;
    let tasks = pieces(heads, segments.heads(at.heads).map(|head| head.length * at.head_dim));
    let places: Vec<_> = segments.heads(at.heads).collect();
    tasks.into_par_iter().zip(places).for_each(|(target, place)| {
        for (position, out) in target.chunks_mut(at.head_dim).enumerate() {
            let from = (place.start + position) * at.stride + at.offset + place.head * at.head_dim;
            let source = &rows[from..from + at.head_dim];
            match table {
                Some(table) => table.rotate(position, false, source, out),
                None => out.copy_from_slice(source),
            }
        }
    });
    Ok(())
}

/// The reverse of [`split_heads`]: copies head-major `heads` into their columns of `rows`, turning each back if there is a
/// `table`. As a rotation's transpose is its inverse, this is also the backward of `split_heads`. Other columns stay.
pub fn merge_heads(
    heads: &[f32],
    at: HeadColumns,
    segments: &Segments,
    table: Option<&RopeTable>,
    rows: &mut [f32],
) -> Result<(), OpsError> {
    check("merge_heads", at, rows.len(), heads.len(), segments, table)?;
    let places: Vec<(usize, usize, usize)> = segments
        .iter()
        .flat_map(|(start, length)| (0..length).map(move |position| (start, length, position)))
        .collect();
    rows.par_chunks_mut(at.stride).zip(places).with_min_len(16).for_each(
        |(row, (start, length, position))| {
            for head in 0..at.heads {
                let from = (start * at.heads + head * length + position) * at.head_dim;
                let source = &heads[from..from + at.head_dim];
                let target = &mut row[at.offset + head * at.head_dim..][..at.head_dim];
                match table {
                    Some(table) => table.rotate(position, true, source, target),
                    None => target.copy_from_slice(source),
                }
            }
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, central_differences, values, weigh, wide};

    const AT: HeadColumns = HeadColumns { offset: 3, stride: 20, heads: 2, head_dim: 8 };

    fn table() -> RopeTable {
        RopeTable::new(&RopeTable::inverse_frequencies(100.0, AT.head_dim), 5)
    }

    /// `q * cos + rotate_half(q) * sin`, head-major, as transformers has it.
    fn reference(rows: &[f64], segments: &Segments) -> Vec<f64> {
        let (half, mut out) = (AT.head_dim / 2, Vec::new());
        for (start, length) in segments.iter() {
            for head in 0..AT.heads {
                for position in 0..length {
                    let q = &rows[(start + position) * AT.stride + AT.offset + head * AT.head_dim..]
                        [..AT.head_dim];
                    for i in 0..AT.head_dim {
                        let angle =
                            position as f64 * 100_f64.powf(-2.0 * (i % half) as f64 / AT.head_dim as f64);
                        let turned = if i < half { -q[i + half] } else { q[i - half] };
                        out.push(q[i] * angle.cos() + turned * angle.sin());
                    }
                }
            }
        }
        out
    }

    #[test]
    fn heads_are_split_and_turned_as_transformers_does() {
        let segments = Segments::new(&[5, 1, 3]).unwrap();
        let rows = values(9 * AT.stride, 1);
        let mut heads = vec![f32::NAN; 9 * AT.heads * AT.head_dim];
        split_heads(&rows, AT, &segments, Some(&table()), &mut heads).unwrap();
        assert_close(&heads, &reference(&wide(&rows), &segments), 1e-6);
    }

    #[test]
    fn merging_gradients_equals_central_differences() {
        let segments = Segments::new(&[2, 4]).unwrap();
        let (rows, dheads) = (values(6 * AT.stride, 1), values(6 * AT.heads * AT.head_dim, 2));
        let mut drows = vec![0.0; rows.len()];
        merge_heads(&dheads, AT, &segments, Some(&table()), &mut drows).unwrap();
        let numeric = central_differences(&wide(&rows), |rows| weigh(&reference(rows, &segments), &dheads));
        assert_close(&drows, &numeric, 1e-6);
    }

    #[test]
    fn splitting_and_merging_without_a_table_gives_the_rows_back() {
        let segments = Segments::new(&[4, 2]).unwrap();
        let rows = values(6 * AT.stride, 1);
        let (mut heads, mut back) = (vec![0.0; 6 * AT.heads * AT.head_dim], rows.clone());
        split_heads(&rows, AT, &segments, None, &mut heads).unwrap();
        merge_heads(&heads, AT, &segments, None, &mut back).unwrap();
        assert_eq!(rows, back);
    }

    #[test]
    fn a_sequence_longer_than_the_table_is_refused() {
        let segments = Segments::new(&[6]).unwrap();
        let (rows, mut heads) = (vec![0.0; 6 * AT.stride], vec![0.0; 6 * AT.heads * AT.head_dim]);
        assert!(split_heads(&rows, AT, &segments, Some(&table()), &mut heads).is_err());
    }
}
