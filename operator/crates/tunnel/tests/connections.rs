//! Who may connect, and what becomes of connections that break.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cooperator_core::time::{Clock as _, Timestamp};
use cooperator_tunnel::{ClientError, Limits, ServerError, tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

mod support;
use support::{Authority, NODE, SOON, World, ask, echo, kubelet, limits, user};

async fn world() -> World {
    World::new(limits(), kubelet(echo).await).await
}

fn name(node: &str) -> String {
    format!("system:node:{node}")
}

#[tokio::test]
async fn a_machine_whose_certificate_another_authority_signed_is_refused() {
    let world = world().await;
    let pair = Authority::new().user(&name(NODE), "system:nodes");
    let ended = world.machine_at(world.address, &pair, &world.ours).once().await;
    assert!(matches!(ended, ClientError::Broken(_) | ClientError::Connect(_)), "{ended}");
    assert!(!world.server.is_connected(NODE));
}

#[tokio::test]
async fn a_certificate_of_the_cluster_that_is_not_of_a_node_with_a_live_claim_is_refused() {
    let world = world().await;
    for (user, group) in [
        (name("another-node"), "system:nodes"),
        (name(""), "system:nodes"),
        (name(NODE), "system:masters"),
        (NODE.to_owned(), "system:nodes"),
        ("kubernetes-admin".to_owned(), "system:masters"),
    ] {
        let pair = world.cluster.user(&user, group);
        let ended = timeout(SOON, world.machine_at(world.address, &pair, &world.ours).once()).await.unwrap();
        assert!(matches!(ended, ClientError::Broken(_)), "{user}: {ended}");
        assert!(!world.server.is_connected(NODE), "{user}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_for_servers_is_refused() {
    let world = world().await;
    let mut params = user(&name(NODE), "system:nodes");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = world.cluster.sign(&params);
    let ended = world.machine_at(world.address, &pair, &world.ours).once().await;
    assert!(matches!(ended, ClientError::Broken(_) | ClientError::Connect(_)), "{ended}");
    assert!(!world.server.is_connected(NODE));
}

#[tokio::test]
async fn a_machine_believes_its_own_authority_and_the_name_it_was_given_alone() {
    let world = world().await;
    let pair = world.cluster.user(&name(NODE), "system:nodes");
    let deceived = world.machine_at(world.address, &pair, &world.cluster).once().await;
    assert!(matches!(deceived, ClientError::Connect(_)), "{deceived}");
    let mut machine = world.machine();
    machine.server_name = "elsewhere.test".to_owned();
    let deceived = machine.once().await;
    assert!(matches!(deceived, ClientError::Connect(_)), "{deceived}");
}

#[tokio::test]
async fn a_certificate_tells_its_node_and_until_when_it_is_good() {
    let mut params = user(&name(NODE), "system:nodes");
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let pair = Authority::new().sign(&params);
    let shown = [CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let until = Timestamp::from_second(1_893_456_000).unwrap();
    assert_eq!(tls::peer(&shown).unwrap(), tls::Peer { node: NODE.to_owned(), until });
    assert!(tls::peer(&[]).is_err());
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_that_was_shown_for_it() {
    let world = world().await;
    let mut params = user(&name(NODE), "system:nodes");
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let pair = world.cluster.sign(&params);
    let end = Timestamp::from_second(2_208_988_800).unwrap();
    world.clock.advance(end.duration_since(world.clock.now()) - jiff::SignedDuration::from_millis(300));
    let machine = world.machine_at(world.address, &pair, &world.ours);
    let running = tokio::spawn(async move { machine.once().await });
    world.until_connected(true).await;
    world.until_connected(false).await;
    let ended = timeout(SOON, running).await.unwrap().unwrap();
    assert!(matches!(ended, ClientError::Broken(_) | ClientError::Ended), "{ended}");
}

#[tokio::test]
async fn a_machine_without_a_certificate_yet_comes_once_it_has_one() {
    let world = world().await;
    let machine = world.machine();
    let certificate = machine.identity.certificate.clone();
    let later = std::fs::read(&certificate).unwrap();
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(machine.once().await, ClientError::File { .. }));
    let running = tokio::spawn(async move { match machine.run(support::BACKOFF).await {} });
    std::fs::write(&certificate, later).unwrap();
    world.until_connected(true).await;
    running.abort();
}

#[tokio::test]
async fn after_the_operator_began_anew_its_machines_come_back() {
    let mut world = world().await;
    let machine = world.join().await;
    world.stop().await;
    assert!(!world.server.is_connected(NODE));
    world.start().await;
    world.until_connected(true).await;
    assert_eq!(ask(&mut world.dial().await, b"again").await, b"again");
    machine.abort();
}

#[tokio::test]
async fn a_machine_that_connects_again_takes_its_own_place() {
    let world = world().await;
    let machine = world.machine();
    let first = tokio::spawn(async move { machine.once().await });
    world.until_connected(true).await;
    let second = world.join().await;
    let ended = timeout(SOON, first).await.unwrap().unwrap();
    assert!(matches!(ended, ClientError::Broken(_) | ClientError::Ended), "{ended}");
    assert!(world.server.is_connected(NODE));
    assert_eq!(ask(&mut world.dial().await, b"new").await, b"new");
    second.abort();
}

#[tokio::test]
async fn a_machine_whose_claim_is_over_is_cut_and_nothing_listens_for_it() {
    let world = world().await;
    let machine = world.join().await;
    let mut open = world.dial().await;
    let failed = world.server.allow(&BTreeMap::new()).await;
    assert!(failed.is_empty());
    let cut = timeout(SOON, open.read(&mut [0])).await.unwrap();
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    assert!(!world.server.is_connected(NODE));
    let gone = timeout(SOON, async { while TcpStream::connect(world.door).await.is_ok() {} });
    gone.await.unwrap();
    machine.abort();
}

#[tokio::test]
async fn an_address_that_somebody_has_is_told_of_and_tried_again() {
    let world = world().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = taken.local_addr().unwrap();
    let nodes = BTreeMap::from([(NODE.to_owned(), world.door), ("other".to_owned(), at)]);
    let failed = world.server.allow(&nodes).await;
    assert!(matches!(&failed[..], [(node, ServerError::Listen { .. })] if node == "other"), "{failed:?}");
    drop(taken);
    assert!(world.server.allow(&nodes).await.is_empty());
    assert!(TcpStream::connect(at).await.is_ok());
}

/// Carries everything to `to`, until it is told to carry nothing any more: a cable that was cut, which tells nobody.
async fn cable(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let (cut, whole) = watch::channel(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
        while let Ok((mut here, _)) = listener.accept().await {
            let (mut whole, kept) = (whole.clone(), kept.clone());
            tokio::spawn(async move {
                let mut there = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                    _ = whole.wait_for(|whole| !whole) => kept.lock().unwrap().push((here, there)),
                }
            });
        }
    });
    (at, cut)
}

#[tokio::test]
async fn a_dead_end_is_noticed_by_both() {
    let quick = Limits { ping: Duration::from_millis(50), patience: Duration::from_millis(500), ..limits() };
    let world = World::new(quick, kubelet(echo).await).await;
    let (at, cut) = cable(world.address).await;
    let pair = world.cluster.user(&name(NODE), "system:nodes");
    let machine = world.machine_at(at, &pair, &world.ours);
    let running = tokio::spawn(async move { machine.once().await });
    world.until_connected(true).await;
    cut.send(false).unwrap();
    let ended = timeout(SOON, running).await.unwrap().unwrap();
    assert!(matches!(ended, ClientError::Silent), "{ended}");
    world.until_connected(false).await;
}
