//! Machines that really run, beside a local cluster: each is namespaces of this host that run the received user-data, or
//! one container by containerd alone.

mod container;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cooperator_cluster::machine::Machine;

use super::{Backend, Key, Payload, Reporter, Started};

/// How long a machine that is to go is tried again where something of it stays.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of what a machine printed that its logs show, from the end.
const LOG: usize = 64 << 10;

/// Starts machines beside the cluster whose state folder it is given. What takes time is done on threads of its own, for
/// each machine one after another.
#[derive(Clone, Debug)]
pub struct Local {
    cluster: PathBuf,
    slots: Arc<Mutex<BTreeMap<Key, Arc<Slot>>>>,
}

/// One machine.
#[derive(Debug, Default)]
struct Slot {
    /// What it is called; none: it never was to start.
    name: Mutex<Option<String>>,
    /// Held while it is started or stopped.
    turn: Mutex<()>,
    /// Whether it is to run: a stop that comes while it starts is not forgotten.
    wanted: Mutex<bool>,
}

impl Local {
    /// Machines beside the cluster in this folder.
    pub fn new(cluster: &Path) -> Self {
        Self { cluster: cluster.to_owned(), slots: Arc::default() }
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        locked(&self.slots).entry(key).or_default().clone()
    }

    fn machine(&self, key: Key) -> Option<Machine> {
        let name = locked(&self.slot(key).name).clone()?;
        Machine::find(&self.cluster, &name)
    }
}

impl Backend for Local {
    fn start(&self, started: &Started, reporter: Reporter) {
        let (slot, cluster) = (self.slot(started.key), self.cluster.clone());
        let name = format!("{}-{}", started.vendor, started.key);
        let is_container = matches!(started.payload, Payload::Container(_));
        let script = match &started.payload {
            Payload::UserData(script) => Ok(script.clone()),
            Payload::Container(container) => container::script(&cluster, &name, container),
        };
        *locked(&slot.name) = Some(name.clone());
        *locked(&slot.wanted) = true;
        thread::spawn(move || {
            let _turn = locked(&slot.turn);
            if !*locked(&slot.wanted) {
                return;
            }
            let started = script.and_then(|script| {
                let machine = Machine::start(&cluster, &name, &script).map_err(|error| error.to_string())?;
                // Nothing can dial what is rented, as behind most routers.
                machine.close().map_err(|error| error.to_string())?;
                Ok::<_, String>(machine)
            });
            match started {
                Ok(machine) if is_container => {
                    let slot = slot.clone();
                    thread::spawn(move || container::watch(&machine, &reporter, || *locked(&slot.wanted)));
                }
                Ok(machine) => reporter.running(Some(machine.address.into())),
                Err(error) => reporter.failed(&error),
            }
        });
    }

    fn stop(&self, key: Key) {
        let (slot, cluster) = (self.slot(key), self.cluster.clone());
        *locked(&slot.wanted) = false;
        thread::spawn(move || {
            let _turn = locked(&slot.turn);
            let Some(name) = locked(&slot.name).clone() else { return };
            let began = Instant::now();
            while let Some(Err(error)) = Machine::find(&cluster, &name).map(|machine| machine.stop()) {
                eprintln!("machine {name} stays: {error}");
                if began.elapsed() > PATIENCE {
                    return;
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
    }

    /// The power button is pressed at once; at the end of the notice the plug is pulled, as for any that is taken away.
    fn notice(&self, key: Key, _seconds: u64) {
        if let Some(Err(error)) = self.machine(key).map(|machine| machine.power_off()) {
            eprintln!("a machine heard no notice: {error}");
        }
    }

    fn logs(&self, key: Key) -> Option<String> {
        let bytes = fs::read(self.machine(key)?.console()).ok()?;
        let tail = bytes.get(bytes.len().saturating_sub(LOG)..).unwrap_or_default();
        Some(String::from_utf8_lossy(tail).into_owned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
