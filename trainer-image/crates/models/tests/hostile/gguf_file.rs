//! A GGUF file of a tiny model, written byte by byte, of which every part may be another. The fuzz targets start from it too.

use cooperator_models::testing::{byte_tokenizer, random_tensors, tiny_config};

pub const U8: u32 = 0;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;
pub const I64: u32 = 11;
pub const F64: u32 = 12;

/// A file in its parts, each of which a case may change.
pub struct File {
    pub magic: [u8; 4],
    pub version: u32,
    /// Instead of how many there are.
    pub tensor_count: Option<u64>,
    pub entry_count: Option<u64>,
    /// Key, type and value.
    pub entries: Vec<(Vec<u8>, u32, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    /// From the innermost.
    pub shape: Vec<u64>,
    pub kind: u32,
    /// Instead of where it lies.
    pub offset: Option<u64>,
    pub data: Vec<u8>,
}

pub fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

pub fn array(kind: u32, count: u64, items: Vec<u8>) -> Vec<u8> {
    [kind.to_le_bytes().as_slice(), &count.to_le_bytes(), &items].concat()
}

pub fn texts(items: &[String]) -> Vec<u8> {
    array(STRING, items.len() as u64, items.iter().flat_map(text).collect())
}

/// llama.cpp's name of a tensor.
fn stored(name: &str) -> String {
    let parts = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("model.layers.", "blk."),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    parts.iter().fold(name.to_owned(), |name, (long, short)| name.replace(long, short))
}

impl File {
    /// A tiny model in order.
    pub fn valid() -> Self {
        let config = tiny_config(259);
        let vocabulary = byte_tokenizer()["model"]["vocab"].clone();
        let mut tokens: Vec<(u64, String)> = vocabulary
            .as_object()
            .unwrap()
            .iter()
            .map(|(token, id)| (id.as_u64().unwrap(), token.clone()))
            .collect();
        tokens.sort();
        let tokens: Vec<String> = tokens.into_iter().map(|(_, token)| token).collect();
        let kinds = (0..tokens.len()).flat_map(|id| if id < 3 { 3_i32 } else { 1 }.to_le_bytes()).collect();
        let number = |number: u32| number.to_le_bytes().to_vec();
        let entries = vec![
            ("general.architecture", STRING, text("llama")),
            ("llama.block_count", U32, number(2)),
            ("llama.context_length", U32, number(256)),
            ("llama.embedding_length", U32, number(32)),
            ("llama.feed_forward_length", U32, number(48)),
            ("llama.attention.head_count", U32, number(4)),
            ("llama.attention.head_count_kv", U32, number(2)),
            ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5_f32.to_le_bytes().to_vec()),
            ("llama.rope.freq_base", F32, 10_000_f32.to_le_bytes().to_vec()),
            ("tokenizer.ggml.model", STRING, text("gpt2")),
            ("tokenizer.ggml.pre", STRING, text("smollm")),
            ("tokenizer.ggml.tokens", ARRAY, texts(&tokens)),
            ("tokenizer.ggml.token_type", ARRAY, array(I32, tokens.len() as u64, kinds)),
            ("tokenizer.ggml.merges", ARRAY, texts(&[])),
            ("tokenizer.ggml.bos_token_id", U32, number(1)),
            ("tokenizer.ggml.eos_token_id", U32, number(2)),
        ];
        let entries = entries.into_iter().map(|(key, kind, value)| (key.into(), kind, value)).collect();
        let tensors = random_tensors(&config, 1).unwrap().into_iter().map(|(name, tensor)| {
            let shape = tensor.dims().iter().rev().map(|n| *n as u64).collect();
            let values = tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap();
            let data = values.to_vec1::<f32>().unwrap().into_iter().flat_map(f32::to_le_bytes).collect();
            Tensor { name: stored(&name), shape, kind: 0, offset: None, data }
        });
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            entry_count: None,
            entries,
            tensors: tensors.collect(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        bytes.extend(self.entry_count.unwrap_or(self.entries.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.entries {
            bytes.extend(text(key));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            bytes.extend(text(&tensor.name));
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().flat_map(|n| n.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        bytes
    }

    pub fn set(&mut self, key: &str, kind: u32, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.as_bytes().to_vec(), value.into());
        match self.entries.iter_mut().find(|(known, ..)| *known == key) {
            Some(entry) => *entry = (key, kind, value),
            None => self.entries.push((key, kind, value)),
        }
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }
}
