//! Callers that write too slowly, stop in the middle, or do not read.

use std::time::{Duration, Instant};

use cooperator_contract::usage::UsageStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::super::harness::{Setup, World, hello};
use super::super::model::Raw;
use super::{Wants, case, chat, good, judge, post, refused, with};
use crate::call::Bounds;

/// Bounds that a test can wait for.
const SHORT: Duration = Duration::from_millis(400);
/// Longest wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn impatient(connections: usize) -> World {
    let bounds = Bounds { body_bytes: 64 * 1024, head_time: SHORT, body_time: SHORT, stall: SHORT };
    World::with(Setup { bounds, connections, ..Setup::default() }).await
}

/// Writes the pieces, `pace` apart, and reads until the gateway closes the connection.
async fn drip(world: &World, pieces: &[&[u8]], pace: Duration) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let writing = async {
        for piece in pieces {
            if write.write_all(piece).await.is_err() {
                break;
            }
            tokio::time::sleep(pace).await;
        }
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let reading = async {
        // A reset is an end, too.
        let _ = read.read_to_end(&mut heard).await;
    };
    tokio::select! {
        () = writing => {}
        ended = tokio::time::timeout(PATIENCE, reading) => ended.expect("the connection is still open"),
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_caller_that_sends_too_slowly_is_cut_off_and_costs_nothing() {
    let world = impatient(100).await;
    let body = chat().to_string();
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\n{}content-length: {}\r\n\r\n", good(), body.len());
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let lines: Vec<&[u8]> = head.as_bytes().chunks(2).collect();
    let slow_body: Vec<&[u8]> = [&[head.as_bytes()][..], &bytes[..]].concat();
    let pace = Duration::from_millis(30);
    let chunked = head.replace(&format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    for (name, pieces, status) in [
        ("nothing at all", vec![], None),
        ("half of the first line", vec![&head.as_bytes()[..9]], None),
        ("half of the headers", vec![&head.as_bytes()[..60]], None),
        ("the headers byte by byte", lines, None),
        ("the headers and no body", vec![head.as_bytes()], Some("408")),
        ("the body byte by byte", slow_body, Some("408")),
        ("half of the body", vec![head.as_bytes(), &body.as_bytes()[..20]], Some("408")),
        (
            "chunks without end",
            [&[chunked.as_bytes()][..], &[&b"1\r\n \r\n"[..]; 60][..]].concat(),
            Some("408"),
        ),
    ] {
        let heard = drip(&world, &pieces, pace).await;
        match status {
            None => assert_eq!(heard, "", "{name}"),
            Some(status) => assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {heard}"),
        }
        assert_eq!((world.calls(), world.rows().len()), (0, 0), "{name}");
    }
    eprintln!("8 slow callers");
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_end_of_its_body_costs_nothing() {
    let world = World::new().await;
    let whole = post(chat().to_string());
    for length in [10, 70, whole.len() - 150, whole.len() - 1] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(&whole[..length]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "cut at {length}: the connection is still open");
        let text = String::from_utf8_lossy(&heard);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "cut at {length}: {text}");
    }
    assert_eq!((world.calls(), world.rows().len()), (0, 0));
}

/// A caller that will read nothing, and whose buffer is small, so that it shows soon.
async fn deaf(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(world.address).await.unwrap()
}

/// A server that says more than all buffers on the way hold.
fn endless(world: &World, kind: &'static str) {
    let piece = |text: &str| match kind {
        "text/event-stream" => {
            format!("data: {}\n\n", serde_json::json!({"choices": [{"delta": {"content": text}}]}))
        }
        _ => serde_json::json!({"choices": [{"message": {"content": text}}]}).to_string(),
    };
    let pieces = match kind {
        "text/event-stream" => vec![piece(&"x".repeat(60_000)).into(); 400],
        _ => vec![piece(&"x".repeat(15_000_000)).into()],
    };
    let raw = Raw { status: 200, kind, pieces, breaks: false };
    world.script(|script| script.raw = Some(raw));
}

/// With room for one connection alone, a caller that reads nothing may not keep the next one out.
async fn unread(kind: &'static str, body: serde_json::Value) -> World {
    let world = impatient(1).await;
    endless(&world, kind);
    let mut silent = deaf(&world).await;
    silent.write_all(&post(body.to_string())).await.unwrap();
    world.rows_when(1).await;
    world.script(|script| script.raw = None);
    let began = Instant::now();
    let next = tokio::time::timeout(PATIENCE, world.chat(hello())).await;
    assert_eq!(next.expect("the silent caller keeps its connection").0, 200);
    eprintln!("the next caller was served after {:?}", began.elapsed());
    drop(silent);
    world
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_and_billed_for_what_was_sent() {
    let world = unread("text/event-stream", with("stream", true.into())).await;
    let row = &world.rows()[0];
    assert_eq!(row.status, UsageStatus::Disconnected);
    assert!(row.output_tokens < 400, "{}", row.output_tokens);
}

#[tokio::test]
async fn an_answer_in_one_piece_that_nobody_reads_is_cut() {
    let world = unread("application/json", chat()).await;
    assert_eq!(world.rows()[0].status, UsageStatus::Completed);
}

#[tokio::test]
async fn answers_to_a_thousand_requests_that_nobody_reads_are_cut() {
    let world = impatient(1).await;
    let one = "GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n".repeat(1000);
    let mut silent = deaf(&world).await;
    let flood = async { while silent.write_all(one.as_bytes()).await.is_ok() {} };
    let ended = tokio::time::timeout(PATIENCE, flood).await;
    assert!(ended.is_ok(), "the gateway still takes requests whose answers nobody reads");
    assert_eq!(world.chat(hello()).await.0, 200);
}

#[tokio::test]
async fn on_a_gateway_whose_log_is_full_a_good_request_is_told_to_wait_and_a_bad_one_what_is_wrong() {
    let world = World::with(Setup { disk_budget: 0, ..Setup::default() }).await;
    for (name, body, wants) in [
        ("a good one", chat().to_string(), refused(503, "its usage log is full")),
        ("one that is no JSON", "{".to_owned(), refused(400, "not a JSON object")),
        ("one out of bounds", with("n", 9.into()).to_string(), refused(400, "n must be 1")),
    ] {
        let case = case("full", name, post(body), wants);
        let heard = world.say(&case.bytes, 1).await;
        judge(&case, &heard, (world.calls(), world.rows().len())).unwrap();
        if let Wants::Refused(503, _) = case.wants {
            assert_eq!(heard.answers[0].headers["retry-after"], "5");
        }
    }
}
