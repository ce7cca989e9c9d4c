//! The header of a safetensors file, read and checked before anything is done, or memory taken, by what it says.
//!
//! The format's own crate writes such files here but does not read them: of two tensors with one name it keeps the
//! last, and its reasons may be of any length and over many lines.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use safetensors::tensor::{TensorInfo, TensorView};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::line::{object, one_line};

/// Largest accepted header, bytes; the format's own bound.
pub const MAX_HEADER: u64 = 100_000_000;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The way out of a pickle.
const SAVE: &str = "convert it with safetensors.torch.save_file";
/// What answers instead of a file.
const ADDRESS: &str = "check the address, and whether it wants a token";

/// How files begin that are taken for safetensors, what they are, and the way out.
const DISGUISES: [(&[u8], &str, &str); 11] = [
    (b"PK\x03\x04", "a ZIP archive, as torch.save writes pickles", SAVE),
    (b"\x80\x02", "a pickle, which runs code when it is read", SAVE),
    (b"\x80\x03", "a pickle, which runs code when it is read", SAVE),
    (b"\x80\x04", "a pickle, which runs code when it is read", SAVE),
    (b"\x80\x05", "a pickle, which runs code when it is read", SAVE),
    (b"GGUF", "a GGUF model", "give it alone, as one .gguf file"),
    (b"\x1f\x8b", "gzip", "unpack it"),
    (b"version ", "a Git LFS pointer and not the file it points at", "fetch that with git lfs pull"),
    (b"<!", "a web page", ADDRESS),
    (b"<html", "a web page", ADDRESS),
    (b"{\"", "JSON alone", ADDRESS),
];

/// Why a file cannot be used as safetensors. Says nothing of the file's name.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The file system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A file of another kind, by how it begins.
    #[error("this is {what}, not safetensors; {way}")]
    Disguised {
        /// What it is.
        what: &'static str,
        /// The way out.
        way: &'static str,
    },
    /// The header claims to be longer than the format allows.
    #[error("header of {0} bytes, at most {MAX_HEADER}; download or convert the file again")]
    HeaderTooLarge(u64),
    /// Header, offsets and length contradict each other.
    #[error("not safetensors: {0}; download or convert the file again")]
    Malformed(String),
    /// Two tensors of one name: which is meant nobody can tell.
    #[error("tensor `{0}` is there twice; convert the file again")]
    Twice(String),
}

/// What a file says of its tensors, all of it true.
#[derive(Debug)]
pub(crate) struct Header {
    /// In the order of their bytes, which follow each other from the end of the header to the end of the file.
    pub tensors: Vec<(String, TensorInfo)>,
    /// Free text.
    pub metadata: HashMap<String, String>,
    /// Where the first tensor begins in the file.
    pub data: usize,
}

impl Header {
    /// Reads and checks the header of a file of so many bytes.
    pub fn read(bytes: u64, reader: &mut impl Read) -> Result<Self, StoredError> {
        let mut start = Vec::new();
        reader.by_ref().take(8).read_to_end(&mut start)?;
        let Ok(length) = <[u8; 8]>::try_from(start.as_slice()).map(u64::from_le_bytes) else {
            return Err(StoredError::Malformed(format!("{bytes} bytes, no header")));
        };
        if length > MAX_HEADER {
            return Err(disguised(&start).unwrap_or(StoredError::HeaderTooLarge(length)));
        }
        if length > bytes.saturating_sub(8) {
            let problem = format!("header of {length} bytes in a file of {bytes}");
            return Err(disguised(&start).unwrap_or(StoredError::Malformed(problem)));
        }
        let mut text = vec![0; length as usize];
        reader.read_exact(&mut text)?;
        let entries: Entries = object(&text).map_err(|problem| {
            disguised(&start).unwrap_or(StoredError::Malformed(format!("header: {problem}")))
        })?;
        let data = length as usize + 8;
        let header = Self { tensors: entries.tensors, metadata: entries.metadata.unwrap_or_default(), data };
        header.sorted()?.checked(bytes)
    }

