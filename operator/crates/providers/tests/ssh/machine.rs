//! A member's machine for a test: an SSH server that runs what it is told, with a folder in the place of the disk.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cooperator_providers::{InstanceName, OwnMachine, SshMachine};
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// What goes wrong with the next command, or until it is put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It answers nobody.
    Down,
    /// Of the next command's input half comes through, and the connection breaks.
    Half,
    /// The next command is run, and the connection breaks before its answer.
    LostAnswer,
    /// Its user may not become root.
    NoRoot,
}

/// A machine.
pub struct Machine {
    name: &'static str,
    port: u16,
    seed: u8,
    root: TempDir,
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    fault: Mutex<Fault>,
    commands: Mutex<Vec<String>>,
    trusted: PublicKey,
}

impl Inner {
    /// The fault; one of the next command alone is over with that.
    fn take(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        match *fault {
            Fault::Half | Fault::LostAnswer => std::mem::take(&mut fault),
            lasting => lasting,
        }
    }
}

/// A private key of tests.
pub fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// The same as a Secret holds it.
pub fn secret(seed: u8) -> String {
    key(seed).to_openssh(LineEnding::LF).unwrap().to_string()
}

/// The key that all machines of tests let in.
pub const OURS: u8 = 1;

impl Machine {
    /// One that runs, with a host key of this seed.
    pub async fn start(name: &'static str, seed: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = tempfile::tempdir().unwrap();
        let inner = Arc::new(Inner {
            root: root.path().to_owned(),
            fault: Mutex::default(),
            commands: Mutex::default(),
            trusted: key(OURS).public_key().clone(),
        });
        let config = Arc::new(server::Config {
            keys: vec![key(seed)],
            auth_rejection_time: Duration::from_millis(1),
            ..server::Config::default()
        });
        let own = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *own.fault.lock().unwrap() == Fault::Down {
                    continue;
                }
                let guest = Guest { inner: Arc::clone(&own), command: String::new(), input: Vec::new() };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, guest).await {
                        drop(session.await);
                    }
                });
            }
        });
        Self { name, port, seed, root, inner }
    }

    /// It as a Provider names it.
    pub fn spec(&self) -> SshMachine {
        SshMachine {
            machine: OwnMachine {
                name: self.name.to_owned(),
                cpu_millis: 8000,
                memory_mib: 16384,
                gpus: None,
                hourly: "0.05".parse().unwrap(),
                address: Some("127.0.0.1".parse().unwrap()),
            },
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "root".to_owned(),
            host_key: key(self.seed).public_key().to_openssh().unwrap(),
        }
    }

    /// What goes wrong from now on.
    pub fn fail(&self, fault: Fault) {
        *self.inner.fault.lock().unwrap() = fault;
    }

    /// The commands that it was given, in order.
    pub fn commands(&self) -> Vec<String> {
        self.inner.commands.lock().unwrap().clone()
    }

    /// A file or folder of it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Processes that run for an instance.
    pub fn processes(&self, name: &InstanceName) -> usize {
        let mark = format!("COOPERATOR_INSTANCE={name}");
        let folders = std::fs::read_dir("/proc").unwrap().flatten();
        let of = |folder: std::fs::DirEntry| std::fs::read(folder.path().join("environ")).unwrap_or_default();
        folders
            .map(of)
            .filter(|text| text.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()))
            .count()
    }
}

/// Somebody who is logged in.
struct Guest {
    inner: Arc<Inner>,
    command: String,
    input: Vec<u8>,
}

impl Guest {
    /// Runs its command as a login shell does: all that it reads is under another root.
    async fn run(&self, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let root = format!("\nROOT={}\n", self.inner.root.display());
        let input = String::from_utf8_lossy(input).replacen("\nROOT=\n", &root, 1);
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A shell that stops reading has ended by itself.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()).await);
        let output = child.wait_with_output().await.unwrap();
        (output.stdout, output.stderr)
    }
}

impl server::Handler for Guest {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let is_trusted = key.public_key.key_data() == self.inner.trusted.key_data();
        Ok(if is_trusted { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.command = String::from_utf8_lossy(data).into_owned();
        self.inner.commands.lock().unwrap().push(self.command.clone());
        session.channel_success(channel)
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        self.input.extend_from_slice(data);
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let (out, err) = match self.inner.take() {
            Fault::Half => {
                self.run(&self.input[..self.input.len() / 2]).await;
                return Err(russh::Error::Disconnect);
            }
            Fault::LostAnswer => {
                self.run(&self.input).await;
                return Err(russh::Error::Disconnect);
            }
            Fault::NoRoot => (Vec::new(), b"sudo: a password is required\n".to_vec()),
            Fault::None | Fault::Down => self.run(&self.input).await,
        };
        let handle = session.handle();
        tokio::spawn(async move {
            let _ = handle.data(channel, out).await;
            let _ = handle.extended_data(channel, 1, err).await;
            let _ = handle.exit_status_request(channel, 0).await;
            let _ = handle.eof(channel).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}
