//! Chunks: rows of the write-ahead log that are not yet compacted. NDJSON: one [`Header`] line, then one row a line.

use cooperator_contract::canonical;
use cooperator_contract::usage::UsageRow;

use crate::chain::{Chain, Header, UsageLogError};

/// Packs the rows that follow `chain`, which moves on to the last of them. Equal rows give equal bytes.
///
/// # Errors
/// [`UsageLogError`] if a row is not the next one, or there is none; `chain` is then as it was.
pub fn encode(chain: &mut Chain, rows: &[UsageRow]) -> Result<(Header, Vec<u8>), UsageLogError> {
    let mut after = chain.clone();
    let mut lines = Vec::new();
    for row in rows {
        after.append(row)?;
        lines.extend(line(row)?);
    }
    let header = Header::between(chain, &after)?;
    let mut bytes = line(&header)?;
    bytes.append(&mut lines);
    *chain = after;
    Ok((header, bytes))
}

/// Unpacks a chunk and checks that its rows are those that were chained.
///
/// # Errors
/// [`UsageLogError::Malformed`] with the line number, or what is wrong with the chain.
pub fn decode(bytes: &[u8]) -> Result<(Header, Vec<UsageRow>), UsageLogError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let header: Header = match lines.next() {
        Some((index, line)) => parse(index, line)?,
        None => return Err(UsageLogError::Malformed("line 1: missing".to_owned())),
    };
    let mut chain = header.before();
    let mut rows = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let row = parse(index, line)?;
        chain.append(&row)?;
        rows.push(row);
    }
    header.check_end(&chain)?;
    Ok((header, rows))
}

fn line<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, UsageLogError> {
    let mut bytes = canonical(value).map_err(|error| UsageLogError::Malformed(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn parse<T: serde::de::DeserializeOwned>(index: usize, line: &[u8]) -> Result<T, UsageLogError> {
    serde_json::from_slice(line)
        .map_err(|error| UsageLogError::Malformed(format!("line {}: {error}", index + 1)))
}
