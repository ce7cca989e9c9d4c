//! Claims and buckets whose names and entries lead astray.

use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// What becomes of a source.
enum Becomes {
    /// A reason, and a part of the line.
    Refused(FailureReason, &'static str),
    /// The names of its files.
    Files(&'static [&'static str]),
}

use Becomes::{Files, Refused};
use FailureReason::{SourceForbidden, SourceNotFound, SourceUnreadable};

const OUT: Becomes = Refused(SourceForbidden, "a link leads out of the claim");
const NO_ADDRESS: Becomes = Refused(SourceUnreadable, "a claim and a path without `..`");
const NO_NAME: Becomes = Refused(SourceUnreadable, "rename it");

struct Case {
    name: &'static str,
    uri: &'static str,
    /// Puts into the claim what the name says; beside the claim `claim` lies another one, `other`, with `secret.txt`.
    make: fn(&Path),
    becomes: Becomes,
}

fn nothing(_: &Path) {}

fn write(path: &Path) {
    std::fs::write(path, "one").unwrap();
}

const CASES: &[Case] = &[
    Case { name: "a way up", uri: "pvc://claim/../other/secret.txt", make: nothing, becomes: NO_ADDRESS },
    Case {
        name: "a way up from below",
        uri: "pvc://claim/in/../../other",
        make: nothing,
        becomes: NO_ADDRESS,
    },
    Case {
        name: "a way up in place of a claim",
        uri: "pvc://../other/secret.txt",
        make: nothing,
        becomes: NO_ADDRESS,
    },
    Case { name: "no claim", uri: "pvc:///etc/hostname", make: nothing, becomes: NO_ADDRESS },
    Case {
        name: "a path from the root",
        uri: "pvc://claim//etc/hostname",
        make: nothing,
        becomes: Refused(SourceNotFound, "pvc://claim/etc/hostname"),
    },
    Case {
        name: "a way up in percent signs, which nobody decodes",
        uri: "pvc://claim/%2e%2e/other/secret.txt",
        make: nothing,
        becomes: Refused(SourceNotFound, "check the claim"),
    },
    Case {
        name: "a pattern, which nobody expands",
        uri: "pvc://claim/*.txt",
        make: |claim| write(&claim.join("a.txt")),
        becomes: Refused(SourceNotFound, "check the claim"),
    },
    Case {
        name: "a link to a file outside",
        uri: "pvc://claim/a.txt",
        make: |claim| symlink("/etc/hostname", claim.join("a.txt")).unwrap(),
        becomes: OUT,
    },
    Case {
        name: "a link to another claim",
        uri: "pvc://claim",
        make: |claim| symlink("../other/secret.txt", claim.join("a.txt")).unwrap(),
        becomes: OUT,
    },
    Case {
        name: "a link to a folder outside",
        uri: "pvc://claim/in/secret.txt",
        make: |claim| symlink("../other", claim.join("in")).unwrap(),
        becomes: OUT,
    },
    Case {
        name: "a link to a link to outside",
        uri: "pvc://claim",
        make: |claim| {
            symlink("b", claim.join("a")).unwrap();
            symlink("../other", claim.join("b")).unwrap();
        },
        becomes: OUT,
    },
    Case {
        name: "a link to the process's own secrets",
        uri: "pvc://claim/a.txt",
        make: |claim| symlink("/proc/self/environ", claim.join("a.txt")).unwrap(),
        becomes: OUT,
    },
    Case {
        name: "a link to an endless device",
        uri: "pvc://claim/a.txt",
        make: |claim| symlink("/dev/zero", claim.join("a.txt")).unwrap(),
        becomes: OUT,
    },
    Case {
        name: "links in a circle",
        uri: "pvc://claim/a",
        make: |claim| {
            symlink("b", claim.join("a")).unwrap();
            symlink("a", claim.join("b")).unwrap();
        },
        becomes: Refused(SourceUnreadable, "put the file itself there"),
    },
    Case {
        name: "a link to nothing",
        uri: "pvc://claim",
        make: |claim| symlink("gone", claim.join("a.txt")).unwrap(),
        becomes: Refused(SourceNotFound, "pvc://claim/a.txt"),
    },
    Case {
        name: "a pipe",
        uri: "pvc://claim/pipe",
        make: |claim| mkfifo(&claim.join("pipe"), Mode::S_IRWXU).unwrap(),
        becomes: Refused(SourceUnreadable, "a pipe, a socket or a device, no file"),
    },
    Case {
        name: "a pipe beside a file",
        uri: "pvc://claim",
        make: |claim| {
            mkfifo(&claim.join("pipe"), Mode::S_IRWXU).unwrap();
            write(&claim.join("a.txt"));
        },
        becomes: Files(&["a.txt"]),
    },
    Case {
        name: "a socket",
        uri: "pvc://claim/socket",
        make: |claim| drop(std::os::unix::net::UnixListener::bind(claim.join("socket")).unwrap()),
        becomes: Refused(SourceUnreadable, "a pipe, a socket or a device, no file"),
    },
    Case {
        name: "a name that is not UTF-8",
        uri: "pvc://claim",
        make: |claim| {
            use std::os::unix::ffi::OsStrExt as _;
            write(&claim.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")));
        },
        becomes: Refused(SourceUnreadable, "a file name is not UTF-8; rename it"),
    },
    Case {
        name: "a name of two lines",
        uri: "pvc://claim",
        make: |claim| write(&claim.join("a\nb.txt")),
        becomes: NO_NAME,
    },
    Case {
        name: "a name with a backslash",
        uri: "pvc://claim",
        make: |claim| write(&claim.join("a\\b.txt")),
        becomes: NO_NAME,
    },
    Case {
        name: "a name of 201 bytes",
        uri: "pvc://claim",
        make: |claim| write(&claim.join("a".repeat(201))),
        becomes: NO_NAME,
    },
    Case {
        name: "folders without a file",
        uri: "pvc://claim",
        make: |claim| std::fs::create_dir_all(claim.join("a/b")).unwrap(),
        becomes: Refused(SourceNotFound, "no file of a kind that is read lies there"),
    },
    Case {
        name: "a file by two names",
        uri: "pvc://claim",
        make: |claim| {
            write(&claim.join("a.txt"));
            std::fs::hard_link(claim.join("a.txt"), claim.join("b.txt")).unwrap();
        },
        becomes: Files(&["a.txt", "b.txt"]),
    },
];

/// Sources in a bucket with the keys of [`KEYS`].
const BUCKET_CASES: &[Case] = &[
    Case { name: "a key that ends in a way up", uri: "s3://works/up/..", make: nothing, becomes: NO_NAME },
    Case { name: "a key with a way up", uri: "s3://works/up/", make: nothing, becomes: NO_NAME },
    Case { name: "a key with an empty part", uri: "s3://works/empty/", make: nothing, becomes: NO_NAME },
    Case { name: "a key with a backslash", uri: "s3://works/windows/", make: nothing, becomes: NO_NAME },
    Case {
        name: "a file that is a folder too",
        uri: "s3://works/both/",
        make: nothing,
        becomes: Refused(SourceUnreadable, "one of its folders is the name of a file too"),
    },
    Case {
        name: "a pattern",
        uri: "s3://works/*.txt",
        make: nothing,
        becomes: Refused(SourceNotFound, "s3://works/*.txt"),
    },
];

const KEYS: [&str; 6] = ["up/../x.txt", "up/..", "empty//x.txt", "windows/a\\b.txt", "both/a", "both/a/b"];

async fn check(reader: &Reader, case: &Case) -> Result<(), String> {
    let Case { name, uri, becomes, .. } = case;
    let work = TempDir::new().unwrap();
    let source = source(uri);
    let fetch = reader.fetch(&source, work.path(), |_| true);
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), fetch).await;
    let found = waited.map_err(|_| format!("{name}: waits for ever"))?;
    match (&found, becomes) {
        (Ok(fetched), Files(expected)) if names(fetched) == *expected => Ok(()),
        (Err(error), Refused(reason, part))
            if error.reason() == *reason
                && error.to_string().contains(part)
                && !error.to_string().contains('\n') =>
        {
            Ok(())
        }
        (Err(error), _) => Err(format!("{name}: {:?}: {error}", error.reason())),
        (Ok(fetched), _) => Err(format!("{name}: {:?}", names(fetched))),
    }
}

