//! Client: one command on one machine, over a connection of its own. The machine has to show the host key that is pinned;
//! no password is ever tried.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelMsg, Disconnect, Preferred};
use tokio::time::timeout;

use crate::driver::PATIENCE;

/// Longest until a machine has let us in.
const CONNECT: Duration = Duration::from_secs(8);
/// Longest that a command may take then: together less than [`PATIENCE`].
const RUN: Duration = PATIENCE.saturating_sub(Duration::from_secs(10));
/// Most that is read of what a command says.
const MOST: usize = 64 << 10;

/// Where a machine is, and who it is.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) user: &'a str,
    pub(super) host_key: &'a PublicKey,
}

/// What a command said.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    pub(super) out: String,
    pub(super) err: String,
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be reached: nothing happened.
    Unreachable(String),
    /// It is another, or somebody stands between: its fingerprint, or that it has none. Nothing happened.
    HostKey(String),
    /// It does not take our key for this user. Nothing happened.
    KeyRefused,
    /// The command was sent, and what came of it is not known.
    Lost(String),
}

/// Looks at the machine's host key alone.
struct Guard {
    pinned: PublicKey,
    shown: Arc<std::sync::Mutex<Option<String>>>,
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let (is_pinned, text) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                (key.key_data() == self.pinned.key_data(), key.fingerprint(HashAlg::Sha256).to_string())
            }
            PublicKeyOrCertificate::Certificate(_) => (false, "a certificate".to_owned()),
        };
        if !is_pinned {
            *self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(text);
        }
        Ok(is_pinned)
    }
}

/// Runs a command on a machine, its input sent, and returns what it said.
///
/// # Errors
/// [`Fault`]
pub(super) async fn run(
    place: &Place<'_>,
    key: &Arc<PrivateKey>,
    command: &str,
    input: String,
) -> Result<Output, Fault> {
    let unreachable = |error: &dyn std::fmt::Display| Fault::Unreachable(error.to_string());
    let session = match timeout(CONNECT, enter(place, key)).await {
        Ok(entered) => entered?,
        Err(late) => return Err(unreachable(&format!("{late} after {} s", CONNECT.as_secs()))),
    };
    let channel = match timeout(CONNECT, session.channel_open_session()).await {
        Ok(channel) => channel.map_err(|error| unreachable(&error))?,
        Err(late) => return Err(unreachable(&late)),
    };
    let answer = timeout(RUN, converse(channel, command, input)).await;
    // Whatever it says to that: the command has ended, or is not waited for.
    drop(session.disconnect(Disconnect::ByApplication, "", "en").await);
    match answer {
        Ok(answer) => answer.map_err(Fault::Lost),
        Err(_) => Err(Fault::Lost(format!("no answer within {} s", RUN.as_secs()))),
    }
}

/// Connects, and is let in.
async fn enter(place: &Place<'_>, key: &Arc<PrivateKey>) -> Result<Handle<Guard>, Fault> {
    let shown = Arc::default();
    let guard = Guard { pinned: place.host_key.clone(), shown: Arc::clone(&shown) };
    // Of its host keys it is to show the one that can be pinned.
    let preferred = Preferred { key: Cow::Borrowed(&[Algorithm::Ed25519]), ..Preferred::default() };
    let config = client::Config { preferred, nodelay: true, ..client::Config::default() };
    let session = client::connect(Arc::new(config), (place.host, place.port), guard).await;
    let mut session = session.map_err(|error| {
        let another = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match (another, &error) {
            (Some(fingerprint), _) => Fault::HostKey(fingerprint),
            (None, russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => {
                Fault::HostKey("no ed25519 key (`ssh-keygen -A` makes one)".to_owned())
            }
            (None, _) => Fault::Unreachable(error.to_string()),
        }
    })?;
    let key = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
    match session.authenticate_publickey(place.user, key).await {
        Ok(answer) if answer.success() => Ok(session),
        Ok(_) => Err(Fault::KeyRefused),
        Err(error) => Err(Fault::Unreachable(error.to_string())),
    }
}

/// Sends the command and its input, and reads until the machine closes.
async fn converse(
    mut channel: russh::Channel<client::Msg>,
    command: &str,
    input: String,
) -> Result<Output, String> {
    let told = |error: russh::Error| error.to_string();
    channel.exec(true, command).await.map_err(told)?;
    channel.data_bytes(input.into_bytes()).await.map_err(told)?;
    channel.eof().await.map_err(told)?;
    let (mut out, mut err, mut has_ended) = (Vec::new(), Vec::new(), false);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } if err.len() < MOST => err.extend_from_slice(&data),
            // Without that the connection broke: it may run still.
            ChannelMsg::ExitStatus { .. } => has_ended = true,
            ChannelMsg::Failure => return Err("it runs no commands for this user".to_owned()),
            ChannelMsg::Close => break,
            _ => {}
        }
        if out.len() > MOST {
            return Err(format!("it said more than {MOST} bytes"));
        }
    }
    if !has_ended {
        return Err("the connection broke".to_owned());
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { out: text(out), err: text(err) })
}
