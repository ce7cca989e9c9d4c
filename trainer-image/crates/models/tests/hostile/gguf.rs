//! GGUF files.

mod tensors;
mod tokenizer;

use std::io::Cursor;

use cooperator_models::gguf;

use crate::gguf_file::{
    ARRAY, BOOL, F32, F64, File, I32, I64, STRING, Tensor, U8, U32, U64, array, text, texts,
};
use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 5] = [
    ("malformed", "not a readable GGUF file: ...; download or convert it again"),
    ("metadata", "GGUF metadata ...; convert the model again"),
    ("shape", "the shape in the GGUF metadata: config.json: ..."),
    ("tokenizer", "the tokenizer in the GGUF metadata is inconsistent: ...; convert the model again"),
    (
        "unsupported",
        "GGUF ... is not supported; supported are architecture `llama` without biases, experts and rope scaling, \
         tensors of F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K, and tokenizers `gpt2` with \
         pre-tokenizer gpt-2, smollm, starcoder, refact, llama-bpe",
    ),
];

fn read(bytes: &[u8]) -> Result<(), String> {
    gguf::read(Cursor::new(bytes)).map(drop).map_err(|error| error.to_string())
}

fn bytes(name: &'static str, bytes: Vec<u8>, line: &'static str) -> Case {
    refused(name, whole(line, &LINES), move || read(&bytes))
}

/// The model with a change.
fn no(name: &'static str, line: &'static str, change: impl FnOnce(&mut File)) -> Case {
    let mut file = File::valid();
    change(&mut file);
    bytes(name, file.bytes(), line)
}

/// The model with this entry.
fn entry(name: &'static str, key: &str, kind: u32, value: impl Into<Vec<u8>>, line: &'static str) -> Case {
    no(name, line, |file| file.set(key, kind, value))
}

/// The model with this number of 32 bits.
fn number(name: &'static str, key: &str, value: u32, line: &'static str) -> Case {
    entry(name, key, U32, value.to_le_bytes(), line)
}

fn heads() -> Vec<Case> {
    let whole = File::valid().bytes();
    vec![
        bytes(
            "an empty file",
            Vec::new(),
            "malformed: cut short: the magic takes 4 bytes at byte 0, 0 are left",
        ),
        no("another magic", "malformed: it does not begin with GGUF", |file| file.magic = *b"GGML"),
        no(
            "the magic of machines that count the other way",
            "malformed: it does not begin with GGUF",
            |file| file.magic = *b"FUGG",
        ),
        no("version 0", "malformed: version 0, versions 2 and 3 are read", |file| file.version = 0),
        no(
            "version 1, whose lengths have 32 bits",
            "malformed: version 1, versions 2 and 3 are read",
            |file| file.version = 1,
        ),
        no(
            "version 3 of machines that count the other way",
            "malformed: version 50331648, versions 2 and 3 are read",
            |file| file.version = 3_u32.swap_bytes(),
        ),
        no("2^63 tensors", "malformed: 9223372036854775808 tensors, at most 65536 are read", |file| {
            file.tensor_count = Some(1 << 63)
        }),
        no(
            "2^63 entries",
            "malformed: 9223372036854775808 entries of metadata, at most 65536 are read",
            |file| file.entry_count = Some(1 << 63),
        ),
        no(
            "65,536 tensors that are not there",
            "malformed: tensor `` has 4001280 dimensions, 1 to 4 are possible",
            |file| file.tensor_count = Some(1 << 16),
        ),
        no(
            "65,536 entries that are not there",
            "malformed: a metadata key of 72902018968059904 bytes at byte 4307, at most 65535 are possible",
            |file| file.entry_count = Some(1 << 16),
        ),
        bytes(
            "a file cut off in its head",
            whole[..20].to_vec(),
            "malformed: cut short: the number of entries takes 8 bytes at byte 16, 4 are left",
        ),
        bytes(
            "a file cut off in an entry",
            whole[..100].to_vec(),
            "malformed: cut short: metadata `llama.block_count` takes 4 bytes at byte 98, 2 are left",
        ),
        bytes(
            "a file cut off in its list of tensors",
            whole[..5200].to_vec(),
            "malformed: cut short: a tensor's type takes 4 bytes at byte 5198, 2 are left",
        ),
        bytes(
            "half a file",
            whole[..whole.len() / 2].to_vec(),
            "malformed: cut short: tensor `blk.0.attn_output.weight` takes 4096 bytes from byte 41472 of the data, which have 44896",
        ),
        bytes(
            "a file without its last byte",
            whole[..whole.len() - 1].to_vec(),
            "malformed: cut short: tensor `output_norm.weight` takes 128 bytes from byte 95104 of the data, which have 95231",
        ),
        bytes(
            "32 bytes behind the last tensor",
            [whole.clone(), vec![0; 32]].concat(),
            "malformed: 32 bytes behind the last tensor",
        ),
        taken("a whole file", move || read(&whole)),
    ]
}

