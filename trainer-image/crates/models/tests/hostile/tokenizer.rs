//! `tokenizer.json` that no tokenizer can be made of, or one that computes something else.

use cooperator_models::testing::byte_tokenizer;
use cooperator_models::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 2] = [
    ("unreadable", "tokenizer.json cannot be read: ...; give that of the model as its authors published it"),
    (
        "unsupported",
        "tokenizer.json: ... is not supported; supported are BPE and WordLevel with the parts that Llama models use",
    ),
];

fn read(bytes: &[u8]) -> Result<(), String> {
    let tokenizer = Tokenizer::for_vocabulary(bytes, 300).map_err(|error| error.to_string())?;
    // What is taken works.
    let ids = tokenizer.encode("a b, 12 <|im_end|>").map_err(|error| error.to_string())?;
    tokenizer.decode(&ids).map(drop).map_err(|error| error.to_string())
}

fn no(name: &'static str, bytes: impl Into<Vec<u8>>, line: &'static str) -> Case {
    let bytes = bytes.into();
    refused(name, whole(line, &LINES), move || read(&bytes))
}

/// The tokenizer of bytes with a change.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut tokenizer = byte_tokenizer();
    change(&mut tokenizer);
    tokenizer.to_string()
}

fn with(name: &'static str, pointer: &str, value: Value, line: &'static str) -> Case {
    no(name, changed(|tokenizer| *tokenizer.pointer_mut(pointer).unwrap() = value), line)
}

fn files() -> Vec<Case> {
    vec![
        no("an empty file", "", "unreadable: it is empty"),
        no("no fields", "{}", "unreadable: missing field `model` at line 1 column 2"),
        no("a list", "[]", "unreadable: it is no JSON object"),
        no("100,000 brackets", "[".repeat(100_000), "unreadable: it is no JSON object"),
        no("no UTF-8", b"{\"version\":\"\xff\"}", "unreadable: missing field `model` at line 1 column 15"),
        no("65 MiB", " ".repeat(65 << 20), "unreadable: 68157440 bytes, at most 67108864"),
        with(
            "another version",
            "/version",
            json!("2.0\n"),
            "unreadable: Unknown tokenizer version '2.0 ' at line 1 column 3008",
        ),
        taken("the tokenizer of bytes", || read(byte_tokenizer().to_string().as_bytes())),
    ]
}

fn models() -> Vec<Case> {
    let merge = |merges: Value| changed(|tokenizer| tokenizer["model"]["merges"] = merges);
    vec![
        with(
            "no model",
            "/model",
            Value::Null,
            "unreadable: invalid type: null, expected a model of words at line 1 column 475",
        ),
        with("another model", "/model/type", json!("WordPiece"), "unsupported: model type `WordPiece`"),
        with(
            "a model of scores",
            "/model",
            json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}),
            "unreadable: invalid type: sequence, expected a map at line 1 column 508",
        ),
        with(
            "tokens that are left out at random",
            "/model/dropout",
            json!(0.5),
            "unsupported: dropout, which gives a text other tokens each time,",
        ),
        with(
            "a prefix within words",
            "/model/continuing_subword_prefix",
            json!("##########"),
            "unsupported: continuing_subword_prefix",
        ),
        with(
            "a vocabulary that is a list",
            "/model/vocab",
            json!([]),
            "unreadable: invalid type: sequence, expected a map at line 1 column 657",
        ),
        with(
            "an id below zero",
            "/model/vocab/a",
            json!(-1),
            "unreadable: invalid value: integer `-1`, expected u32 at line 1 column 1157",
        ),
        with(
            "an id of 2^32 - 1",
            "/model/vocab/a",
            json!(u32::MAX),
            "unreadable: a token has id 4294967295, at most 4194303 is taken",
        ),
        with(
            "an id beyond the embedding",
            "/model/vocab/a",
            json!(300),
            "tokenizer.json has 301 tokens, the model's vocabulary 300; both must be of one model",
        ),
        with("two tokens with an id", "/model/vocab/a", json!(0), "unreadable: two tokens have id 0"),
        no(
            "a merge of one",
            merge(json!([["a"]])),
            "unreadable: a merge is no pair of tokens at line 1 column 623",
        ),
        no(
            "a merge of three",
            merge(json!(["a b c"])),
            "unreadable: merge 1 joins or makes a token that the vocabulary lacks",
        ),
        no(
            "a merge of numbers",
            merge(json!([[1, 2]])),
            "unreadable: a merge is no pair of tokens at line 1 column 623",
        ),
        no(
            "a merge of what is no token",
            merge(json!([["a", "no"]])),
            "unreadable: merge 1 joins or makes a token that the vocabulary lacks",
        ),
        no(
            "a merge without its result",
            merge(json!([["a", "b"]])),
            "unreadable: merge 1 joins or makes a token that the vocabulary lacks",
        ),
        no(
            "a merge of one in a line",
            merge(json!(["ab"])),
            "unreadable: merge 1 joins or makes a token that the vocabulary lacks",
        ),
    ]
}

