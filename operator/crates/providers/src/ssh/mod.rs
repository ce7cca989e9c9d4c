//! Machines of members' own, reached by SSH: nothing is rented, one is taken and given back.
//!
//! The machine itself holds which instance it runs: a file that is made whole, by one alone, before anything is started,
//! and that goes last. So an instance is found again after any crash, whatever became of the answer, and two never have one
//! machine. A machine that does not answer is neither free nor gone: of what it holds nothing is known, and a list without
//! it is none. Only one that was seen to be free, by this driver, which would have had to take it, can be left out.
//!
//! Over `russh`, on *ring* as all of our TLS: a library, not a program of the image that would want keys in files, and with
//! the server's side too, for tests.

mod control;
mod line;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::Offer;
use futures::future::join_all;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, decode_secret_key};

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Payload, Query};
use crate::error::Error;
use crate::http::{Hidden, Key, shown};
use crate::name::Tenant;
use crate::own::{self, OwnMachine};
use control::{Command, End, Look};
use line::{Fault, Place};

/// What they are called.
pub const VENDOR: &str = "SSH";

/// A machine of a member's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshMachine {
    /// What it is.
    pub machine: OwnMachine,
    /// Host name or IP address.
    pub host: String,
    /// Port of its SSH server.
    pub port: u16,
    /// Who logs in: `root`, or who becomes root by `sudo` without a password.
    pub user: String,
    /// Its host key, as `/etc/ssh/ssh_host_ed25519_key.pub` has it.
    pub host_key: String,
}

/// One of them, its host key read.
struct Known {
    it: SshMachine,
    host_key: PublicKey,
}

/// Their driver.
pub struct Ssh {
    machines: Vec<Known>,
    key: Arc<PrivateKey>,
    /// Names of machines that were free when they answered last.
    free: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssh({} machines)", self.machines.len())
    }
}

impl Ssh {
    /// A driver of these machines, which all let in this private key, in OpenSSH's form and without a passphrase.
    ///
    /// # Errors
    /// [`Error::Unauthorized`]: that is no such key. [`Error::Refused`]: the host key of a machine is none.
    pub fn new(machines: Vec<SshMachine>, key: &Key) -> Result<Self, Error> {
        let wrong = |what: &dyn fmt::Display| Error::Unauthorized {
            vendor: VENDOR,
            message: format!(
                "privateKey: {what}; it has to be an ed25519 or ecdsa key without a passphrase, as `ssh-keygen -t ed25519` makes it"
            ),
        };
        let key = decode_secret_key(key.reveal(), None).map_err(|error| wrong(&error))?;
        // Others can be read, and nothing can be signed with them here.
        if !matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. }) {
            return Err(wrong(&format!("it is of the kind {}", key.algorithm())));
        }
        let known = |it: SshMachine| {
            let host_key = PublicKey::from_openssh(&it.host_key)
                .map_err(|error| refused(format!("hostKey of machine `{}`: {error}", it.machine.name)))?;
            Ok(Known { it, host_key })
        };
        let machines = machines.into_iter().map(known).collect::<Result<_, _>>()?;
        Ok(Self { machines, key: Arc::new(key), free: Mutex::default() })
    }

    /// Has a machine do something, and returns what it said.
    async fn ask(&self, known: &Known, command: Command<'_>, hidden: &Hidden) -> Result<String, Error> {
        let SshMachine { machine, host, port, user, host_key: _ } = &known.it;
        let place = Place { host, port: *port, user, host_key: &known.host_key };
        let answer = line::run(&place, &self.key, &command.line(user), command.script()).await;
        let output = answer.map_err(|fault| self.fault(known, &command, fault))?;
        match control::said(&output.out) {
            Some(Ok(said)) => Ok(said.to_owned()),
            Some(Err(())) => {
                let last = output.err.lines().last().unwrap_or_default();
                let message = format!("it broke off: {}", hidden.scrub(last));
                Err(self.fault(known, &command, Fault::Lost(message)))
            }
            None => {
                // Why not, a shell that lets nobody in says on stdout.
                let mut words = output.err.lines().rev().chain(output.out.lines().rev());
                let last =
                    hidden.scrub(words.find(|line| !line.trim().is_empty()).unwrap_or("it said nothing"));
                Err(refused(shown(&format!(
                    "machine `{}`: user `{user}` cannot run `sh` as root without a password: {last}",
                    machine.name
                ))))
            }
        }
    }

    fn fault(&self, known: &Known, command: &Command<'_>, fault: Fault) -> Error {
        let SshMachine { machine, host, port, user, .. } = &known.it;
        let name = &machine.name;
        let scan = if *port == 22 { host.clone() } else { format!("-p {port} {host}") };
        match fault {
            Fault::Lost(message) if command.changes() => {
                Error::Ambiguous { vendor: VENDOR, message: shown(&format!("machine `{name}`: {message}")) }
            }
            Fault::Unreachable(message) | Fault::Lost(message) => Error::Unavailable {
                vendor: VENDOR,
                message: shown(&format!("machine `{name}` at {host}:{port}: {message}")),
            },
            Fault::HostKey(seen) => Error::HostKey {
                vendor: VENDOR,
                machine: name.clone(),
                message: format!(
                    "it showed {seen}, and spec.machines pins {}; if it was set up anew, put what `ssh-keyscan -t ed25519 {scan}` says into its hostKey, else somebody stands between",
                    known.host_key.fingerprint(HashAlg::Sha256)
                ),
            },
            Fault::KeyRefused => Error::Unauthorized {
                vendor: VENDOR,
                message: format!(
                    "machine `{name}` does not let user `{user}` in: add `{}` to its authorized_keys",
                    self.key.public_key().to_openssh().unwrap_or_default()
                ),
            },
        }
    }

    /// Who has a machine.
    async fn look(&self, known: &Known) -> Result<Look, Error> {
        let said = self.ask(known, Command::Look, &Hidden::default()).await?;
        let look = control::look(&said).ok_or_else(|| malformed(known, &said))?;
        self.note(known, look.taken.is_none());
        Ok(look)
    }

    fn note(&self, known: &Known, is_free: bool) {
        let name = &known.it.machine.name;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = if is_free { free.insert(name.clone()) } else { free.remove(name) };
    }

    fn was_free(&self, known: &Known) -> bool {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).contains(&known.it.machine.name)
    }

    /// All of them, each with what it says.
    async fn look_at_all(&self) -> Vec<(&Known, Result<Look, Error>)> {
        let looks = join_all(self.machines.iter().map(|known| self.look(known))).await;
        self.machines.iter().zip(looks).collect()
    }

    /// The machine of this name.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none any more: what runs on it is not known.
    fn known(&self, name: &str) -> Result<&Known, Error> {
        let found = self.machines.iter().find(|known| known.it.machine.name == name);
        found.ok_or_else(|| {
            refused(format!(
                "machine `{name}` is not in spec.machines any more: put it back, so that what runs there can be seen and ended"
            ))
        })
    }
}

