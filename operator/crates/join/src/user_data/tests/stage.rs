//! The first stage, run by a real bash against a server on this machine. What it would run is kept instead.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// What Vast.ai takes.
const VAST: usize = 4096;

/// An empty folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cooperator-stage-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Answers every request with this text; where, and what was asked for.
fn server(text: String) -> (Url, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1/join", listener.local_addr().unwrap());
    let (asked, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            stream.write_all((head + &text).as_bytes()).unwrap();
            drop(asked.send(first));
        }
    });
    (base.parse().unwrap(), seen)
}

/// Runs a script, with a `bash` in its path that keeps what it is given: whether it ended well, and what was kept.
fn run(script: &str, folder: &Path) -> (bool, Option<String>) {
    let (stub, kept) = (folder.join("bash"), folder.join("kept"));
    std::fs::write(&stub, format!("#!/bin/sh\ncp \"$1\" '{}'\n", kept.display())).unwrap();
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("/bin/bash")
        .arg("-s")
        .env("PATH", path)
        .env("TMPDIR", folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    (bash.wait().unwrap().success(), std::fs::read_to_string(kept).ok())
}

#[test]
fn a_first_stage_makes_the_very_script_of_its_values_and_of_what_it_fetches() {
    let folder = Folder::new();
    for data in [user_data(), UserData { containerd: HOSTILE.into(), ..user_data() }] {
        let rest = data.rest().render().unwrap();
        let (base, asked) = server(rest.clone());
        let script = data.staged(&base, VAST).unwrap();
        assert_eq!(run(&script, &folder.0), (true, Some(data.render().unwrap())));
        assert!(asked.recv().unwrap().starts_with(&format!("GET /v1/join/{} ", Rest::name(&rest))));
    }
    let left = std::fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(left, 2, "the token stays in no temporary file");
}

#[test]
fn what_has_another_sha256_is_not_run() {
    let folder = Folder::new();
    let data = user_data();
    let (base, _asked) = server(data.rest().render().unwrap().replace("kubelet", "kubelot"));
    let script = data.staged(&base, VAST).unwrap();
    assert_eq!(run(&script, &folder.0), (false, None));
}

#[test]
fn a_first_stage_fits_into_what_vast_takes_also_with_a_tunnel_and_is_what_bash_can_read() {
    let base: Url = "https://progress.cooperator.example.org/v1/join".parse().unwrap();
    for data in [user_data(), tunnelled()] {
        let script = data.staged(&base, VAST).unwrap();
        assert!(script.len() <= VAST && script.is_ascii(), "{} bytes", script.len());
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success());
        assert_eq!(script, data.staged(&base, VAST).unwrap());
    }
}

#[test]
fn a_first_stage_that_is_too_long_tells_its_length_the_bound_and_the_way_out() {
    let base: Url = "https://progress.example.org/v1/join".parse().unwrap();
    let label = |number: u32| {
        (format!("cooperator.dev/{}", &Digest::of(&number.to_be_bytes()).hex()[..40]), "x".into())
    };
    let data = UserData { labels: (0..200).map(label).collect(), ..user_data() };
    let error = data.staged(&base, VAST).unwrap_err();
    assert!(matches!(error, Error::StageTooLong { bytes, most: VAST } if bytes > VAST));
    assert!(error.to_string().contains("4096: have fewer labels"), "{error}");
}

#[test]
fn what_is_fetched_holds_nothing_of_a_machine() {
    let data = tunnelled();
    let rest = data.rest().render().unwrap();
    let own = [data.token.reveal(), data.node_name.clone(), data.claim.uid.clone()];
    assert!(own.iter().all(|value| !rest.contains(value)));
    assert!(data.render().unwrap().ends_with(&rest));
}
