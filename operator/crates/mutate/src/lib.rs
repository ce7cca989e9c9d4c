//! For tests: inputs that are almost what a parser reads. A parser of bytes that are not trusted must tell each of them
//! from its own without a panic; random bytes would not come past its first line. The fuzz targets in `e2e/fuzz` look
//! further than this, and longer.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Numbers that parsers forget.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// Words of text formats that mean more than they look.
const WORDS: [&str; 16] =
    ["\"", "\\", "{", "}", "[", "]", ",", ":", "\n", "\0", "-", "null", "1e999", "NaN", "\u{feff}", "../"];

/// A change to some bytes. Places are taken modulo the length.
#[derive(Clone, Debug)]
enum Change {
    /// Some bits of a byte are other ones.
    Flip(Index, u8),
    /// What follows is gone.
    Cut(Index),
    /// Some bytes are gone.
    Remove(Index, u8),
    /// Some bytes are there twice.
    Repeat(Index, u8),
    /// Some bytes are new.
    Insert(Index, Vec<u8>),
    /// A little-endian number of 1, 2, 4 or 8 bytes is another one.
    Number(Index, u64, u8),
    /// A decimal number is another one.
    Decimal(Index, u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let at = |place: &Index| place.index(length + 1);
        match self {
            Self::Insert(place, new) => drop(bytes.splice(at(place)..at(place), new.iter().copied())),
            _ if length == 0 => {}
            Self::Flip(place, bits) => bytes[place.index(length)] ^= bits,
            Self::Cut(place) => bytes.truncate(place.index(length)),
            Self::Remove(place, count) => {
                let from = place.index(length);
                bytes.drain(from..length.min(from + usize::from(*count)));
            }
            Self::Repeat(place, count) => {
                let from = place.index(length);
                let again = bytes[from..length.min(from + usize::from(*count))].to_vec();
                bytes.splice(from..from, again);
            }
            Self::Number(place, number, width) => {
                let from = place.index(length);
                for (byte, new) in bytes[from..].iter_mut().zip(number.to_le_bytes()).take(1 << (width % 4)) {
                    *byte = new;
                }
            }
            Self::Decimal(place, number) => decimal(bytes, place.index(length), *number),
        }
    }
}

/// Puts a number in the place of the first one from there on.
fn decimal(bytes: &mut Vec<u8>, from: usize, number: u64) {
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end =
        bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |at| start + at);
    bytes.splice(start..end, number.to_string().into_bytes());
}

fn change() -> impl Strategy<Value = Change> {
    let inserted = prop_oneof![
        vec(any::<u8>(), 1..9),
        select(WORDS.as_slice()).prop_map(|word| word.as_bytes().to_vec()),
        select(WORDS.as_slice()).prop_map(|word| word.repeat(200).into_bytes()),
    ];
    prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Change::Flip(at, bits)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, count)| Change::Repeat(at, count)),
        2 => (any::<Index>(), inserted).prop_map(|(at, new)| Change::Insert(at, new)),
        3 => (any::<Index>(), select(NUMBERS.as_slice()), any::<u8>())
            .prop_map(|(at, number, width)| Change::Number(at, number, width)),
        3 => (any::<Index>(), select(NUMBERS.as_slice())).prop_map(|(at, number)| Change::Decimal(at, number)),
    ]
}

/// One of these inputs with one to four changes.
///
/// # Panics
/// Without an input.
pub fn mutated(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(valid), vec(change(), 1..5)).prop_map(|(mut bytes, changes)| {
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn an_input_of_any_length_can_be_changed(bytes in vec(any::<u8>(), 0..20), changes in vec(change(), 1..20)) {
            let mut changed = bytes;
            for change in changes {
                change.apply(&mut changed);
            }
        }

        #[test]
        fn changes_are_few(bytes in mutated(vec![vec![b'a'; 4000]])) {
            prop_assert!(bytes.len() <= 4000 + 4 * 200 * 5);
        }
    }

    #[test]
    fn a_decimal_number_is_changed_as_a_whole() {
        let mut text = b"{\"n\":123,\"m\":4}".to_vec();
        decimal(&mut text, 3, 7);
        assert_eq!(text, b"{\"n\":7,\"m\":4}");
        decimal(&mut text, 7, u64::MAX);
        assert_eq!(text, format!("{{\"n\":7,\"m\":{}}}", u64::MAX).into_bytes());
    }
}
