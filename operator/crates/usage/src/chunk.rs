//! Chunks: rows of the write-ahead log that are not yet compacted. NDJSON, packed by zstd (RFC 8878): one [`Header`] line,
//! then one row a line. Rows are much alike: packed they take a fifteenth, which object storage need not hash and keep.

use std::io::Read as _;

use cooperator_contract::canonical;
use cooperator_contract::usage::UsageRow;

use crate::chain::{Chain, Header, UsageLogError};

/// Of zstd: its fastest that is not negative.
const LEVEL: i32 = 1;
/// Bytes of a chunk's lines at most, many times what the most rows of a gateway's chunk take.
const MOST: u64 = 256 << 20;

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
    let mut text = line(&header)?;
    text.append(&mut lines);
    let bytes = pack(&text)?;
    *chain = after;
    Ok((header, bytes))
}

/// Unpacks a chunk and checks that its rows are those that were chained.
///
/// # Errors
/// [`UsageLogError::Malformed`] with the line number, or what is wrong with the chain.
pub fn decode(bytes: &[u8]) -> Result<(Header, Vec<UsageRow>), UsageLogError> {
    let text = unpack(bytes)?;
    let mut lines = text.split(|byte| *byte == b'\n').enumerate();
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

/// Packs the lines of a chunk.
///
/// # Errors
/// [`UsageLogError::Malformed`] if zstd cannot.
pub fn pack(text: &[u8]) -> Result<Vec<u8>, UsageLogError> {
    zstd::bulk::compress(text, LEVEL).map_err(|error| UsageLogError::Malformed(format!("zstd: {error}")))
}

/// Unpacks the lines of a chunk, whose packed bytes may claim anything.
///
/// # Errors
/// [`UsageLogError::Malformed`] if they are not zstd, or unpack to more than 256 MiB.
pub fn unpack(bytes: &[u8]) -> Result<Vec<u8>, UsageLogError> {
    let malformed = |error: std::io::Error| UsageLogError::Malformed(format!("zstd: {error}"));
    let mut text = Vec::new();
    let reader = zstd::stream::read::Decoder::with_buffer(bytes).map_err(malformed)?;
    reader.take(MOST + 1).read_to_end(&mut text).map_err(malformed)?;
    if text.len() as u64 > MOST {
        return Err(UsageLogError::Malformed(format!(
            "more than {MOST} bytes when unpacked; no gateway writes such"
        )));
    }
    Ok(text)
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
