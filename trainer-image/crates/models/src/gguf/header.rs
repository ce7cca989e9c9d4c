//! The header of a GGUF file: its metadata and its list of tensors, read and checked before anything is done, or memory
//! taken, by what they say. The tensor library's own reader divides by an alignment of zero, holds every number of
//! every array in 32 bytes, and keeps the last of two entries with one name.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use candle_core::Shape;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::TensorInfo;

use super::GgufError;
use super::metadata::{Metadata, Value};
use super::source::Source;
use crate::line::one_line;

/// Most entries of metadata, and most tensors; published models have some hundred of each.
const MAX_ENTRIES: u64 = 1 << 16;
/// Longest key and longest tensor name, bytes.
const MAX_NAME: u64 = 65_535;
/// Most dimensions of a tensor.
const MAX_RANK: u32 = 4;
/// Where tensors begin is a multiple of this, unless the metadata say otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Largest alignment.
const MAX_ALIGNMENT: u64 = 1 << 16;

/// Tensor types by their numbers in a file. Those that only exist while a product is computed are not among them.
const TYPES: [(u32, GgmlDType); 13] = [
    (0, GgmlDType::F32),
    (1, GgmlDType::F16),
    (2, GgmlDType::Q4_0),
    (3, GgmlDType::Q4_1),
    (6, GgmlDType::Q5_0),
    (7, GgmlDType::Q5_1),
    (8, GgmlDType::Q8_0),
    (10, GgmlDType::Q2K),
    (11, GgmlDType::Q3K),
    (12, GgmlDType::Q4K),
    (13, GgmlDType::Q5K),
    (14, GgmlDType::Q6K),
    (30, GgmlDType::BF16),
];

/// What a file says of itself, all of it true.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: Metadata,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
    /// Where the data of the tensors begin in the file.
    pub(super) data: u64,
}

impl Header {
    /// Reads and checks the header of a file of so many bytes.
    pub(super) fn read(bytes: u64, reader: impl Read) -> Result<Self, GgufError> {
        let mut source = Source::new(bytes, reader);
        let (tensors, entries) = counts(&mut source)?;
        let metadata = metadata(&mut source, entries)?;
        let tensors = list(&mut source, tensors)?;
        let alignment = alignment(&metadata)?;
        let data = source.at().next_multiple_of(alignment);
        let tensors = placed(tensors, alignment, bytes.saturating_sub(data))?;
        Ok(Self { metadata, tensors, data })
    }
}

/// A tensor as it is listed.
struct Listed {
    name: String,
    shape: Vec<usize>,
    dtype: GgmlDType,
    offset: u64,
    /// Of its data.
    bytes: u64,
}

/// How many tensors and entries of metadata are announced.
fn counts(source: &mut Source<impl Read>) -> Result<(u64, u64), GgufError> {
    let magic: [u8; 4] = source.array("the magic")?;
    if &magic != b"GGUF" {
        return Err(malformed("it does not begin with GGUF".to_owned()));
    }
    let version = source.u32("the version")?;
    if !matches!(version, 2 | 3) {
        return Err(malformed(format!("version {version}, versions 2 and 3 are read")));
    }
    let (tensors, entries) = (source.u64("the number of tensors")?, source.u64("the number of entries")?);
    for (what, count) in [("tensors", tensors), ("entries of metadata", entries)] {
        if count > MAX_ENTRIES {
            return Err(malformed(format!("{count} {what}, at most {MAX_ENTRIES} are read")));
        }
    }
    Ok((tensors, entries))
}

fn metadata(source: &mut Source<impl Read>, entries: u64) -> Result<Metadata, GgufError> {
    let mut found = HashMap::new();
    for _ in 0..entries {
        let key = source.name("a metadata key", MAX_NAME)?;
        let value = Value::read(source, &key)?;
        if found.insert(key.clone(), value).is_some() {
            return Err(malformed(format!("metadata `{}` is there twice", one_line(&key))));
        }
    }
    Ok(Metadata(found))
}

