//! The header of a safetensors file.

use std::io::Read;

use safetensors::tensor::Metadata;

use super::{MAX_HEADER, WeightsError};

/// Reads and checks the header: offsets that neither overlap nor leave holes, and cover the file exactly.
pub(super) fn read(file: &str, bytes: u64, reader: &mut impl Read) -> Result<Metadata, WeightsError> {
    let io = |source| WeightsError::Io { file: file.to_owned(), source };
    let malformed = |problem: String| WeightsError::Malformed { file: file.to_owned(), problem };
    if bytes < 8 {
        return Err(malformed(format!("{bytes} bytes, no header")));
    }
    let mut length = [0; 8];
    reader.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(WeightsError::HeaderTooLarge { file: file.to_owned(), bytes: length });
    }
    if length > bytes - 8 {
        return Err(malformed(format!("header of {length} bytes in a file of {bytes}")));
    }
    let mut text = vec![0; length as usize];
    reader.read_exact(&mut text).map_err(io)?;
    let metadata: Metadata = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
    let end = 8 + length + metadata.data_len() as u64;
    if end != bytes {
        return Err(malformed(format!("tensors end at byte {end}, the file at {bytes}")));
    }
    Ok(metadata)
}
