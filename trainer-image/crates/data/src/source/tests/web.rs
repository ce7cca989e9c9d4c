//! Servers that lie, break off, or are none. One answers each connection with the bytes of a case, and closes it.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What becomes of a file.
enum Becomes {
    /// A reason, and a part of the line.
    Refused(FailureReason, &'static str),
    /// The bytes of the file.
    File(&'static str),
}

use Becomes::{File, Refused};
use FailureReason::{SourceForbidden, SourceNotFound, SourceUnreadable, StorageUnavailable};

/// Tried as often as is patient, then left for later.
const GIVEN_UP: Becomes = Refused(StorageUnavailable, "no answer after 7 attempts");
/// Bytes of another place than was asked for.
const OTHER_PART: Becomes = Refused(SourceUnreadable, "another part of the file than was asked for");

struct Case {
    name: &'static str,
    /// What each connection is answered with, the last for ever.
    answers: &'static [&'static str],
    becomes: Becomes,
}

const CASES: &[Case] = &[
    Case {
        name: "more promised than sent",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\none"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "less promised than sent",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none and more"],
        becomes: File("one"),
    },
    Case {
        name: "a length below zero",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\none"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "a length of 2^70",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 1180591620717411303424\r\n\r\none"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "a length of 2^62, which is believed of no memory",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 4611686018427387904\r\n\r\none"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "two lengths",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nfour"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "pieces that break off",
        answers: &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "a piece of no length",
        answers: &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\none\r\n0\r\n\r\n"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "a piece of 2^64 bytes",
        answers: &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\none"],
        becomes: GIVEN_UP,
    },
    Case {
        name: "pieces, and a first time broken off",
        answers: &[
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        ],
        becomes: File("one"),
    },
    Case {
        name: "a part that nobody asked for",
        answers: &[
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-2/9\r\ncontent-length: 3\r\n\r\none",
        ],
        becomes: OTHER_PART,
    },
    Case {
        name: "a part of another place",
        answers: &[
            "HTTP/1.1 200 OK\r\netag: \"v\"\r\ncontent-length: 7\r\n\r\none",
            "HTTP/1.1 206 Partial Content\r\netag: \"v\"\r\ncontent-range: bytes 1-6/7\r\ncontent-length: 6\r\n\r\nne two",
        ],
        becomes: OTHER_PART,
    },
    Case {
        name: "a part of no place",
        answers: &[
            "HTTP/1.1 200 OK\r\netag: \"v\"\r\ncontent-length: 7\r\n\r\none",
            "HTTP/1.1 206 Partial Content\r\netag: \"v\"\r\ncontent-length: 4\r\n\r\n two",
        ],
        becomes: OTHER_PART,
    },
    Case {
        name: "the part that was asked for",
        answers: &[
            "HTTP/1.1 200 OK\r\netag: \"v\"\r\ncontent-length: 7\r\n\r\none",
            "HTTP/1.1 206 Partial Content\r\netag: \"v\"\r\ncontent-range: bytes 3-6/7\r\ncontent-length: 4\r\n\r\n two",
        ],
        becomes: File("one two"),
    },
    Case {
        name: "another version from the beginning",
        answers: &[
            "HTTP/1.1 200 OK\r\netag: \"v\"\r\ncontent-length: 7\r\n\r\none",
            "HTTP/1.1 200 OK\r\netag: \"w\"\r\ncontent-length: 3\r\n\r\nnew",
        ],
        becomes: File("new"),
    },
    Case {
        name: "a length, then another, then the first again, for ever",
        answers: &["", "alternating"],
        becomes: GIVEN_UP,
    },
    Case { name: "nothing at all", answers: &[""], becomes: GIVEN_UP },
    Case { name: "another protocol", answers: &["SSH-2.0-OpenSSH_9.6\r\n"], becomes: GIVEN_UP },
    Case { name: "a status of no number", answers: &["HTTP/1.1 OK\r\n\r\n"], becomes: GIVEN_UP },
    Case {
        name: "an empty file",
        answers: &["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
        becomes: File(""),
    },
    Case {
        name: "another type than its name says: the bytes decide",
        answers: &["HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 3\r\n\r\none"],
        becomes: File("one"),
    },
    Case {
        name: "a packed answer, which is not unpacked",
        answers: &["HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\none"],
        becomes: File("one"),
    },
    Case {
        name: "no content",
        answers: &["HTTP/1.1 204 No Content\r\n\r\n"],
        becomes: Refused(SourceUnreadable, "the server answered 204 No Content"),
    },
    Case {
        name: "a redirect to nowhere",
        answers: &["HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"],
        becomes: Refused(SourceUnreadable, "the server answered 302 Found"),
    },
    Case {
        name: "gone",
        answers: &["HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"],
        becomes: Refused(SourceNotFound, "check the address"),
    },
    Case {
        name: "a proxy that wants a password",
        answers: &["HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"],
        becomes: Refused(SourceForbidden, "put a token"),
    },
    Case {
        name: "broken for ever",
        answers: &["HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"],
        becomes: GIVEN_UP,
    },
];

/// Answers connection after connection; the address.
async fn answering(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0_usize.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            let answer = match answers[number.min(answers.len() - 1)] {
                "alternating" => {
                    let sent = "a".repeat(4 + number % 2);
                    format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{sent}")
                }
                answer => answer.to_owned(),
            };
            // Whoever has enough may hang up first.
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    format!("http://{address}")
}

/// One that does not wait between attempts.
fn hasty(server: &Server) -> Reader {
    let mut reader = reader(server);
    reader.backoff = Backoff::new(std::time::Duration::from_millis(1), std::time::Duration::from_millis(1));
    reader
}

#[tokio::test]
async fn a_file_is_what_a_server_sent_whole_or_it_is_refused_and_no_server_is_asked_for_ever() {
    assert!(CASES.len() >= 25, "{} cases", CASES.len());
    let server = Server::start().await;
    let mut wrong = Vec::new();
    for Case { name, answers, becomes } in CASES {
        let (work, url) = (TempDir::new().unwrap(), answering(answers).await);
        let uri = source(&format!("{url}/a.jsonl?signature=hunter2"));
        let reader = hasty(&server);
        let fetch = reader.fetch(&uri, work.path(), |_| true);
        let Ok(found) = tokio::time::timeout(std::time::Duration::from_secs(20), fetch).await else {
            wrong.push(format!("{name}: is asked for ever"));
            continue;
        };
        let right = match (&found, becomes) {
            (Ok(fetched), File(text)) => {
                std::fs::read_to_string(&fetched.files[0].path).unwrap() == *text
                    && fetched.digest == Digest::of(text.as_bytes())
            }
            (Err(error), Refused(reason, part)) => {
                let line = error.to_string();
                error.reason() == *reason && line.contains(part) && !line.contains("hunter2")
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a hub says of a model, and what becomes of it.
fn hub_cases() -> Vec<(&'static str, String, &'static str)> {
    let model = |names: &[&str]| {
        let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        serde_json::json!({"sha": "abc", "siblings": siblings}).to_string()
    };
    let many: Vec<String> = (0..=MAX_FILES).map(|number| format!("{number}.txt")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    vec![
        ("no JSON", "<html>".to_owned(), "the answer is no JSON"),
        ("another JSON", "[]".to_owned(), "not the hub's answer to a model revision"),
        ("100,000 brackets", "[".repeat(100_000), "the answer is no JSON"),
        ("no end", "[0,".repeat(6 << 20), "the answer is larger than 16777216 bytes"),
        ("a commit that is a path", r#"{"sha":"../x","siblings":[]}"#.to_owned(), "the hub named no commit"),
        ("a file outside", model(&["../../etc/passwd"]), "rename it"),
        ("a file from the root", model(&["/etc/passwd"]), "rename it"),
        ("a file twice", model(&["a.txt", "b.txt", "a.txt"]), "the hub names a file twice"),
        ("a file too many", model(&many), "more than 100000 files; pack them into fewer"),
    ]
}

#[tokio::test]
async fn a_hub_that_names_no_model_is_refused_before_a_file_is_fetched() {
    let cases = hub_cases();
    assert!(cases.len() >= 9, "{} cases", cases.len());
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    for (name, answer, expected) in cases {
        let fetched = Arc::new(AtomicU32::new(0));
        let counted = fetched.clone();
        let router = Router::new()
            .route("/api/models/owner/model/revision/main", get(move || async move { answer }))
            .fallback(move || async move {
                counted.fetch_add(1, Ordering::SeqCst);
                "file"
            });
        let reader = hasty(&server).with_hub(&serve(router).await);
        let error = reader.fetch(&source("hf://owner/model"), work.path(), |_| true).await.unwrap_err();
        assert_eq!(error.reason(), SourceUnreadable, "{name}: {error}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert_eq!(fetched.load(Ordering::SeqCst), 0, "{name}");
    }
}
