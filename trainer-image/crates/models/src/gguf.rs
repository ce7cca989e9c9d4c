//! GGUF files of the `llama` architecture, turned once into the Hugging Face layout that everything else reads.
//!
//! Quantised tensors become bf16: its relative error, at most 1/512, lies well below the quantisation step (for
//! Q4_1 a fifteenth of a block's range) and it halves the size of f32. Tensors stored as f32, f16 or bf16 stay as
//! they are, but matrices in f32 beside quantised ones too: nothing is rounded that was exact.
//!
//! llama.cpp stores the rows of q and k interleaved, for its own rotary kernel; that permutation is undone here.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{DType, Device, Tensor};

use crate::config::{ConfigError, LINEARS, LlamaConfig};
use crate::weights::{self, Weights, WeightsError};

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
    #[error("not a readable GGUF file (versions 2 and 3): {0}")]
    Malformed(String),
    /// A metadata key is missing or of another type.
    #[error("GGUF metadata `{key}` {problem}")]
    Metadata {
        /// Which key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Well-formed, but nothing here computes it.
    #[error("GGUF {what} is not supported; supported are architecture `llama` without biases, experts and rope \
             scaling, and tokenizers `gpt2` with pre-tokenizer {}", tokenizer::SUPPORTED.join(", "))]
    Unsupported {
        /// The key and its value.
        what: String,
    },
    /// The shape that the metadata describe is impossible.
    #[error(transparent)]
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
    #[error("the tokenizer in the GGUF metadata is inconsistent: {0}")]
    Tokenizer(String),
}

/// Reads the GGUF file `source` and writes `config.json`, `tokenizer.json`, `tokenizer_config.json` and
/// `model.safetensors` to `folder`. The same file gives the same bytes. Memory is that of the converted weights.
///
/// # Errors
/// [`GgufError`]; what was written to `folder` by then is incomplete.
pub fn convert(source: &Path, folder: &Path) -> Result<LlamaConfig, GgufError> {
    let io = |source_error| GgufError::Io { file: source.display().to_string(), source: source_error };
    let mut reader = BufReader::with_capacity(1 << 20, File::open(source).map_err(io)?);
    let content = read_header(&mut reader)?;
    let metadata = Metadata(&content.metadata);
    let mut config = config(&content, &metadata)?;
    let files = tokenizer::rebuild(&metadata, &config)?;
    config.eos_token_ids = files.eos_token_ids.clone();
    check_names(&content, &config)?;

    let mut tensors = HashMap::new();
    let mut quantised = false;
    for (name, shape) in config.tensors() {
        let stored = gguf_name(&name).ok_or_else(|| unsupported(format!("tensor `{name}`")))?;
        quantised |= is_quantised(&content, &stored);
        let tensor = read_tensor(&content, &mut reader, &stored, &shape)?;
        let heads = match name.rsplit('.').nth(1) {
            Some("q_proj") => Some(config.num_attention_heads),
            Some("k_proj") => Some(config.num_key_value_heads),
            _ => None,
        };
        let tensor = match heads {
            Some(heads) => unpermute(&tensor, heads)
                .map_err(|source| GgufError::Tensor { name: stored.clone(), source })?,
            None => tensor,
        };
        tensors.insert(name, tensor);
    }
    // The same checks that whoever loads the model will make: finite, complete, of the right shapes.
    Weights::from_tensors(&config, tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())))?;
    write(folder, &config, quantised, &files, &tensors)?;
    Ok(config)
}

fn write(
    folder: &Path,
    config: &LlamaConfig,
    quantised: bool,
    files: &tokenizer::Files,
    tensors: &HashMap<String, Tensor>,
) -> Result<(), GgufError> {
    let dtype = match tensors.get("model.layers.0.mlp.down_proj.weight").map(Tensor::dtype) {
        _ if quantised => "bfloat16",
        Some(DType::BF16) => "bfloat16",
        Some(DType::F16) => "float16",
        _ => "float32",
    };
    let json = [
        ("config.json", config.to_json(dtype)),
        ("tokenizer.json", files.tokenizer.clone()),
        ("tokenizer_config.json", files.tokenizer_config.clone()),
    ];
    for (name, value) in json {
        let text = format!("{value:#}\n");
        std::fs::write(folder.join(name), text)
            .map_err(|source| GgufError::Io { file: name.to_owned(), source })?;
    }
    candle_core::safetensors::save(tensors, folder.join(weights::SINGLE))
        .map_err(|source| GgufError::Tensor { name: weights::SINGLE.to_owned(), source })
}

/// The reader of the tensor library divides by an alignment that a hostile file can set to zero: its panic is a
/// malformed file, like any other.
fn read_header(reader: &mut BufReader<File>) -> Result<Content, GgufError> {
    match catch_unwind(AssertUnwindSafe(|| Content::read(reader))) {
        Ok(Ok(content)) => Ok(content),
        Ok(Err(error)) => Err(GgufError::Malformed(first_line(&error.to_string()))),
        Err(_) => Err(GgufError::Malformed("its header contradicts itself".to_owned())),
    }
}

/// Typed access to the metadata.
struct Metadata<'a>(&'a HashMap<String, Value>);

