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