fn parts() -> Vec<Case> {
    let place = |name: &'static str, place: &'static str, part: Value, line: &'static str| {
        no(name, changed(|tokenizer| tokenizer[place] = part), line)
    };
    let replace = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaa"});
    let sequence = |parts: Vec<Value>| json!({"type": "Sequence", "normalizers": parts});
    let mut deep = json!({"type": "NFC"});
    for _ in 0..60 {
        deep = sequence(vec![deep]);
    }
    vec![
        place("a decoder that is a number", "decoder", json!(5), "unsupported: decoder ``"),
        place("a decoder that is a list", "decoder", json!([]), "unsupported: decoder ``"),
        place("a decoder without its kind", "decoder", json!({"prefix": "##"}), "unsupported: decoder ``"),
        place(
            "a decoder nobody knows",
            "decoder",
            json!({"type": "Lines\n"}),
            "unsupported: decoder `Lines `",
        ),
        place(
            "a decoder that strips more than there is",
            "decoder",
            json!({"type": "Strip", "content": " ", "start": 1, "stop": 1}),
            "unsupported: a decoder `Strip` of these settings",
        ),
        place(
            "a normaliser of tables",
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
            "unsupported: normalizer `Precompiled`",
        ),
        place(
            "a normaliser that makes a kilobyte of a sign",
            "normalizer",
            json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(1024)}),
            "unsupported: a normalizer `Replace` of these settings",
        ),
        place(
            "a normaliser that makes 16^3 bytes of one",
            "normalizer",
            sequence(vec![replace; 3]),
            "unsupported: a normalizer of more than 2 replacements",
        ),
        place(
            "a normaliser that replaces by a pattern",
            "normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
            "unsupported: a normalizer `Replace` of these settings",
        ),
        place(
            "a normaliser that puts a kilobyte before",
            "normalizer",
            json!({"type": "Prepend", "prepend": "a".repeat(1024)}),
            "unsupported: a normalizer `Prepend` of these settings",
        ),
        place(
            "17 normalisers",
            "normalizer",
            sequence(vec![json!({"type": "NFC"}); 16]),
            "unsupported: a normalizer of more than 16 parts",
        ),
        place(
            "60 normalisers in each other",
            "normalizer",
            deep,
            "unsupported: a normalizer of more than 16 parts",
        ),
        place(
            "pieces of 0 letters",
            "pre_tokenizer",
            json!({"type": "FixedLength", "length": 0}),
            "unsupported: pre_tokenizer `FixedLength`",
        ),
        place(
            "a pattern that is none",
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}),
            "unreadable: Parsing error at position 2: Opening parenthesis without closing parenthesis at line 1 column 2967",
        ),
        place(
            "a pattern of a megabyte",
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "a".repeat(1 << 20)}, "behavior": "Isolated", "invert": false}),
            "unsupported: a pre_tokenizer `Split` of these settings",
        ),
        place(
            "a pattern that repeats a million times",
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "((a{1000}){1000}){1000}"}, "behavior": "Isolated", "invert": false}),
            "unreadable: Error compiling regex: Regex error: error building NFA at line 1 column 2988",
        ),
        taken("a text that is to come three times", || {
            let again = json!({"Sequence": {"id": "A", "type_id": 0}});
            let template = json!({"type": "TemplateProcessing", "single": [again, again, again], "pair": [], "special_tokens": {}});
            read(changed(|tokenizer| tokenizer["post_processor"] = template).as_bytes())
        }),
    ]
}

fn added() -> Vec<Case> {
    let token = |id: u64, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let added =
        |name: &'static str, tokens: Value, line: &'static str| with(name, "/added_tokens", tokens, line);
    vec![
        added(
            "an added token of nothing",
            json!([token(259, "")]),
            "unreadable: added token 259 has 0 bytes, 1 to 1024 are taken",
        ),
        added(
            "an added token of two kilobytes",
            json!([token(259, &"a".repeat(2048))]),
            "unreadable: added token 259 has 2048 bytes, 1 to 1024 are taken",
        ),
        added(
            "an added token by another id",
            json!([token(7, "<new>")]),
            "unreadable: added token 7 has id 259 by its place",
        ),
        added(
            "a known token by another id",
            json!([token(0, "a")]),
            "unreadable: added token 0 has id 67 by its place",
        ),
        added(
            "an added token of id 2^32",
            json!([token(1 << 32, "<new>")]),
            "unreadable: invalid value: integer `4294967296`, expected u32 at line 1 column 51",
        ),
        added(
            "50 tokens beyond the embedding",
            (259..309).map(|id| token(id, &format!("<{id}>"))).collect(),
            "tokenizer.json has 309 tokens, the model's vocabulary 300; both must be of one model",
        ),
        added(
            "an added token that is a word",
            json!(["<new>"]),
            "unreadable: invalid type: string \"<new>\", expected an added token at line 1 column 24",
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [files(), models(), parts(), added()].into_iter().flatten().collect()
}