fn list(source: &mut Source<impl Read>, tensors: u64) -> Result<Vec<Listed>, GgufError> {
    (0..tensors).map(|_| listed(source)).collect()
}

fn listed(source: &mut Source<impl Read>) -> Result<Listed, GgufError> {
    let name = source.name("a tensor's name", MAX_NAME)?;
    let shown = one_line(&name);
    let rank = source.u32("a tensor's rank")?;
    if !(1..=MAX_RANK).contains(&rank) {
        return Err(malformed(format!(
            "tensor `{shown}` has {rank} dimensions, 1 to {MAX_RANK} are possible"
        )));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        let length = source.u64("a tensor's shape")?;
        shape.push(usize::try_from(length).map_err(|_| malformed(format!("tensor `{shown}` is too large")))?);
    }
    // Listed from the innermost.
    shape.reverse();
    let number = source.u32("a tensor's type")?;
    let Some((_, dtype)) = TYPES.iter().find(|(known, _)| *known == number) else {
        return Err(super::unsupported(format!("type {number} of tensor `{shown}`")));
    };
    let Some(bytes) = size(&shape, *dtype) else {
        return Err(malformed(format!(
            "tensor `{shown}` of {dtype:?} {shape:?} is empty, has no whole blocks, or 2^64 bytes and more"
        )));
    };
    let offset = source.u64("a tensor's offset")?;
    Ok(Listed { name, shape, dtype: *dtype, offset, bytes })
}

/// Bytes of a tensor; none for one that cannot be. Blocks lie along the innermost dimension.
fn size(shape: &[usize], dtype: GgmlDType) -> Option<u64> {
    let count =
        shape.iter().try_fold(1_usize, |count, n| count.checked_mul(*n)).filter(|count| *count > 0)?;
    let whole = shape.last().is_some_and(|inner| inner.is_multiple_of(dtype.block_size()));
    let bytes = (count / dtype.block_size()).checked_mul(dtype.type_size())?;
    whole.then_some(bytes as u64)
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    const KEY: &str = "general.alignment";
    let alignment = metadata.number(KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(&alignment) {
        return Ok(alignment);
    }
    Err(Metadata::wrong(KEY, format!("is {alignment}, it must be a power of two from 8 to {MAX_ALIGNMENT}")))
}

/// Tensors by their names. Each begins where the one before ends, at the next multiple of the alignment, and the last
/// ends with the file: so says the format, and so no byte is of two tensors or of none.
fn placed(
    listed: Vec<Listed>,
    alignment: u64,
    bytes: u64,
) -> Result<BTreeMap<String, TensorInfo>, GgufError> {
    let mut tensors = BTreeMap::new();
    let (mut next, mut end) = (0, 0);
    for Listed { name, shape, dtype, offset, bytes: size } in listed {
        let shown = one_line(&name);
        if offset != next {
            return Err(malformed(format!(
                "tensor `{shown}` begins at byte {offset} of the data, the one before ends at {next}"
            )));
        }
        let stop = offset.checked_add(size).filter(|stop| *stop <= bytes);
        let Some(stop) = stop else {
            return Err(malformed(format!(
                "cut short: tensor `{shown}` takes {size} bytes from byte {offset} of the data, which have {bytes}"
            )));
        };
        // Below the file's length, which no disk brings near 2^64.
        (end, next) = (stop, stop.next_multiple_of(alignment));
        let info = TensorInfo { ggml_dtype: dtype, shape: Shape::from(shape), offset };
        if tensors.insert(name, info).is_some() {
            return Err(malformed(format!("tensor `{shown}` is there twice")));
        }
    }
    match bytes.saturating_sub(end) {
        behind if behind < alignment => Ok(tensors),
        behind => Err(malformed(format!("{behind} bytes behind the last tensor"))),
    }
}

pub(super) fn malformed(problem: String) -> GgufError {
    GgufError::Malformed(problem)
}