fn entries() -> Vec<Case> {
    let claim = |length: u64| length.to_le_bytes();
    vec![
        no("a key beyond the end", "malformed: no matrix `token_embd.weight`", |file| {
            file.entry_count = Some(17);
            file.tensors.clear();
        }),
        no("a key twice", "malformed: metadata `llama.block_count` is there twice", |file| {
            file.entries.push((b"llama.block_count".into(), U32, vec![0; 4]))
        }),
        no("a key that is no UTF-8", "malformed: a metadata key is not UTF-8: `� `", |file| {
            file.entries.push((b"\xff\n".into(), U32, vec![0; 4]))
        }),
        no(
            "a key of 65,536 bytes",
            "malformed: a metadata key of 65536 bytes at byte 4276, at most 65535 are possible",
            |file| file.entries.push((vec![b'a'; 65_536], U32, vec![0; 4])),
        ),
        entry(
            "a string of 2^64 - 1 bytes",
            "general.name",
            STRING,
            claim(u64::MAX),
            "malformed: cut short: metadata `general.name` takes 18446744073709551615 bytes at byte 4300, 96404 are left",
        ),
        entry(
            "a string that ends behind the file",
            "general.name",
            STRING,
            claim(1 << 30),
            "malformed: cut short: metadata `general.name` takes 1073741824 bytes at byte 4300, 96404 are left",
        ),
        entry(
            "a type nobody knows",
            "general.name",
            13,
            claim(0),
            "malformed: metadata `general.name` is of the unknown type 13",
        ),
        entry(
            "a truth that is 2",
            "tokenizer.ggml.add_bos_token",
            BOOL,
            [2],
            "malformed: metadata `tokenizer.ggml.add_bos_token` is 2, true is 1 and false is 0",
        ),
        entry(
            "an array of 2^63 strings",
            "general.tags",
            ARRAY,
            array(STRING, 1 << 63, vec![]),
            "malformed: metadata `general.tags` has 9223372036854775808 items, at most 8388608 are read",
        ),
        entry(
            "an array of 2^61 numbers, 2^64 bytes",
            "general.tags",
            ARRAY,
            array(U64, 1 << 61, vec![]),
            "malformed: cut short: metadata `general.tags` takes 18446744073709551615 bytes at byte 4304, 96400 are left",
        ),
        entry(
            "an array of strings that are not there",
            "general.tags",
            ARRAY,
            array(STRING, 1 << 20, vec![]),
            "malformed: cut short: metadata `general.tags` takes 8388608 bytes at byte 4304, 96400 are left",
        ),
        entry(
            "an array of a type nobody knows",
            "general.tags",
            ARRAY,
            array(99, 1, vec![0]),
            "malformed: metadata `general.tags` is an array of the unknown type 99",
        ),
        entry(
            "an array of arrays",
            "general.tags",
            ARRAY,
            array(ARRAY, 1, array(U8, 0, vec![])),
            "malformed: metadata `general.tags` is an array of arrays; no key of a model is",
        ),
        entry(
            "10,000 arrays in each other",
            "general.tags",
            ARRAY,
            array(ARRAY, 1, vec![]).repeat(10_000),
            "malformed: metadata `general.tags` is an array of arrays; no key of a model is",
        ),
        entry(
            "a number that is a string",
            "llama.block_count",
            STRING,
            text("2"),
            "metadata: `llama.block_count` must be a whole number",
        ),
        entry(
            "a number below zero",
            "llama.block_count",
            I32,
            (-2_i32).to_le_bytes(),
            "metadata: `llama.block_count` is -2, it must be 0 or more",
        ),
        entry(
            "a number far below zero",
            "llama.block_count",
            I64,
            i64::MIN.to_le_bytes(),
            "metadata: `llama.block_count` is -9223372036854775808, it must be 0 or more",
        ),
        entry(
            "2^64 - 1 layers",
            "llama.block_count",
            U64,
            u64::MAX.to_le_bytes(),
            "shape: num_hidden_layers is 18446744073709551615; it must be 1 to 1024",
        ),
        entry(
            "an epsilon that is NaN",
            "llama.attention.layer_norm_rms_epsilon",
            F32,
            f32::NAN.to_le_bytes(),
            "metadata: `llama.attention.layer_norm_rms_epsilon` is NaN, it must be finite",
        ),
        entry(
            "an epsilon of 0",
            "llama.attention.layer_norm_rms_epsilon",
            F32,
            0_f32.to_le_bytes(),
            "shape: rms_norm_eps is 0.0; it must be 1e-30 to below 1",
        ),
        entry(
            "a base that is NaN",
            "llama.rope.freq_base",
            F64,
            f64::NAN.to_le_bytes(),
            "metadata: `llama.rope.freq_base` is NaN, it must be finite",
        ),
        entry(
            "a base that is infinite",
            "llama.rope.freq_base",
            F32,
            f32::INFINITY.to_le_bytes(),
            "metadata: `llama.rope.freq_base` is inf, it must be finite",
        ),
        entry(
            "a base of 0",
            "llama.rope.freq_base",
            F32,
            0_f32.to_le_bytes(),
            "shape: rope_theta is 0.0; it must be above 1, at most 1e12",
        ),
        entry(
            "a base that is a whole number",
            "llama.rope.freq_base",
            U32,
            10_000_u32.to_le_bytes(),
            "metadata: `llama.rope.freq_base` must be a float",
        ),
        number(
            "an alignment of 0",
            "general.alignment",
            0,
            "metadata: `general.alignment` is 0, it must be a power of two from 8 to 65536",
        ),
        number(
            "an alignment of 33",
            "general.alignment",
            33,
            "metadata: `general.alignment` is 33, it must be a power of two from 8 to 65536",
        ),
        number(
            "an alignment of 2^31",
            "general.alignment",
            1 << 31,
            "metadata: `general.alignment` is 2147483648, it must be a power of two from 8 to 65536",
        ),
        entry(
            "an alignment that is NaN",
            "general.alignment",
            F32,
            f32::NAN.to_le_bytes(),
            "metadata: `general.alignment` must be a whole number",
        ),
        taken("a note that is no UTF-8", || {
            let mut file = File::valid();
            file.set("general.name", STRING, text(b"\xff\0"));
            read(&file.bytes())
        }),
        taken("an array of what nobody asks for", || {
            let mut file = File::valid();
            file.set("tokenizer.ggml.scores", ARRAY, array(F32, 2, f32::NAN.to_le_bytes().repeat(2)));
            read(&file.bytes())
        }),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [heads(), entries(), tensors::shapes(), tensors::tensors(), tokenizer::tokenizers()]
        .into_iter()
        .flatten()
        .collect()
}
