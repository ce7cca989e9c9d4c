//! Weights in Hugging Face layout: one `model.safetensors`, or shards and their index. Only safetensors; pickled
//! files run code when read and are refused by name. Every tensor is checked by name, type, shape and finiteness
//! before the model is used, and kept in the type it is stored in.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use crate::config::LlamaConfig;
use crate::line::one_line;
use crate::stored::Header;

mod folder;

pub use crate::stored::{MAX_HEADER, StoredError};
pub use folder::{files, is_pickle, shards};

/// The file of an unsharded model.
pub const SINGLE: &str = "model.safetensors";
/// The index of a sharded model.
pub const INDEX: &str = "model.safetensors.index.json";

/// Why weights cannot be used. Every message names the file or the tensor.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What it said.
        source: std::io::Error,
    },
    /// No safetensors at all.
    #[error(
        "no `{SINGLE}` and no `{INDEX}` in the model's folder: give one of them, only safetensors is read"
    )]
    Missing,
    /// A pickled checkpoint.
    #[error("{file} is a pickle, which runs code when it is read: convert it to safetensors")]
    Pickle {
        /// Which file.
        file: String,
    },
    /// Not what it says of itself, or no safetensors at all.
    #[error("{file}: {source}")]
    Stored {
        /// Which file.
        file: String,
        /// What is wrong.
        source: StoredError,
    },
    /// The index names something that is not a file beside it.
    #[error("{INDEX}: {problem}; give the index and all shards of one model")]
    Index {
        /// What is wrong.
        problem: String,
    },
    /// Tensors of the architecture are not there.
    #[error(
        "{missing} of {expected} tensors are missing, the first is `{first}`; give every shard of the model"
    )]
    TensorsMissing {
        /// How many.
        missing: usize,
        /// Of how many.
        expected: usize,
        /// By name.
        first: String,
    },
    /// A tensor that the architecture does not have: ignoring it would compute another model.
    #[error(
        "{file}: tensor `{name}` is not part of the model that config.json describes; both must be of one model"
    )]
    UnexpectedTensor {
        /// Which file.
        file: String,
        /// Which tensor.
        name: String,
    },
    /// In two shards.
    #[error("{file}: tensor `{name}` is in another shard too; give each shard of the model once")]
    Duplicate {
        /// Which file.
        file: String,
        /// Which tensor.
        name: String,
    },
    /// Another shape or rank.
    #[error(
        "{file}: tensor `{name}` has shape {found:?}, config.json needs {expected:?}; both must be of one model"
    )]
    Shape {
        /// Which file.
        file: String,
        /// Which tensor.
        name: String,
        /// As stored.
        found: Vec<usize>,
        /// As configured.
        expected: Vec<usize>,
    },
    /// A type that is no float of 16 or 32 bits.
    #[error("{file}: tensor `{name}` has type {found}, supported are F32, F16 and BF16; convert the model")]
    Type {
        /// Which file.
        file: String,
        /// Which tensor.
        name: String,
        /// As stored.
        found: String,
    },
    /// NaN or infinite.
    #[error("{file}: tensor `{name}` holds NaN or infinite values; download or convert the model again")]
    NotFinite {
        /// Which file.
        file: String,
        /// Which tensor.
        name: String,
    },
    /// The tensor library failed.
    #[error("tensor `{name}`: {source}")]
    Tensor {
        /// Which tensor.
        name: String,
        /// What it said.
        source: candle_core::Error,
    },
}

impl WeightsError {
    fn stored(file: &str, error: StoredError) -> Self {
        let file = file.to_owned();
        match error {
            StoredError::Io(source) => Self::Io { file, source },
            source => Self::Stored { file, source },
        }
    }
}

/// All tensors of one model, complete and checked. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Weights {
    tensors: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Reads the model in `folder`, a tensor at a time: memory is that of the weights as stored.
    ///
    /// # Errors
    /// [`WeightsError`], naming file and tensor.
    pub fn read(config: &LlamaConfig, folder: &Path) -> Result<Self, WeightsError> {
        let mut reading = Reading::new(config);
        for name in folder::files(folder)? {
            let path = folder.join(&name);
            let io = |source| WeightsError::Io { file: name.clone(), source };
            let file = File::open(&path).map_err(io)?;
            let bytes = file.metadata().map_err(io)?.len();
            reading.file(&name, bytes, std::io::BufReader::new(file))?;
        }
        reading.finish()
    }

    /// The same from files already in memory, by their names; an index among them is not needed.
    ///
    /// # Errors
    /// [`WeightsError`], naming file and tensor.
    pub fn from_files(config: &LlamaConfig, files: &[(&str, &[u8])]) -> Result<Self, WeightsError> {
        let mut reading = Reading::new(config);
        for (name, bytes) in files {
            reading.file(name, bytes.len() as u64, *bytes)?;
        }
        reading.finish()
    }

    /// From tensors made elsewhere, such as a random model in a test.
    ///
    /// # Errors
    /// [`WeightsError`], naming the tensor.
    pub fn from_tensors(
        config: &LlamaConfig,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
    ) -> Result<Self, WeightsError> {
        let mut reading = Reading::new(config);
        for (name, tensor) in tensors {
            reading.tensor("memory", name, tensor)?;
        }
        reading.finish()
    }

    /// A tensor as stored; none for a name the model does not have.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// A tensor as stored.
    ///
    /// # Errors
    /// [`WeightsError::TensorsMissing`] for a name the model does not have.
    pub fn need(&self, name: &str) -> Result<&Tensor, WeightsError> {
        self.get(name).ok_or_else(|| WeightsError::TensorsMissing {
            missing: 1,
            expected: self.tensors.len(),
            first: name.to_owned(),
        })
    }

    /// A tensor in 32 bits.
    ///
    /// # Errors
    /// [`WeightsError::TensorsMissing`] for a name the model does not have.
    pub fn f32(&self, name: &str) -> Result<Tensor, WeightsError> {
        self.need(name)?
            .to_dtype(DType::F32)
            .map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })
    }

    /// The output layer, `[vocabulary, hidden]`, as stored: its own, or the embedding where they are tied.
    pub fn output(&self) -> Option<&Tensor> {
        self.get("lm_head.weight").or_else(|| self.get("model.embed_tokens.weight"))
    }

    /// All tensors by name, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

