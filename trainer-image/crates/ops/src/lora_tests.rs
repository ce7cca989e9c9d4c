use super::*;
use crate::reference::{assert_close, central_differences, values, weigh, wide};

const ROWS: usize = 5;
const INPUTS: usize = 7;
const OUTPUTS: usize = 11;

struct Case {
    weight: Vec<f32>,
    a: [Vec<f32>; 2],
    b: [Vec<f32>; 2],
    x: Vec<f32>,
    dropout: Option<Dropout>,
}

const COLUMNS: [Range<usize>; 2] = [1..5, 5..11];
const RANKS: [usize; 2] = [2, 3];
const SCALES: [f32; 2] = [2.0, 0.5];

impl Case {
    fn new(dropout: Option<Dropout>) -> Self {
        let a = [values(RANKS[0] * INPUTS, 2), values(RANKS[1] * INPUTS, 3)];
        let b = [values(COLUMNS[0].len() * RANKS[0], 4), values(COLUMNS[1].len() * RANKS[1], 5)];
        Self { weight: values(INPUTS * OUTPUTS, 1), a, b, x: values(ROWS * INPUTS, 6), dropout }
    }

    fn layer(&self) -> LoraLinear<'_> {
        let part = |i: usize| LoraPart {
            a: &self.a[i],
            b: &self.b[i],
            rank: RANKS[i],
            scale: SCALES[i],
            columns: COLUMNS[i].clone(),
            dropout: self.dropout.clone(),
        };
        LoraLinear::new(&self.weight, INPUTS, OUTPUTS, vec![part(0), part(1)]).unwrap()
    }

    /// The factor of each value of the input under the mask.
    fn mask(&self) -> Vec<f64> {
        let mut mask = vec![1.0; ROWS * INPUTS];
        if let Some(dropout) = &self.dropout {
            dropout.apply(&[1.0; ROWS * INPUTS], INPUTS, &mut mask).unwrap();
        }
        wide(&mask)
    }

    /// `W x + s B A (mask x)` in f64, of any x, A and B.
    fn reference(&self, x: &[f64], a: [&[f64]; 2], b: [&[f64]; 2]) -> Vec<f64> {
        let mask = self.mask();
        let mut y = Vec::new();
        for row in 0..ROWS {
            let (x, mask) = (&x[row * INPUTS..][..INPUTS], &mask[row * INPUTS..][..INPUTS]);
            for out in 0..OUTPUTS {
                let mut sum: f64 = (0..INPUTS).map(|i| f64::from(self.weight[out * INPUTS + i]) * x[i]).sum();
                for p in (0..2).filter(|p| COLUMNS[*p].contains(&out)) {
                    for r in 0..RANKS[p] {
                        let low: f64 = (0..INPUTS).map(|i| a[p][r * INPUTS + i] * x[i] * mask[i]).sum();
                        sum += f64::from(SCALES[p]) * b[p][(out - COLUMNS[p].start) * RANKS[p] + r] * low;
                    }
                }
                y.push(sum);
            }
        }
        y
    }

    fn all_wide(&self) -> (Vec<f64>, [Vec<f64>; 2], [Vec<f64>; 2]) {
        (wide(&self.x), [wide(&self.a[0]), wide(&self.a[1])], [wide(&self.b[0]), wide(&self.b[1])])
    }
}

fn check(case: &Case) {
    let layer = case.layer();
    let (mut y, mut low) = (vec![0.25; ROWS * OUTPUTS], vec![f32::NAN; ROWS * layer.ranks()]);
    layer.forward(&case.x, true, &mut y, &mut low).unwrap();
    let (x, a, b) = case.all_wide();
    let want: Vec<f64> =
        case.reference(&x, [&a[0], &a[1]], [&b[0], &b[1]]).iter().map(|v| v + 0.25).collect();
    assert_close(&y, &want, 1e-6);

    let dy = values(ROWS * OUTPUTS, 9);
    let (mut dx, mut dlow) = (vec![f32::NAN; case.x.len()], vec![f32::NAN; low.len()]);
    layer.backward_input(&dy, &mut dlow, Some(&mut dx)).unwrap();
    let numeric = central_differences(&x, |x| weigh(&case.reference(x, [&a[0], &a[1]], [&b[0], &b[1]]), &dy));
    assert_close(&dx, &numeric, 1e-5);

    let mut da = [vec![f32::NAN; a[0].len()], vec![f32::NAN; a[1].len()]];
    let mut db = [vec![f32::NAN; b[0].len()], vec![f32::NAN; b[1].len()]];
    let mut gradients: Vec<_> = da.iter_mut().zip(&mut db).map(|(a, b)| LoraGradient { a, b }).collect();
    layer.backward_parts(&case.x, &low, &dy, &dlow, &mut gradients).unwrap();
    let loss =
        |a0: &[f64], a1: &[f64], b0: &[f64], b1: &[f64]| weigh(&case.reference(&x, [a0, a1], [b0, b1]), &dy);
    assert_close(&da[0], &central_differences(&a[0], |v| loss(v, &a[1], &b[0], &b[1])), 1e-5);
    assert_close(&da[1], &central_differences(&a[1], |v| loss(&a[0], v, &b[0], &b[1])), 1e-5);
    assert_close(&db[0], &central_differences(&b[0], |v| loss(&a[0], &a[1], v, &b[1])), 1e-5);
    assert_close(&db[1], &central_differences(&b[1], |v| loss(&a[0], &a[1], &b[0], v)), 1e-5);
}

#[test]
fn outputs_and_gradients_equal_the_reference_without_dropout() {
    check(&Case::new(None));
}

#[test]
fn outputs_and_gradients_equal_the_reference_under_dropout() {
    check(&Case::new(Some(Dropout::new(0.4, 11).unwrap())));
}

#[test]
fn the_merged_weight_gives_the_same_outputs() {
    let case = Case::new(None);
    let layer = case.layer();
    let (mut y, mut low) = (vec![0.0; ROWS * OUTPUTS], vec![0.0; ROWS * layer.ranks()]);
    layer.forward(&case.x, false, &mut y, &mut low).unwrap();

    let mut merged = case.weight.clone();
    layer.parts.iter().for_each(|part| merge(&mut merged, INPUTS, part).unwrap());
    let plain = LoraLinear::new(&merged, INPUTS, OUTPUTS, vec![]).unwrap();
    let mut again = vec![0.0; ROWS * OUTPUTS];
    plain.forward(&case.x, false, &mut again, &mut []).unwrap();
    assert_close(&again, &wide(&y), 1e-6);
}

#[test]
fn a_part_outside_the_layer_is_refused() {
    let part = LoraPart { a: &[0.0; 3], b: &[0.0; 2], rank: 1, scale: 1.0, columns: 4..6, dropout: None };
    assert!(LoraLinear::new(&[0.0; 15], 3, 5, vec![part]).is_err());
}
