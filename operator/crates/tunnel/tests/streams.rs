//! What goes through a connection.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cooperator_tunnel::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

mod support;
use support::{SOON, World, ask, echo, kubelet, limits};

#[tokio::test]
async fn bytes_go_to_the_kubelet_and_back() {
    let world = World::new(limits(), kubelet(echo).await).await;
    let machine = world.join().await;
    assert_eq!(ask(&mut world.dial().await, b"logs").await, b"logs");
    machine.abort();
}

#[tokio::test]
async fn an_end_of_one_direction_leaves_the_other_open() {
    // It says all it has to say first, and listens on.
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let speaks_first = move |mut socket: TcpStream| {
        let heard = count.clone();
        async move {
            socket.write_all(b"welcome").await.unwrap();
            socket.shutdown().await.unwrap();
            let mut rest = Vec::new();
            heard.store(socket.read_to_end(&mut rest).await.unwrap(), Ordering::SeqCst);
        }
    };
    let world = World::new(limits(), kubelet(speaks_first).await).await;
    let machine = world.join().await;
    let mut socket = world.dial().await;
    let mut said = Vec::new();
    timeout(SOON, socket.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, b"welcome");
    sleep(Duration::from_millis(50)).await;
    socket.write_all(b"thank you").await.unwrap();
    socket.shutdown().await.unwrap();
    let waited = timeout(SOON, async {
        while heard.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 9);
    machine.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_a_time_do_not_mix() {
    let world = World::new(limits(), kubelet(echo).await).await;
    let machine = world.join().await;
    let all: Vec<_> = (0..48_u8)
        .map(|number| {
            let door = world.door;
            tokio::spawn(async move {
                let text: Vec<u8> = (0..300_000_usize).map(|at| number ^ (at % 251) as u8).collect();
                let mut socket = TcpStream::connect(door).await.unwrap();
                assert!(ask(&mut socket, &text).await == text, "stream {number}");
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    machine.abort();
}

#[tokio::test]
async fn a_stream_beyond_the_greatest_number_is_refused_and_there_is_room_again_afterwards() {
    let world = World::new(Limits { streams: 2, ..limits() }, kubelet(echo).await).await;
    let machine = world.join().await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut socket = world.dial().await;
        socket.write_all(b"x").await.unwrap();
        timeout(SOON, socket.read_exact(&mut [0])).await.unwrap().unwrap();
        kept.push(socket);
    }
    let refused = timeout(SOON, world.dial().await.read(&mut [0])).await.unwrap();
    assert!(matches!(refused, Ok(0) | Err(_)), "{refused:?}");
    drop(kept);
    let again = timeout(SOON, async {
        loop {
            let mut socket = world.dial().await;
            if socket.write_all(b"x").await.is_ok() && socket.read_exact(&mut [0]).await.is_ok() {
                return;
            }
        }
    });
    again.await.unwrap();
    machine.abort();
}

#[tokio::test]
async fn a_slow_reader_holds_little_and_nobody_up() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let pours = move |mut socket: TcpStream| {
        let written = count.clone();
        async move {
            let mut first = [0];
            let _ = socket.read_exact(&mut first).await;
            if first == *b"e" {
                return echo(socket).await;
            }
            while let Ok(wrote) = socket.write(&[0; 8192]).await {
                written.fetch_add(wrote, Ordering::SeqCst);
            }
        }
    };
    let world = World::new(limits(), kubelet(pours).await).await;
    let machine = world.join().await;
    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(16 << 10).unwrap();
    let mut slow = slow.connect(world.door).await.unwrap();
    slow.write_all(b"p").await.unwrap();
    // It fills what there is to fill, and no more comes.
    let mut before = 0;
    let still = timeout(SOON, async {
        loop {
            sleep(Duration::from_millis(700)).await;
            let now = written.load(Ordering::SeqCst);
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
    });
    let held = still.await.unwrap();
    // Windows of both ends and buffers of four sockets, which Linux takes twice.
    assert!(held <= 10 * (64 << 10), "{held} bytes are held for a reader that does not read");
    assert_eq!(ask(&mut world.dial().await, b"echo").await, b"cho", "others go on");
    // It reads after all, and all comes.
    let mut read = 0;
    let mut buffer = vec![0; 64 << 10];
    while read < held + (1 << 20) {
        read += timeout(SOON, slow.read(&mut buffer)).await.unwrap().unwrap();
    }
    machine.abort();
}

#[tokio::test]
async fn a_silent_stream_is_cut_and_one_that_speaks_is_not() {
    let idle = Duration::from_millis(600);
    let world = World::new(Limits { idle, ..limits() }, kubelet(echo).await).await;
    let machine = world.join().await;
    let mut silent = world.dial().await;
    let mut speaks = world.dial().await;
    for _ in 0..8 {
        speaks.write_all(b"x").await.unwrap();
        timeout(SOON, speaks.read_exact(&mut [0])).await.unwrap().unwrap();
        sleep(idle / 4).await;
    }
    let cut = timeout(SOON, silent.read(&mut [0])).await.unwrap();
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    machine.abort();
}

#[tokio::test]
async fn a_stream_to_a_kubelet_that_does_not_listen_is_closed() {
    let world = World::new(limits(), support::free().await).await;
    let machine = world.join().await;
    let closed = timeout(SOON, world.dial().await.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(world.server.is_connected(support::NODE), "the connection itself is well");
    machine.abort();
}
