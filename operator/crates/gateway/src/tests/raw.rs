//! A caller that writes bytes, not requests.

use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::World;

/// How long nothing may come before it is taken that nothing will.
const QUIET: Duration = Duration::from_millis(200);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// All that came back.
#[derive(Debug, Default)]
pub struct Heard {
    pub answers: Vec<Answer>,
    /// Whether the gateway closed the connection.
    pub closed: bool,
    /// The bytes.
    pub text: String,
}

impl World {
    /// Writes `bytes` and reads until the connection is closed, or `answers` have come and nothing more.
    pub async fn say(&self, bytes: &[u8], answers: usize) -> Heard {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let writing = async {
            // The gateway may have heard enough before the end.
            let _ = write.write_all(bytes).await;
            std::future::pending::<()>().await;
        };
        let mut heard = Vec::new();
        let mut closed = false;
        let reading = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let enough = parse(&heard, false).len() >= answers;
                let wait = if enough { QUIET } else { PATIENCE };
                match tokio::time::timeout(wait, read.read(&mut buffer)).await {
                    Ok(Ok(0) | Err(_)) => {
                        closed = true;
                        return;
                    }
                    Ok(Ok(length)) => heard.extend_from_slice(&buffer[..length]),
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
        let text = String::from_utf8_lossy(&heard).into_owned();
        Heard { answers: parse(&heard, closed), closed, text }
    }
}

/// Whole answers, those of 100 left out. With `closed`, one without a length ends with the bytes.
fn parse(mut bytes: &[u8], closed: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((answer, rest)) = one(bytes, closed) {
        if answer.status != 100 {
            answers.push(answer);
        }
        bytes = rest;
    }
    answers
}

fn one(bytes: &[u8], closed: bool) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name: http::HeaderName = name.parse().unwrap();
        // The time differs.
        if name != "date" {
            headers.append(name, value.parse().unwrap());
        }
    }
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    let (body, rest) = if status == 100 {
        (String::new(), rest)
    } else if let Some(length) = headers.get("content-length") {
        // The answer to HEAD says a length and has no body; it is the last in every test.
        let length: usize = length.to_str().unwrap().parse().unwrap();
        match rest.split_at_checked(length) {
            Some((body, rest)) => (text(body), rest),
            None if closed && rest.is_empty() => (String::new(), rest),
            None => return None,
        }
    } else if headers.get("transfer-encoding").is_some() {
        let (body, rest) = chunked(rest)?;
        (text(&body), rest)
    } else if closed {
        (text(rest), &rest[rest.len()..])
    } else {
        return None;
    };
    Some((Answer { status, headers, body }, rest))
}

fn chunked(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let (piece, rest) = bytes[end + 2..].split_at_checked(length)?;
        body.extend_from_slice(piece);
        bytes = rest.strip_prefix(b"\r\n")?;
        if length == 0 {
            return Some((body, bytes));
        }
    }
}
