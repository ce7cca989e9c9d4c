//! A record: length of the JSON (4 bytes, little-endian), its CRC-32 (likewise), the JSON of one row.

use cooperator_contract::usage::UsageRow;

/// Bytes before the JSON.
const HEAD: usize = 8;
/// Longest JSON of a row. A length above it is damage, not a row.
const MOST: usize = 64 * 1024;

/// Appends the record of `row` to `buffer`.
///
/// # Errors
/// Only if a row cannot be JSON, which plain data always can.
pub fn encode(row: &UsageRow, buffer: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let start = buffer.len();
    buffer.extend([0; HEAD]);
    serde_json::to_writer(&mut *buffer, row)?;
    let json = &buffer[start + HEAD..];
    let (length, check) = (json.len() as u32, crc32fast::hash(json));
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEAD].copy_from_slice(&check.to_le_bytes());
    Ok(())
}

/// Reads whole records until the end or the first that is none. Gives the rows and how many bytes they take.
pub fn decode(bytes: &[u8]) -> (Vec<UsageRow>, usize) {
    let mut rows = Vec::new();
    let mut at = 0;
    while let Some((row, length)) = one(&bytes[at..]) {
        rows.push(row);
        at += length;
    }
    (rows, at)
}

fn one(bytes: &[u8]) -> Option<(UsageRow, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MOST {
        return None;
    }
    let json = rest.get(..length)?;
    if crc32fast::hash(json) != u32::from_le_bytes(*check) {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, HEAD + length))
}

#[cfg(test)]
mod tests {
    use cooperator_contract::usage::{PriceTag, UsageStatus};
    use cooperator_mutate::mutated;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn row(sequence: u64) -> UsageRow {
        let price =
            PriceTag { currency: "USD".to_owned(), input: "0.2".to_owned(), output: "0.8".to_owned() };
        UsageRow {
            gateway: "gateway-0".to_owned(),
            sequence,
            time: Timestamp::UNIX_EPOCH,
            key: "uid".to_owned(),
            consumer: "a-reading-room".to_owned(),
            deployment: "presidents".to_owned(),
            adapter: None,
            input_tokens: 10,
            output_tokens: u64::MAX,
            price,
            status: UsageStatus::Completed,
        }
    }

    fn log() -> Vec<u8> {
        let mut log = Vec::new();
        (1..=3).for_each(|sequence| encode(&row(sequence), &mut log).unwrap());
        log
    }

    proptest! {
        #[test]
        fn of_a_log_that_was_changed_only_rows_that_were_written_are_read(bytes in mutated(vec![log()])) {
            let (rows, good) = decode(&bytes);
            prop_assert!(good <= bytes.len());
            prop_assert!(rows.iter().all(|read| (1..=3).any(|sequence| *read == row(sequence))));
        }
    }
}
