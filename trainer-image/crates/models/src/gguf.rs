//! GGUF files of the `llama` architecture, turned once into the Hugging Face layout that everything else reads.
//!
//! Quantised tensors become bf16: its relative error, at most 1/512, lies well below the quantisation step (for
//! Q4_1 a fifteenth of a block's range) and it halves the size of f32. Tensors stored as f32, f16 or bf16 stay as
//! they are, but matrices in f32 beside quantised ones too: nothing is rounded that was exact.
//!
//! llama.cpp stores the rows of q and k interleaved, for its own rotary kernel; that permutation is undone here.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use crate::config::{ConfigError, LINEARS, LlamaConfig};
use crate::line::one_line;
use crate::weights::{self, Weights, WeightsError};
use header::Header;
use metadata::Metadata;

mod header;
mod metadata;
mod source;
mod tokenizer;

/// Why a GGUF file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What it said.
        source: std::io::Error,
    },
    /// Not GGUF, or cut short.
    #[error("not a readable GGUF file: {0}; download or convert it again")]
    Malformed(String),
    /// A metadata key is missing or of another type.
    #[error("GGUF metadata `{key}` {problem}; convert the model again")]
    Metadata {
        /// Which key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Well-formed, but nothing here computes it.
    #[error("GGUF {what} is not supported; supported are architecture `llama` without biases, experts and rope \
             scaling, tensors of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K, and tokenizers \
             `gpt2` with pre-tokenizer {}", tokenizer::SUPPORTED.join(", "))]
    Unsupported {
        /// The key and its value.
        what: String,
    },
    /// The shape that the metadata describe is impossible.
    #[error("the shape in the GGUF metadata: {0}")]
    Config(#[from] ConfigError),
    /// The tensors are not those of that shape.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A tensor cannot be read or dequantised.
    #[error("GGUF tensor `{name}`: {source}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What the tensor library said.
        source: candle_core::Error,
    },
    /// The rebuilt tokenizer does not load.
    #[error("the tokenizer in the GGUF metadata is inconsistent: {0}; convert the model again")]
    Tokenizer(String),
}

/// A model as it was read, in the layout of Hugging Face.
pub struct Model {
    config: LlamaConfig,
    /// `torch_dtype` of the config.
    dtype: &'static str,
    files: tokenizer::Files,
    tensors: HashMap<String, Tensor>,
}

/// Reads the GGUF file `source` and writes `config.json`, `tokenizer.json`, `tokenizer_config.json` and
/// `model.safetensors` to `folder`. The same file gives the same bytes. Memory is that of the converted weights.
///
/// # Errors
/// [`GgufError`]; what was written to `folder` by then is incomplete.
pub fn convert(source: &Path, folder: &Path) -> Result<LlamaConfig, GgufError> {
    let io = |error| GgufError::Io { file: source.display().to_string(), source: error };
    let model = read(BufReader::with_capacity(1 << 20, File::open(source).map_err(io)?))?;
    model.write(folder)?;
    Ok(model.config)
}

/// Reads a GGUF file and checks all of it: header, shapes, tokenizer, and that every weight is finite.
///
/// # Errors
/// [`GgufError`].
pub fn read(mut reader: impl Read + Seek) -> Result<Model, GgufError> {
    let io = |source| GgufError::Io { file: "GGUF".to_owned(), source };
    let bytes = reader.seek(SeekFrom::End(0)).map_err(io)?;
    reader.rewind().map_err(io)?;
    let header = Header::read(bytes, &mut reader)?;
    let mut config = config(&header)?;
    let files = tokenizer::rebuild(&header.metadata, &config)?;
    config.eos_token_ids = files.eos_token_ids.clone();
    let tensors = tensors(&header, &config, &mut reader)?;
    // The same checks that whoever loads the model will make: finite, complete, of the right shapes.
    Weights::from_tensors(&config, tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())))?;
    let quantised = header.tensors.values().any(|info| !EXACT.contains(&info.ggml_dtype));
    let dtype = match tensors.get("model.layers.0.mlp.down_proj.weight").map(Tensor::dtype) {
        _ if quantised => "bfloat16",
        Some(DType::BF16) => "bfloat16",
        Some(DType::F16) => "float16",
        _ => "float32",
    };
    Ok(Model { config, dtype, files, tensors })
}

