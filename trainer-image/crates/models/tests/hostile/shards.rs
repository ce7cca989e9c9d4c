//! Folders of shards and the index that names them.

use std::path::Path;

use cooperator_models::testing::tiny_config;
use cooperator_models::weights::{INDEX, SINGLE, Weights};
use serde_json::json;

use crate::safetensors_file::{model, pack};
use crate::{Case, refused, taken, whole};

/// How refusals go on, by the word that stands for them in the table.
const LINES: [(&str, &str); 2] = [
    ("index", "model.safetensors.index.json: ...; give the index and all shards of one model"),
    ("pickle", "... is a pickle, which runs code when it is read: convert it to safetensors"),
];

fn read(fill: impl Fn(&Path)) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    Weights::read(&tiny_config(64), folder.path()).map(drop).map_err(|error| error.to_string())
}

/// A folder of two halves and an index, and something changed.
fn sharded(folder: &Path) {
    let all = model();
    let (a, b) = all.split_at(7);
    std::fs::write(folder.join("a.safetensors"), pack(a)).unwrap();
    std::fs::write(folder.join("b.safetensors"), pack(b)).unwrap();
    index(folder, &json!({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}).to_string());
}

fn index(folder: &Path, text: &str) {
    std::fs::write(folder.join(INDEX), text).unwrap();
}

/// An index of these words.
fn indexed(name: &'static str, text: String, line: &'static str) -> Case {
    refused(name, whole(line, &LINES), move || {
        read(|folder| {
            sharded(folder);
            index(folder, &text);
        })
    })
}

/// An index that names this shard.
fn naming(name: &'static str, shard: &str, line: &'static str) -> Case {
    indexed(name, json!({"weight_map": {"x": "a.safetensors", "y": shard}}).to_string(), line)
}

fn folder(name: &'static str, line: &'static str, fill: impl Fn(&Path) + 'static) -> Case {
    refused(name, whole(line, &LINES), move || read(&fill))
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        taken("two shards", || read(sharded)),
        naming(
            "a shard above the folder",
            "../b.safetensors",
            "index: `../b.safetensors` is no safetensors file beside it",
        ),
        naming(
            "a shard at the root",
            "/b.safetensors",
            "index: `/b.safetensors` is no safetensors file beside it",
        ),
        naming(
            "a shard below the folder",
            "c/b.safetensors",
            "index: `c/b.safetensors` is no safetensors file beside it",
        ),
        naming(
            "a shard behind a backslash",
            "..\\b.safetensors",
            "index: `..\\b.safetensors` is no safetensors file beside it",
        ),
        naming("a shard by a NUL", "b\0.safetensors", "index: shard `b .safetensors` is not beside it"),
        naming("a shard that is a pickle", "pytorch_model.bin", "pickle: pytorch_model.bin"),
        naming("a shard that is a pickle in capitals", "MODEL.PT", "pickle: MODEL.PT"),
        naming(
            "a shard that is no file of tensors",
            "b.txt",
            "index: `b.txt` is no safetensors file beside it",
        ),
        naming("a shard without a name", "", "index: `` is no safetensors file beside it"),
        naming("a shard that is not there", "c.safetensors", "index: shard `c.safetensors` is not beside it"),
        naming("a shard of two lines", "c\nd.safetensors", "index: shard `c d.safetensors` is not beside it"),
        naming(
            "a shard by a name of a megabyte",
            &format!("{}.safetensors", "c".repeat(1 << 20)),
            "index: shard `cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc` is not beside it",
        ),
        indexed("an index of no shards", json!({"weight_map": {}}).to_string(), "index: it names no shard"),
        indexed(
            "an index without its map",
            json!({"metadata": {}}).to_string(),
            "index: missing field `weight_map` at line 1 column 15",
        ),
        indexed(
            "an index of numbers",
            json!({"weight_map": {"x": 1}}).to_string(),
            "index: invalid type: integer `1`, expected a string at line 1 column 20",
        ),
        indexed("an index that is a list", "[]".to_owned(), "index: it is no JSON object"),
        indexed(
            "an index that is no JSON",
            "{".to_owned(),
            "index: EOF while parsing an object at line 1 column 1",
        ),
        indexed("an index of 100,000 brackets", "[".repeat(100_000), "index: it is no JSON object"),
        indexed(
            "an index that names half of the shards",
            json!({"weight_map": {"x": "a.safetensors"}}).to_string(),
            "13 of 20 tensors are missing, the first is `model.layers.0.mlp.down_proj.weight`; give every shard of the model",
        ),
        folder("an index of 65 MiB", "index: more than 67108864 bytes", |folder| {
            sharded(folder);
            std::fs::File::create(folder.join(INDEX)).unwrap().set_len(65 << 20).unwrap();
        }),
        folder(
            "a shard of another model",
            "b.safetensors: tensor `transformer.h.0.attn.c_attn.weight` is not part of the model that config.json describes; both must be of one model",
            |folder| {
                sharded(folder);
                let mut other = model();
                other[9].name = "transformer.h.0.attn.c_attn.weight".to_owned();
                std::fs::write(folder.join("b.safetensors"), pack(&other[7..])).unwrap();
            },
        ),
        folder(
            "a tensor in two shards",
            "b.safetensors: tensor `model.layers.0.mlp.gate_proj.weight` is in another shard too; give each shard of the model once",
            |folder| {
                sharded(folder);
                std::fs::write(folder.join("b.safetensors"), pack(&model()[6..])).unwrap();
            },
        ),
        folder("a shard that is a folder", "index: shard `b.safetensors` is not beside it", |folder| {
            sharded(folder);
            std::fs::remove_file(folder.join("b.safetensors")).unwrap();
            std::fs::create_dir(folder.join("b.safetensors")).unwrap();
        }),
        folder("a shard that links to itself", "index: shard `b.safetensors` is not beside it", |folder| {
            sharded(folder);
            std::fs::remove_file(folder.join("b.safetensors")).unwrap();
            std::os::unix::fs::symlink("b.safetensors", folder.join("b.safetensors")).unwrap();
        }),
        folder(
            "a file of a hundred gigabytes with one tensor",
            "model.safetensors: tensor `a` is not part of the model that config.json describes; both must be of one model",
            |folder| {
                let bytes = 100_u64 << 30;
                let header =
                    format!(r#"{{"a":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
                let file = folder.join(SINGLE);
                std::fs::write(&file, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat())
                    .unwrap();
                let file = std::fs::File::options().write(true).open(file).unwrap();
                file.set_len(8 + header.len() as u64 + bytes).unwrap();
            },
        ),
        folder("a pickle alone", "pickle: pytorch_model.BIN", |folder| {
            std::fs::write(folder.join("pytorch_model.BIN"), b"x").unwrap();
        }),
        folder(
            "an empty folder",
            "no `model.safetensors` and no `model.safetensors.index.json` in the model's folder: give one of them, only safetensors is read",
            |_| {},
        ),
    ]
}