    /// In the order of the bytes. Stable: tensors of no bytes stay where they are written.
    fn sorted(mut self) -> Result<Self, StoredError> {
        self.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = self.tensors.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(StoredError::Twice(one_line(&twice[0].0)));
        }
        self.tensors.sort_by_key(|(_, info)| info.data_offsets);
        Ok(self)
    }

    /// Each tensor has the bytes that its type and shape take, and together they cover the file.
    fn checked(self, bytes: u64) -> Result<Self, StoredError> {
        let malformed = |problem: String| Err(StoredError::Malformed(one_line(&problem)));
        let mut end = 0;
        for (name, info) in &self.tensors {
            let (from, to) = info.data_offsets;
            let rank = info.shape.len();
            if rank > MAX_RANK {
                return malformed(format!("tensor `{name}` has {rank} dimensions, at most {MAX_RANK}"));
            }
            if from != end {
                return malformed(format!(
                    "tensor `{name}` begins at byte {from} of the data, the one before ends at {end}"
                ));
            }
            let Some(size) = size(info) else {
                return malformed(format!(
                    "tensor `{name}` of {:?} {:?} has no whole bytes, or more than memory can have",
                    info.dtype, info.shape
                ));
            };
            if to.checked_sub(from) != Some(size) {
                return malformed(format!(
                    "tensor `{name}` of {:?} {:?} takes {size} bytes, its offsets are {from} to {to}",
                    info.dtype, info.shape
                ));
            }
            end = to;
        }
        match (self.data as u64).checked_add(end as u64) {
            Some(end) if end == bytes => Ok(self),
            _ => malformed(format!(
                "its tensors take {end} bytes, behind the header are {}",
                bytes.saturating_sub(self.data as u64)
            )),
        }
    }
}

/// What a file that is no safetensors is, by its first eight bytes. A short header's length begins like anything.
fn disguised(start: &[u8]) -> Option<StoredError> {
    let long = start.iter().skip(2).any(|byte| *byte != 0);
    let (_, what, way) = DISGUISES.iter().find(|(begins, ..)| long && start.starts_with(begins))?;
    Some(StoredError::Disguised { what, way })
}

/// Bytes of a tensor.
fn size(info: &TensorInfo) -> Option<usize> {
    let count = info.shape.iter().try_fold(1_usize, |count, n| count.checked_mul(*n))?;
    let bits = count.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// A whole file in memory.
pub(crate) struct Stored<'a> {
    tensors: HashMap<String, TensorView<'a>>,
    metadata: HashMap<String, String>,
}

impl<'a> Stored<'a> {
    /// Reads the header; the tensors stay where they are.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StoredError> {
        let header = Header::read(bytes.len() as u64, &mut &*bytes)?;
        let mut tensors = HashMap::with_capacity(header.tensors.len());
        for (name, info) in header.tensors {
            let (from, to) = info.data_offsets;
            let data = bytes.get(header.data + from..header.data + to).unwrap_or_default();
            let view = TensorView::new(info.dtype, info.shape, data)
                .map_err(|error| StoredError::Malformed(one_line(&error.to_string())))?;
            tensors.insert(name, view);
        }
        Ok(Self { tensors, metadata: header.metadata })
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Option<&TensorView<'a>> {
        self.tensors.get(name)
    }

    /// All names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// A word of the free text.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

/// The JSON of a header, as it is written.
struct Entries {
    tensors: Vec<(String, TensorInfo)>,
    metadata: Option<HashMap<String, String>>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        const METADATA: &str = "__metadata__";
        let mut entries = Entries { tensors: Vec::new(), metadata: None };
        while let Some(name) = map.next_key::<String>()? {
            if name != METADATA {
                entries.tensors.push((name, map.next_value()?));
            } else if entries.metadata.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(METADATA));
            }
        }
        Ok(entries)
    }
}