/// Collects tensors against what the architecture needs.
struct Reading {
    expected: HashMap<String, Vec<usize>>,
    tied: bool,
    tensors: BTreeMap<String, Tensor>,
}

impl Reading {
    fn new(config: &LlamaConfig) -> Self {
        let expected = config.tensors().into_iter().collect();
        Self { expected, tied: config.tie_word_embeddings, tensors: BTreeMap::new() }
    }

    /// One safetensors file, read front to back. Every name, shape and type is checked before the first value is read.
    fn file(&mut self, file: &str, bytes: u64, mut reader: impl Read) -> Result<(), WeightsError> {
        let header = Header::read(bytes, &mut reader).map_err(|error| WeightsError::stored(file, error))?;
        let mut types = Vec::with_capacity(header.tensors.len());
        for (name, info) in &header.tensors {
            types.push(if self.ignored(name) {
                None
            } else {
                self.check(file, name, &info.shape)?;
                Some(float(file, name, info.dtype)?)
            });
        }
        let io = |source| WeightsError::Io { file: file.to_owned(), source };
        for ((name, info), dtype) in header.tensors.into_iter().zip(types) {
            let size = info.data_offsets.1 - info.data_offsets.0;
            let Some(dtype) = dtype else {
                std::io::copy(&mut reader.by_ref().take(size as u64), &mut std::io::sink()).map_err(io)?;
                continue;
            };
            let mut data = vec![0; size];
            reader.read_exact(&mut data).map_err(io)?;
            let tensor = Tensor::from_raw_buffer(&data, dtype, &info.shape, &Device::Cpu)
                .map_err(|source| WeightsError::Tensor { name: name.clone(), source })?;
            self.tensor(file, name, tensor)?;
        }
        Ok(())
    }

    /// What some converters write beside the parameters: derived buffers, and a tied output layer again.
    fn ignored(&self, name: &str) -> bool {
        name.ends_with(".rotary_emb.inv_freq") || (self.tied && name == "lm_head.weight")
    }

    /// A tensor of the model, of the shape that it needs, and not yet there.
    fn check(&self, file: &str, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
        let (file, shown) = (file.to_owned(), one_line(name));
        let Some(expected) = self.expected.get(name) else {
            return Err(WeightsError::UnexpectedTensor { file, name: shown });
        };
        if expected != shape {
            let (found, expected) = (shape.to_vec(), expected.clone());
            return Err(WeightsError::Shape { file, name: shown, found, expected });
        }
        if self.tensors.contains_key(name) {
            return Err(WeightsError::Duplicate { file, name: shown });
        }
        Ok(())
    }

    fn tensor(&mut self, file: &str, name: String, tensor: Tensor) -> Result<(), WeightsError> {
        self.check(file, &name, tensor.dims())?;
        let finite =
            is_finite(&tensor).map_err(|source| WeightsError::Tensor { name: name.clone(), source })?;
        if !finite {
            return Err(WeightsError::NotFinite { file: file.to_owned(), name });
        }
        self.tensors.insert(name, tensor);
        Ok(())
    }

    fn finish(self) -> Result<Weights, WeightsError> {
        let mut missing: Vec<&String> =
            self.expected.keys().filter(|name| !self.tensors.contains_key(*name)).collect();
        missing.sort();
        if let Some(first) = missing.first() {
            return Err(WeightsError::TensorsMissing {
                missing: missing.len(),
                expected: self.expected.len(),
                first: (*first).clone(),
            });
        }
        Ok(Weights { tensors: self.tensors })
    }
}

/// As the tensor library calls the types that weights may have.
fn float(file: &str, name: &str, dtype: Dtype) -> Result<DType, WeightsError> {
    match dtype {
        Dtype::F32 => Ok(DType::F32),
        Dtype::F16 => Ok(DType::F16),
        Dtype::BF16 => Ok(DType::BF16),
        other => Err(WeightsError::Type {
            file: file.to_owned(),
            name: name.to_owned(),
            found: format!("{other:?}"),
        }),
    }
}

/// Whether no element is NaN or infinite.
fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::BF16 => flat.to_vec1::<half::bf16>()?.iter().all(|value| value.is_finite()),
        DType::F16 => flat.to_vec1::<half::f16>()?.iter().all(|value| value.is_finite()),
        _ => flat.to_dtype(DType::F32)?.to_vec1::<f32>()?.iter().all(|value| value.is_finite()),
    })
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
