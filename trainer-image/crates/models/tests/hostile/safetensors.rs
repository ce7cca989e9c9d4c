//! One safetensors file, or what is given for one.

mod tensors;

use cooperator_models::testing::tiny_config;
use cooperator_models::weights::Weights;

use crate::safetensors_file::{Entry, model, pack, raw};
use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 5] = [
    ("malformed", "m.safetensors: not safetensors: ...; download or convert the file again"),
    ("other", "m.safetensors: this is ..."),
    ("model", "m.safetensors: tensor ...; both must be of one model"),
    (
        "values",
        "m.safetensors: tensor `...` holds NaN or infinite values; download or convert the model again",
    ),
    ("file", "m.safetensors: ..."),
];

/// A file with this length before so many blanks.
fn claiming(length: u64, rest: usize) -> Vec<u8> {
    [length.to_le_bytes().as_slice(), &vec![b' '; rest]].concat()
}

/// The model with a change.
fn changed(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<u8> {
    let mut entries = model();
    change(&mut entries);
    pack(&entries)
}

/// The model whose last norm is this tensor.
fn norm(dtype: &'static str, shape: &[usize], data: impl Into<Vec<u8>>) -> Vec<u8> {
    let (shape, data) = (shape.to_vec(), data.into());
    changed(|entries| {
        let norm = entries.iter_mut().find(|entry| entry.name == "model.norm.weight").unwrap();
        (norm.dtype, norm.shape, norm.data) = (dtype, shape, data);
    })
}

/// The model and another tensor.
fn also(name: &str, dtype: &'static str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let entry = Entry { name: name.to_owned(), dtype, shape: shape.to_vec(), data: data.to_vec() };
    changed(|entries| entries.push(entry))
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let read = Weights::from_files(&tiny_config(64), &[("m.safetensors", bytes)]);
    read.map(drop).map_err(|error| error.to_string())
}

fn no(name: &'static str, bytes: impl Into<Vec<u8>>, line: &'static str) -> Case {
    let bytes = bytes.into();
    refused(name, whole(line, &LINES), move || read(&bytes))
}

fn yes(name: &'static str, bytes: Vec<u8>) -> Case {
    taken(name, move || read(&bytes))
}

fn lengths() -> Vec<Case> {
    let whole = pack(&model());
    let cut = whole[..whole.len() - 1].to_vec();
    vec![
        no("an empty file", "", "malformed: 0 bytes, no header"),
        no("seven bytes", [1; 7], "malformed: 7 bytes, no header"),
        no(
            "a header of 2^64 - 1 bytes",
            claiming(u64::MAX, 64),
            "file: header of 18446744073709551615 bytes, at most 100000000; download or convert the file again",
        ),
        no(
            "a header of 2^63 bytes",
            claiming(1 << 63, 64),
            "file: header of 9223372036854775808 bytes, at most 100000000; download or convert the file again",
        ),
        no(
            "a header a byte above the bound",
            claiming(100_000_001, 64),
            "file: header of 100000001 bytes, at most 100000000; download or convert the file again",
        ),
        no(
            "a header at the bound in a short file",
            claiming(100_000_000, 64),
            "malformed: header of 100000000 bytes in a file of 72",
        ),
        no(
            "a header a byte longer than the file",
            claiming(65, 64),
            "malformed: header of 65 bytes in a file of 72",
        ),
        no("no header", claiming(0, 0), "malformed: header: it is empty"),
        no("a header of blanks", claiming(64, 64), "malformed: header: it is empty"),
        no(
            "a byte behind the last tensor",
            [whole.clone(), vec![0]].concat(),
            "malformed: its tensors take 35136 bytes, behind the header are 35137",
        ),
        no(
            "a file without its last byte",
            cut,
            "malformed: its tensors take 35136 bytes, behind the header are 35135",
        ),
        no(
            "half a file",
            whole[..whole.len() / 2].to_vec(),
            "malformed: its tensors take 35136 bytes, behind the header are 16561",
        ),
        no(
            "a file cut off in its header",
            whole[..300].to_vec(),
            "malformed: header of 2005 bytes in a file of 300",
        ),
        yes("a whole file", whole),
    ]
}

fn headers() -> Vec<Case> {
    vec![
        no(
            "a header that is no JSON",
            raw("{", b""),
            "malformed: header: EOF while parsing an object at line 1 column 1",
        ),
        no(
            "a header that is no UTF-8",
            raw(b"{\"\xff\":1}", b""),
            "malformed: header: invalid unicode code point at line 1 column 3",
        ),
        no("a header that is a list", raw("[]", b""), "malformed: header: it is no JSON object"),
        no(
            "a header of 100,000 brackets",
            raw("[".repeat(100_000), b""),
            "malformed: header: it is no JSON object",
        ),
        no(
            "a tensor of 100,000 brackets",
            raw(format!("{{\"a\":{}", "[".repeat(100_000)), b""),
            "malformed: header: expected value at line 1 column 7",
        ),
        no("two headers", raw("{}{}", b""), "malformed: header: trailing characters at line 1 column 3"),
        no(
            "a tensor that is a number",
            raw(r#"{"a":1}"#, b""),
            "malformed: header: invalid type: integer `1`, expected struct TensorInfo at line 1 column 6",
        ),
        no(
            "a tensor without its offsets",
            raw(r#"{"a":{"dtype":"F32","shape":[1]}}"#, b"1234"),
            "malformed: header: missing field `data_offsets` at line 1 column 32",
        ),
        no(
            "a tensor with two shapes",
            raw(r#"{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}"#, b"1234"),
            "malformed: header: duplicate field `shape` at line 1 column 39",
        ),
        no(
            "words about the file that are numbers",
            raw(r#"{"__metadata__":{"format":1}}"#, b""),
            "malformed: header: invalid type: integer `1`, expected a string at line 1 column 27",
        ),
        no(
            "words about the file twice",
            raw(r#"{"__metadata__":{},"__metadata__":{}}"#, b""),
            "malformed: header: duplicate field `__metadata__` at line 1 column 37",
        ),
        no(
            "two tensors of one name at one place",
            raw(
                r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
                b"12",
            ),
            "file: tensor `a` is there twice; convert the file again",
        ),
        no(
            "two tensors of one name at two places",
            raw(
                r#"{"a\n":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a\n":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
                b"1234",
            ),
            "file: tensor `a ` is there twice; convert the file again",
        ),
        no(
            "a model of no tensors",
            raw("{}", b""),
            "20 of 20 tensors are missing, the first is `model.embed_tokens.weight`; give every shard of the model",
        ),
    ]
}

fn one(tensor: &str) -> String {
    format!(r#"{{"a":{tensor}}}"#)
}

fn offsets() -> Vec<Case> {
    let two = |a: &str, b: &str| {
        let tensor = |offsets: &str| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#);
        raw(format!(r#"{{"a":{},"b":{}}}"#, tensor(a), tensor(b)), &[0; 16])
    };
    vec![
        no(
            "tensors that overlap",
            two("[0,8]", "[4,12]"),
            "malformed: tensor `b` begins at byte 4 of the data, the one before ends at 8",
        ),
        no(
            "tensors at one place",
            two("[0,8]", "[0,8]"),
            "malformed: tensor `b` begins at byte 0 of the data, the one before ends at 8",
        ),
        no(
            "a hole between tensors",
            two("[0,8]", "[12,20]"),
            "malformed: tensor `b` begins at byte 12 of the data, the one before ends at 8",
        ),
        no(
            "a hole before the first tensor",
            two("[8,16]", "[16,24]"),
            "malformed: tensor `a` begins at byte 8 of the data, the one before ends at 0",
        ),
        no(
            "offsets that run backwards",
            two("[0,8]", "[16,8]"),
            "malformed: tensor `b` begins at byte 16 of the data, the one before ends at 8",
        ),
        no(
            "offsets beyond the file",
            two("[0,8]", "[8,1099511627776]"),
            "malformed: tensor `b` of F32 [2] takes 8 bytes, its offsets are 8 to 1099511627776",
        ),
        no(
            "an offset of 2^64 - 1",
            two("[0,8]", "[8,18446744073709551615]"),
            "malformed: tensor `b` of F32 [2] takes 8 bytes, its offsets are 8 to 18446744073709551615",
        ),
        no(
            "an offset of 2^64",
            two("[0,8]", "[8,18446744073709551616]"),
            "malformed: header: invalid type: floating point `1.8446744073709552e+19`, expected usize at line 1 column 123",
        ),
        no(
            "an offset below zero",
            two("[-8,0]", "[0,8]"),
            "malformed: header: invalid value: integer `-8`, expected usize at line 1 column 50",
        ),
        no(
            "an offset that is a fraction",
            two("[0,8]", "[8,16.0]"),
            "malformed: header: invalid type: floating point `16.0`, expected usize at line 1 column 107",
        ),
        no(
            "three offsets",
            two("[0,8]", "[8,16,24]"),
            "malformed: header: trailing characters at line 1 column 107",
        ),
        no(
            "2^64 - 1 bytes that begin behind the header",
            raw(
                one(
                    r#"{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}"#,
                ),
                b"",
            ),
            "malformed: tensor `a` of U8 [18446744073709551615] has no whole bytes, or more than memory can have",
        ),
        no(
            "as many bytes as make the sum of header and tensors start again at the file's length",
            raw(
                one(
                    r#"{"dtype":"U8","shape":[18446744073709551608],"data_offsets":[0,18446744073709551608]}"#,
                ),
                b"",
            ),
            "malformed: tensor `a` of U8 [18446744073709551608] has no whole bytes, or more than memory can have",
        ),
        no(
            "a shape of 2^65 elements",
            raw(one(r#"{"dtype":"U8","shape":[8589934592,4294967296],"data_offsets":[0,0]}"#), b""),
            "malformed: tensor `a` of U8 [8589934592, 4294967296] has no whole bytes, or more than memory can have",
        ),
        no(
            "a shape of 2^66 bits",
            raw(one(r#"{"dtype":"F32","shape":[2305843009213693952],"data_offsets":[0,0]}"#), b""),
            "malformed: tensor `a` of F32 [2305843009213693952] has no whole bytes, or more than memory can have",
        ),
        no(
            "half a byte",
            raw(one(r#"{"dtype":"F4","shape":[1],"data_offsets":[0,1]}"#), b"1"),
            "malformed: tensor `a` of F4 [1] has no whole bytes, or more than memory can have",
        ),
        no(
            "fewer bytes than the shape takes",
            raw(one(r#"{"dtype":"F32","shape":[2,2],"data_offsets":[0,4]}"#), b"1234"),
            "malformed: tensor `a` of F32 [2, 2] takes 16 bytes, its offsets are 0 to 4",
        ),
        no(
            "a million dimensions",
            raw(
                one(&format!(r#"{{"dtype":"U8","shape":[{}1],"data_offsets":[0,1]}}"#, "1,".repeat(999_999))),
                b"1",
            ),
            "malformed: tensor `a` has 1000000 dimensions, at most 8",
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [lengths(), headers(), offsets(), tensors::tensors(), tensors::disguises()]
        .into_iter()
        .flatten()
        .collect()
}
