//! A cluster's authority, an operator's end, a machine's end, and a kubelet that does as it is told: all on loopback.

#![allow(dead_code, clippy::unwrap_used)] // each file of tests uses a part of it

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cooperator_core::backoff::Backoff;
use cooperator_core::time::{TestClock, Timestamp};
use cooperator_tunnel::{Client, Identity, Limits, Server, tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

pub const NODE: &str = "claim-0a1b2c3d-1";
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
/// Whatever should happen happens within this.
pub const SOON: Duration = Duration::from_secs(20);

pub fn limits() -> Limits {
    Limits {
        window: 64 << 10,
        ping: Duration::from_millis(200),
        patience: Duration::from_secs(3),
        ..Limits::default()
    }
}

/// A certificate and its key, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    pub fn user(&self, name: &str, group: &str) -> Pair {
        self.sign(&user(name, group))
    }

    pub fn server(&self) -> Pair {
        let mut params = CertificateParams::new(vec!["tunnel.test".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }
}

pub fn user(name: &str, group: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// An operator's end at its address, and what its machines are to show and believe.
pub struct World {
    pub cluster: Authority,
    pub ours: Authority,
    pub limits: Limits,
    pub clock: TestClock,
    pub server: Server,
    /// Where machines dial it.
    pub address: SocketAddr,
    /// Where others dial the machine's kubelet.
    pub door: SocketAddr,
    pub kubelet: SocketAddr,
    folder: TempDir,
    pair: Pair,
    running: Option<JoinHandle<()>>,
}

impl World {
    /// With an operator, whose live claim is to have the node [`NODE`]; no machine yet.
    pub async fn new(limits: Limits, kubelet: SocketAddr) -> Self {
        let (cluster, ours) = (Authority::new(), Authority::new());
        let pair = ours.server();
        let clock = TestClock::new(Timestamp::from_second(1_796_083_200).unwrap());
        let (server, folder) = (Server::new(limits, Arc::new(clock.clone())), TempDir::new().unwrap());
        let (address, door) = (free().await, free().await);
        let mut world = Self {
            cluster,
            ours,
            limits,
            clock,
            server,
            address,
            door,
            kubelet,
            folder,
            pair,
            running: None,
        };
        world.start().await;
        world
    }

    pub async fn start(&mut self) {
        self.server = Server::new(self.limits, Arc::new(self.clock.clone()));
        let failed = self.server.allow(&BTreeMap::from([(NODE.to_owned(), self.door)])).await;
        assert!(failed.is_empty(), "{failed:?}");
        let (certificate, key) = (self.pair.certificate.as_bytes(), self.pair.key.as_bytes());
        let config = tls::server(certificate, key, self.cluster.pem().as_bytes()).unwrap();
        let listener = TcpListener::bind(self.address).await.unwrap();
        let server = self.server.clone();
        self.running = Some(tokio::spawn(async move { match server.run(listener, config).await {} }));
    }

    pub async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
        self.server.allow(&BTreeMap::new()).await;
        self.server = Server::new(self.limits, Arc::new(self.clock.clone()));
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path: &Path = self.folder.path();
        std::fs::write(path.join(name), text).unwrap();
        path.join(name)
    }

    /// A machine that shows this, and dials there.
    pub fn machine_at(&self, server: SocketAddr, shows: &Pair, believes: &Authority) -> Client {
        let identity = Identity {
            authority: self.write("ca.crt", &believes.pem()),
            certificate: self.write("kubelet.crt", &shows.certificate),
            key: self.write("kubelet.key", &shows.key),
        };
        Client {
            identity,
            server: server.to_string(),
            server_name: "tunnel.test".to_owned(),
            target: self.kubelet,
            limits: self.limits,
        }
    }

    /// A machine that is what it should be.
    pub fn machine(&self) -> Client {
        let pair = self.cluster.user(&format!("system:node:{NODE}"), "system:nodes");
        self.machine_at(self.address, &pair, &self.ours)
    }

    /// It connects, and connects again.
    pub async fn join(&self) -> JoinHandle<()> {
        let machine = self.machine();
        let running = tokio::spawn(async move { match machine.run(BACKOFF).await {} });
        self.until_connected(true).await;
        running
    }

    pub async fn until_connected(&self, connected: bool) {
        let waited = timeout(SOON, async {
            while self.server.is_connected(NODE) != connected {
                sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap();
    }

    pub async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.door).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// An address at which nothing listens.
pub async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A kubelet that does this with each connection.
pub async fn kubelet<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(256).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

/// Sends back what comes, and ends when that ends.
pub async fn echo(mut socket: TcpStream) {
    let (mut reader, mut writer) = socket.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// Sends this and reads what comes back until the end.
pub async fn ask(socket: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = socket.split();
    let mut answer = Vec::new();
    let asked = async {
        writer.write_all(text).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let whole = timeout(SOON, async { tokio::join!(asked, reader.read_to_end(&mut answer)).1 });
    whole.await.unwrap().unwrap();
    answer
}