#[tokio::test]
async fn nothing_outside_a_claim_is_read_and_nothing_that_is_no_file_is_waited_for() {
    assert!(CASES.len() >= 24, "{} cases", CASES.len());
    let server = Server::start().await;
    let mut wrong = Vec::new();
    for case in CASES {
        let root = TempDir::new().unwrap();
        for claim in ["claim", "other"] {
            std::fs::create_dir(root.path().join(claim)).unwrap();
        }
        write(&root.path().join("other/secret.txt"));
        (case.make)(&root.path().join("claim"));
        wrong.extend(check(&reader(&server).with_pvc_root(root.path()), case).await.err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_device_in_a_claim_is_not_read() {
    let server = Server::start().await;
    let case = Case {
        name: "a device",
        uri: "pvc://dev/zero",
        make: nothing,
        becomes: Refused(SourceUnreadable, "a pipe, a socket or a device, no file"),
    };
    check(&reader(&server).with_pvc_root(Path::new("/")), &case).await.unwrap();
}

#[tokio::test]
async fn keys_that_are_no_paths_are_refused_by_name() {
    assert!(BUCKET_CASES.len() >= 6, "{} cases", BUCKET_CASES.len());
    let server = Server::start().await;
    for key in KEYS {
        server.set_object("works", key, "one");
    }
    let mut wrong = Vec::new();
    for case in BUCKET_CASES {
        wrong.extend(check(&reader(&server), case).await.err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