/// Types whose values stay as they are.
const EXACT: [GgmlDType; 3] = [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16];

/// Every tensor of the architecture, by its Hugging Face name. Names and shapes are checked before a value is read.
fn tensors(
    header: &Header,
    config: &LlamaConfig,
    reader: &mut (impl Read + Seek),
) -> Result<HashMap<String, Tensor>, GgufError> {
    let wanted = check_tensors(header, config)?;
    let mut tensors = HashMap::with_capacity(wanted.len());
    for (name, stored) in wanted {
        let tensor = read_tensor(header, reader, &stored)?;
        let heads = match name.rsplit('.').nth(1) {
            Some("q_proj") => Some(config.num_attention_heads),
            Some("k_proj") => Some(config.num_key_value_heads),
            _ => None,
        };
        let tensor = match heads {
            Some(heads) => {
                unpermute(&tensor, heads).map_err(|source| GgufError::Tensor { name: stored, source })?
            }
            None => tensor,
        };
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

impl Model {
    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Writes the four files.
    fn write(&self, folder: &Path) -> Result<(), GgufError> {
        let json = [
            ("config.json", &self.config.to_json(self.dtype)),
            ("tokenizer.json", &self.files.tokenizer),
            ("tokenizer_config.json", &self.files.tokenizer_config),
        ];
        for (name, value) in json {
            let text = format!("{value:#}\n");
            std::fs::write(folder.join(name), text)
                .map_err(|source| GgufError::Io { file: name.to_owned(), source })?;
        }
        candle_core::safetensors::save(&self.tensors, folder.join(weights::SINGLE))
            .map_err(|source| GgufError::Tensor { name: weights::SINGLE.to_owned(), source })
    }
}

/// The shape from the metadata; the vocabulary from the embedding.
fn config(header: &Header) -> Result<LlamaConfig, GgufError> {
    let Header { metadata, tensors, .. } = header;
    let architecture = metadata.text("general.architecture")?.unwrap_or_default();
    if architecture != "llama" {
        return Err(unsupported(format!("architecture `{}`", one_line(architecture))));
    }
    if metadata.number("llama.expert_count")?.unwrap_or(0) > 0 {
        return Err(unsupported("llama.expert_count above 0".to_owned()));
    }
    check_rope(metadata, tensors.contains_key("rope_freqs.weight"))?;
    let embedding = tensors.get("token_embd.weight").map(|info| info.shape.dims());
    let Some(&[vocab_size, hidden_size]) = embedding else {
        return Err(header::malformed("no matrix `token_embd.weight`".to_owned()));
    };
    for (key, rows) in [("llama.embedding_length", hidden_size), ("llama.vocab_size", vocab_size)] {
        if let Some(said) = metadata.size(key)?.filter(|said| *said != rows) {
            return Err(Metadata::wrong(key, format!("is {said}, `token_embd.weight` has {rows}")));
        }
    }
    let heads = metadata.needed("llama.attention.head_count")?;
    let kv_heads = metadata.size("llama.attention.head_count_kv")?.unwrap_or(heads);
    let head_dim = match metadata.size("llama.attention.key_length")? {
        Some(dim) => dim,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            return Err(GgufError::Config(ConfigError::Invalid {
                field: "num_attention_heads",
                value: heads.to_string(),
                bound: format!("a divisor of hidden_size ({hidden_size})"),
            }));
        }
    };
    let rotated = metadata.size("llama.rope.dimension_count")?.unwrap_or(head_dim);
    if rotated != head_dim {
        return Err(unsupported(format!("llama.rope.dimension_count {rotated} with heads of {head_dim}")));
    }
    let config = LlamaConfig {
        model_type: "llama".to_owned(),
        hidden_size,
        intermediate_size: metadata.needed("llama.feed_forward_length")?,
        num_hidden_layers: metadata.needed("llama.block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        vocab_size,
        max_position_embeddings: metadata.needed("llama.context_length")?,
        rms_norm_eps: metadata.float("llama.attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
        rope_theta: metadata.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
        rope_scaling: None,
        tie_word_embeddings: !tensors.contains_key("output.weight"),
        bos_token_id: token_id(metadata, "tokenizer.ggml.bos_token_id")?,
        eos_token_ids: Vec::new(),
    };
    // Through the reader, so that one set of bounds holds for both sources.
    Ok(LlamaConfig::from_json(config.to_json("bfloat16").to_string().as_bytes())?)
}

/// Refuses positions that are not the plain ones. Without a type llama.cpp stretches them by the factor, if there is one.
fn check_rope(metadata: &Metadata, has_factors: bool) -> Result<(), GgufError> {
    const FACTORS: [&str; 2] = ["llama.rope.scaling.factor", "llama.rope.scale_linear"];
    let scaling = metadata.text("llama.rope.scaling.type")?;
    if has_factors || scaling.is_some_and(|scaling| scaling != "none") {
        return Err(unsupported(format!("rope scaling `{}`", one_line(scaling.unwrap_or("factors")))));
    }
    for key in FACTORS {
        let factor =
            metadata.float(key)?.filter(|factor| scaling.is_none() && *factor != 0.0 && *factor != 1.0);
        if let Some(factor) = factor {
            return Err(unsupported(format!("{key} {factor}")));
        }
    }
    Ok(())
}

fn token_id(metadata: &Metadata, key: &str) -> Result<Option<u32>, GgufError> {
    let id = metadata.number(key)?;
    id.map(|id| u32::try_from(id).map_err(|_| Metadata::wrong(key, "is too large"))).transpose()
}

/// The tensors of the architecture by both their names. Refuses others, biases above all, and other shapes.
fn check_tensors(header: &Header, config: &LlamaConfig) -> Result<Vec<(String, String)>, GgufError> {
    let mut wanted = Vec::new();
    for (name, expected) in config.tensors() {
        let stored = gguf_name(&name).ok_or_else(|| unsupported(format!("tensor `{name}`")))?;
        wanted.push((name, stored, expected));
    }
    let known: HashSet<&str> = wanted.iter().map(|(_, stored, _)| stored.as_str()).collect();
    if let Some(other) = header.tensors.keys().find(|name| !known.contains(name.as_str())) {
        return Err(unsupported(format!("tensor `{}`", one_line(other))));
    }
    let missing = wanted.iter().filter(|(_, stored, _)| !header.tensors.contains_key(stored));
    let (missing, first) = (missing.clone().count(), missing.map(|(_, stored, _)| stored).next());
    if let Some(first) = first.cloned() {
        return Err(WeightsError::TensorsMissing { missing, expected: wanted.len(), first }.into());
    }
    for (_, stored, expected) in &wanted {
        let found = header.tensors.get(stored).map(|info| info.shape.dims()).unwrap_or_default();
        if found != expected {
            let (file, name) = ("GGUF".to_owned(), stored.clone());
            let (found, expected) = (found.to_vec(), expected.clone());
            return Err(WeightsError::Shape { file, name, found, expected }.into());
        }
    }
    Ok(wanted.into_iter().map(|(name, stored, _)| (name, stored)).collect())
}

/// llama.cpp's name of a Hugging Face tensor.
fn gguf_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.strip_suffix(".weight")?.split_once('.')?;
    let parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let part = match part {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        linear => LINEARS.iter().position(|known| *known == linear).map(|i| parts[i])?,
    };
    Some(format!("blk.{layer}.{part}.weight"))
}

fn read_tensor(header: &Header, reader: &mut (impl Read + Seek), name: &str) -> Result<Tensor, GgufError> {
    let failed = |source| GgufError::Tensor { name: name.to_owned(), source };
    let missing = || failed(candle_core::Error::Msg("it is missing".to_owned()));
    let info = header.tensors.get(name).ok_or_else(missing)?;
    let dtype = match info.ggml_dtype {
        GgmlDType::F32 => DType::F32,
        GgmlDType::F16 => DType::F16,
        _ => DType::BF16,
    };
    let stored = info.read(reader, header.data, &Device::Cpu).map_err(failed)?;
    stored.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_dtype(dtype)).map_err(failed)
}

/// Rows `(head, pair, half)` as llama.cpp stores them, to `(head, half, pair)` as Hugging Face does.
fn unpermute(tensor: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = tensor.dims2()?;
    tensor
        .reshape((heads, rows / heads / 2, 2, columns))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((rows, columns))
}

fn unsupported(what: String) -> GgufError {
    GgufError::Unsupported { what }
}

#[cfg(test)]
#[path = "gguf/tests.rs"]
mod tests;