fn refused(message: String) -> Error {
    Error::Refused { vendor: VENDOR, message }
}

fn malformed(known: &Known, said: &str) -> Error {
    let message = shown(&format!("machine `{}`: {said}", known.it.machine.name));
    Error::Malformed { vendor: VENDOR, message }
}

#[async_trait]
impl Driver for Ssh {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    /// The machine knows before it answers.
    fn settles_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Those that answer and are free. One that does not answer keeps no other back.
    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let (mut offers, mut errors) = (Vec::new(), Vec::new());
        for (known, look) in self.look_at_all().await {
            match look {
                Ok(Look { disk_gib, taken: None }) => offers.push(known.it.machine.offer(disk_gib, "")),
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        match errors.pop() {
            Some(error) if errors.len() + 1 == self.machines.len() => Err(error),
            _ => Ok(own::asked_for(offers, query)),
        }
    }

    /// Takes it. For an instance that has it already, that is done.
    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        let Payload::UserData(script) = &order.payload else {
            return Err(refused("a machine is no place for a container alone".to_owned()));
        };
        let known = self.known(&order.offer.id.0)?;
        self.note(known, false);
        let hidden = Hidden::of(&order.payload);
        let said = self.ask(known, Command::Create(&order.name, script), &hidden).await?;
        let look = control::look(&said).ok_or_else(|| malformed(known, &said))?;
        match look.taken {
            Some(taken) if taken.name == order.name => {
                Ok(known.it.machine.instance(&taken.name, taken.state, &taken.said))
            }
            Some(_) => {
                let message = format!("machine `{}` is taken", known.it.machine.name);
                Err(Error::NoCapacity { vendor: VENDOR, message })
            }
            None => Err(malformed(known, &said)),
        }
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let Some((machine, name)) = own::parse(id) else { return Ok(None) };
        let known = self.known(machine)?;
        let taken = self.look(known).await?.taken.filter(|taken| taken.name == name);
        Ok(taken.map(|taken| known.it.machine.instance(&name, taken.state, &taken.said)))
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let mut all = Vec::new();
        for (known, look) in self.look_at_all().await {
            let machine = &known.it.machine;
            match look {
                Ok(Look { taken: Some(taken), .. }) if taken.name.tenant() == tenant => {
                    all.push(machine.listed(machine.instance(&taken.name, taken.state, &taken.said)));
                }
                Ok(_) => {}
                Err(Error::Unavailable { .. }) if self.was_free(known) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Ends what it runs, and sets it free.
    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        let Some((machine, name)) = own::parse(id) else { return Ok(Deleted::Gone { at: None }) };
        let known = self.known(machine)?;
        let said = self.ask(known, Command::Delete(&name), &Hidden::default()).await?;
        match control::end(&said) {
            Some(End::Gone) => Ok(Deleted::Gone { at: None }),
            Some(End::Ending(_)) => Ok(Deleted::Ending),
            None => Err(malformed(known, &said)),
        }
    }

    /// Its owner is paid by the books: nobody sends a bill.
    async fn charged(&self, _id: &InstanceId) -> Result<Option<Charge>, Error> {
        Ok(None)
    }
}