impl Metadata<'_> {
    fn wrong(key: &str, problem: impl Into<String>) -> GgufError {
        GgufError::Metadata { key: key.to_owned(), problem: problem.into() }
    }

    fn number(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::I32(n)) if *n >= 0 => Ok(Some(*n as u64)),
            Some(Value::I64(n)) if *n >= 0 => Ok(Some(*n as u64)),
            Some(value) => value.to_u64().map(Some).map_err(|_| Self::wrong(key, "must be a whole number")),
        }
    }

    fn needed(&self, key: &str) -> Result<usize, GgufError> {
        let number = self.number(key)?.ok_or_else(|| Self::wrong(key, "is missing"))?;
        usize::try_from(number).map_err(|_| Self::wrong(key, "is too large"))
    }

    fn float(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            // Through the decimal form: 1e-5 stored in 32 bits means 1e-5, not 9.999999747e-6.
            Some(Value::F32(value)) => Ok(value.to_string().parse().ok()),
            Some(Value::F64(value)) => Ok(Some(*value)),
            Some(_) => Err(Self::wrong(key, "must be a float")),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Self::wrong(key, "must be a string")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, GgufError> {
        match self.0.get(key) {
            None => Ok(false),
            Some(value) => value.to_bool().map_err(|_| Self::wrong(key, "must be true or false")),
        }
    }

    fn list(&self, key: &str) -> Result<&[Value], GgufError> {
        match self.0.get(key) {
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(Self::wrong(key, "must be an array")),
            None => Err(Self::wrong(key, "is missing")),
        }
    }
}

/// The shape from the metadata; the vocabulary from the embedding.
fn config(content: &Content, metadata: &Metadata<'_>) -> Result<LlamaConfig, GgufError> {
    let architecture = metadata.text("general.architecture")?.unwrap_or_default();
    if architecture != "llama" {
        return Err(unsupported(format!("architecture `{}`", first_line(architecture))));
    }
    if metadata.number("llama.expert_count")?.unwrap_or(0) > 0 {
        return Err(unsupported("llama.expert_count above 0".to_owned()));
    }
    let scaling = metadata.text("llama.rope.scaling.type")?.unwrap_or("none");
    if scaling != "none" || content.tensor_infos.contains_key("rope_freqs.weight") {
        return Err(unsupported(format!("rope scaling `{}`", first_line(scaling))));
    }
    let embedding = content.tensor_infos.get("token_embd.weight").map(|info| info.shape.dims());
    let Some(&[vocab_size, hidden_size]) = embedding else {
        return Err(GgufError::Malformed("no matrix `token_embd.weight`".to_owned()));
    };
    let heads = metadata.needed("llama.attention.head_count")?;
    let kv_heads = metadata.number("llama.attention.head_count_kv")?.map_or(heads, |n| n as usize);
    let head_dim = match metadata.number("llama.attention.key_length")? {
        Some(dim) => dim as usize,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            return Err(GgufError::Config(ConfigError::Invalid {
                field: "num_attention_heads",
                value: heads.to_string(),
                bound: format!("a divisor of hidden_size ({hidden_size})"),
            }));
        }
    };
    let rotated = metadata.number("llama.rope.dimension_count")?.unwrap_or(head_dim as u64);
    if rotated != head_dim as u64 {
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
        tie_word_embeddings: !content.tensor_infos.contains_key("output.weight"),
        bos_token_id: token_id(metadata, "tokenizer.ggml.bos_token_id")?,
        eos_token_ids: Vec::new(),
    };
    // Through the reader, so that one set of bounds holds for both sources.
    Ok(LlamaConfig::from_json(config.to_json("bfloat16").to_string().as_bytes())?)
}

fn token_id(metadata: &Metadata<'_>, key: &str) -> Result<Option<u32>, GgufError> {
    let id = metadata.number(key)?;
    id.map(|id| u32::try_from(id).map_err(|_| Metadata::wrong(key, "is too large"))).transpose()
}

/// Refuses tensors that the architecture does not have, biases above all.
fn check_names(content: &Content, config: &LlamaConfig) -> Result<(), GgufError> {
    let known: std::collections::HashSet<String> =
        config.tensors().iter().filter_map(|(name, _)| gguf_name(name)).collect();
    let mut other: Vec<&String> = content.tensor_infos.keys().filter(|name| !known.contains(*name)).collect();
    other.sort();
    match other.first() {
        Some(name) => Err(unsupported(format!("tensor `{}`", first_line(name)))),
        None => Ok(()),
    }
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

fn is_quantised(content: &Content, name: &str) -> bool {
    let exact = [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16];
    content.tensor_infos.get(name).is_some_and(|info| !exact.contains(&info.ggml_dtype))
}

/// A tensor of the shape asked for; the shape is checked before anything is allocated for it.
fn read_tensor(
    content: &Content,
    reader: &mut BufReader<File>,
    name: &str,
    shape: &[usize],
) -> Result<Tensor, GgufError> {
    let missing = || WeightsError::TensorsMissing {
        missing: 1,
        expected: content.tensor_infos.len(),
        first: name.to_owned(),
    };
    let info = content.tensor_infos.get(name).ok_or_else(missing)?;
    if info.shape.dims() != shape {
        return Err(GgufError::Weights(WeightsError::Shape {
            file: "GGUF".to_owned(),
            name: name.to_owned(),
            found: info.shape.dims().to_vec(),
            expected: shape.to_vec(),
        }));
    }
    let dtype = match info.ggml_dtype {
        GgmlDType::F32 => DType::F32,
        GgmlDType::F16 => DType::F16,
        _ => DType::BF16,
    };
    let read = || content.tensor(reader, name, &Device::Cpu)?.dequantize(&Device::Cpu)?.to_dtype(dtype);
    read_guarded(read).map_err(|source| GgufError::Tensor { name: name.to_owned(), source })
}

/// A panic of the tensor library on hostile offsets is an error like any other.
fn read_guarded(read: impl FnOnce() -> candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(candle_core::Error::Msg("its data cannot be read".to_owned())))
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

/// At most 120 characters of the first line.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
#[path = "gguf/tests.rs"]
mod tests;
