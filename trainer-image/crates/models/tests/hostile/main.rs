//! Files that are no model, or only pretend to be one. Each is refused by its exact line, at once, without a panic and
//! without the memory that it claims; those next to them that are in order are taken.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod adapter;
mod config;
mod gguf;
mod gguf_file;
mod mutated;
mod safetensors;
mod safetensors_file;
mod shards;
mod tokenizer;

use std::time::{Duration, Instant};

/// Longer takes no file of these tables; the largest have some megabytes.
const MOST: Duration = Duration::from_secs(10);
/// Address space that all files of these tables together may take: some claim 2^64 bytes, one a hundred gigabytes.
const MOST_KIB: u64 = 2 << 20;

/// What is read, and the line it is refused with.
struct Case {
    name: &'static str,
    read: Box<dyn Fn() -> Result<(), String>>,
    /// None: it is taken.
    line: Option<String>,
}

/// A case that is refused with this line.
fn refused(name: &'static str, line: String, read: impl Fn() -> Result<(), String> + 'static) -> Case {
    Case { name, read: Box::new(read), line: Some(line) }
}

/// A case that is taken.
fn taken(name: &'static str, read: impl Fn() -> Result<(), String> + 'static) -> Case {
    Case { name, read: Box::new(read), line: None }
}

/// The whole line of a short one: what stands for the `...` of these, by the word before its colon.
fn whole(short: &str, lines: &[(&str, &str)]) -> String {
    let (word, what) = short.split_once(": ").unwrap_or((short, ""));
    match lines.iter().find(|(known, _)| *known == word) {
        Some((_, line)) => line.replace("...", what),
        None => short.to_owned(),
    }
}

fn check(cases: &[Case]) {
    let mut wrong = Vec::new();
    for Case { name, read, line } in cases {
        let began = Instant::now();
        let found = read().err();
        if found != *line {
            wrong.push(format!("{name}: {}", found.unwrap_or_else(|| "taken".to_owned())));
        }
        let took = began.elapsed();
        if took > MOST {
            wrong.push(format!("{name}: {took:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn weights() -> Vec<Case> {
    [safetensors::cases(), shards::cases(), gguf::cases()].into_iter().flatten().collect()
}

fn others() -> Vec<Case> {
    [config::cases(), tokenizer::cases(), adapter::cases()].into_iter().flatten().collect()
}

#[test]
fn every_file_of_weights_that_is_none_is_refused_by_its_line() {
    let cases = weights();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    check(&cases);
}

#[test]
fn every_config_tokenizer_and_adapter_that_is_none_is_refused_by_its_line() {
    let cases = others();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    check(&cases);
}

#[test]
fn no_file_takes_memory_by_what_it_claims() {
    let before = most_memory_kib();
    for case in weights().iter().chain(&others()) {
        drop((case.read)());
    }
    let took = most_memory_kib() - before;
    assert!(took < MOST_KIB, "{took} KiB");
}

#[test]
fn every_line_is_one_line_of_bounded_length() {
    for case in weights().iter().chain(&others()) {
        let line = (case.read)().err().unwrap_or_default();
        assert!(!line.contains(char::is_control) && line.len() < 1000, "{}: {line}", case.name);
    }
}

/// The most address space that this process ever had. What is claimed counts, used or not.
fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
