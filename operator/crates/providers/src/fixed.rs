//! Machines that are there already: nothing is made and nothing ends, one is only reserved and set free again.
//!
//! Who has which is not kept here but by the caller, in what it writes down about its machines: it makes the driver anew
//! from that, as often as it likes. A reservation that was never written down is thereby free.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::{CapacityType, Gpus, Granularity, HostId, Offer, OfferId, Shape, Terms};
use cooperator_core::money::PricePerHour;

use crate::driver::{Charge, Deleted, Driver, Instance, InstanceId, Order, Query, State};
use crate::error::Error;
use crate::name::{InstanceName, Tenant};

/// What they are called.
pub const VENDOR: &str = "Static";

/// What stands between a machine and who has it, in an id.
const BETWEEN: char = '/';

/// A machine that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedMachine {
    /// What it is called: once among all of a Provider's.
    pub name: String,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in GiB.
    pub disk_gib: u64,
    /// Its GPUs, if it has any.
    pub gpus: Option<Gpus>,
    /// What its owner gets for an hour; 0: nothing.
    pub hourly: PricePerHour,
    /// Where it is: for requirements.
    pub region: String,
    /// Where it can be reached, if that is known.
    pub address: Option<IpAddr>,
}

impl FixedMachine {
    fn offer(&self) -> Offer {
        Offer {
            provider: String::new(),
            id: OfferId(self.name.clone()),
            host: Some(HostId(self.name.clone())),
            region: self.region.clone(),
            shape: Shape::Machine,
            capacity_type: CapacityType::OnDemand,
            cpu_millis: self.cpu_millis,
            memory_mib: self.memory_mib,
            disk_gib: self.disk_gib,
            gpus: self.gpus.clone(),
            gigaflops: None,
            reliability: None,
            until: None,
            terms: Terms { hourly: self.hourly, granularity: Granularity::Second, ..Terms::default() },
        }
    }

    fn instance(&self, taken_by: &InstanceName) -> Instance {
        Instance {
            id: Fixed::id(&self.name, taken_by),
            name: taken_by.clone(),
            state: State::Running,
            said: "reserved".to_owned(),
            address: self.address,
            since: None,
            hourly: Some(self.hourly),
        }
    }
}

/// The machines of one Provider, and who has them.
pub struct Fixed {
    machines: Vec<FixedMachine>,
    /// By the machine's name.
    taken: Mutex<BTreeMap<String, InstanceName>>,
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fixed({} machines, {} taken)", self.machines.len(), self.lock().len())
    }
}

impl Fixed {
    /// These machines, of which some are taken, each by the name of a machine that was created.
    pub fn new(machines: Vec<FixedMachine>, taken: BTreeMap<String, InstanceName>) -> Self {
        Self { machines, taken: Mutex::new(taken) }
    }

    /// Which machines are taken now, and by whom.
    pub fn taken(&self) -> BTreeMap<String, InstanceName> {
        self.lock().clone()
    }

    /// The id of a machine while it is somebody's. It is another id for the next one, whom a late deletion does not hit.
    pub fn id(machine: &str, taken_by: &InstanceName) -> InstanceId {
        InstanceId(format!("{machine}{BETWEEN}{taken_by}"))
    }

    /// The machine that an id is of, and who has or had it. None: it is no id of these.
    pub fn parse(id: &InstanceId) -> Option<(String, InstanceName)> {
        let (machine, name) = id.0.rsplit_once(BETWEEN)?;
        Some((machine.to_owned(), InstanceName::parse(name)?))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, InstanceName>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Driver for Fixed {
    fn vendor(&self) -> &'static str {
        VENDOR
    }

    fn settles_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Those that are free.
    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        let taken = self.lock();
        let free = self.machines.iter().filter(|machine| !taken.contains_key(&machine.name));
        Ok(free.map(FixedMachine::offer).filter(|offer| query.takes(offer)).collect())
    }

    /// Reserves it. For one that has it already, that is done.
    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        let machine = self.machines.iter().find(|machine| machine.name == order.offer.id.0);
        let no_capacity = |what: &str| {
            let message = format!("{} {what}", order.offer.id);
            Error::NoCapacity { vendor: VENDOR, message }
        };
        let machine = machine.ok_or_else(|| no_capacity("is not among its machines"))?;
        let mut taken = self.lock();
        let taken_by = taken.entry(machine.name.clone()).or_insert_with(|| order.name.clone());
        if *taken_by == order.name { Ok(machine.instance(&order.name)) } else { Err(no_capacity("is taken")) }
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        let Some((machine, name)) = Self::parse(id) else { return Ok(None) };
        let is_taken = self.lock().get(&machine) == Some(&name);
        let found = self.machines.iter().find(|other| is_taken && other.name == machine);
        Ok(found.map(|machine| machine.instance(&name)))
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        let taken = self.lock();
        let whose = |machine: &FixedMachine| taken.get(&machine.name).map(|name| machine.instance(name));
        let all = self.machines.iter().filter_map(whose);
        Ok(all.filter(|machine| machine.name.tenant() == tenant).collect())
    }

    /// Sets it free.
    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        if let Some((machine, name)) = Self::parse(id) {
            let mut taken = self.lock();
            if taken.get(&machine) == Some(&name) {
                taken.remove(&machine);
            }
        }
        Ok(Deleted::Gone { at: None })
    }

    /// Nobody sends a bill.
    async fn charged(&self, _id: &InstanceId) -> Result<Option<Charge>, Error> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{NAME, order, tenant};

    fn machine(name: &str) -> FixedMachine {
        FixedMachine {
            name: name.to_owned(),
            cpu_millis: 8000,
            memory_mib: 16384,
            disk_gib: 100,
            gpus: None,
            hourly: "0.05".parse().unwrap(),
            region: "attic".to_owned(),
            address: None,
        }
    }

    fn two() -> Fixed {
        Fixed::new(vec![machine("a"), machine("b")], BTreeMap::new())
    }

    fn other() -> Order {
        let name = tenant().name("ffffffff-4e5f-6071-8293-a4b5c6d7e8f9").unwrap();
        Order { name, ..order("a", Shape::Machine) }
    }

    #[tokio::test]
    async fn a_machine_is_reserved_once_and_is_no_offer_until_it_is_free() {
        let fixed = two();
        let made = fixed.create(&order("a", Shape::Machine)).await.unwrap();
        assert_eq!((made.id.0.as_str(), made.state), (format!("a/{NAME}").as_str(), State::Running));
        assert_eq!(fixed.create(&order("a", Shape::Machine)).await.unwrap(), made);
        assert_eq!(fixed.create(&other()).await.unwrap_err().kind(), "NoCapacity");
        let free = fixed.offers(&Query::default()).await.unwrap();
        assert_eq!(free.iter().map(|offer| offer.id.0.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(fixed.list(&tenant()).await.unwrap(), std::slice::from_ref(&made));
        assert_eq!(fixed.delete(&made.id).await.unwrap(), Deleted::Gone { at: None });
        assert_eq!(fixed.get(&made.id).await.unwrap(), None);
        assert_eq!(fixed.offers(&Query::default()).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_late_deletion_does_not_take_the_machine_from_the_next_one() {
        let fixed = two();
        let first = fixed.create(&order("a", Shape::Machine)).await.unwrap();
        fixed.delete(&first.id).await.unwrap();
        let next = fixed.create(&other()).await.unwrap();
        fixed.delete(&first.id).await.unwrap();
        assert_eq!(fixed.get(&next.id).await.unwrap(), Some(next));
    }

    #[tokio::test]
    async fn what_was_written_down_is_all_that_is_taken() {
        let name = InstanceName::parse(NAME).unwrap();
        let fixed = Fixed::new(vec![machine("a")], BTreeMap::from([("a".to_owned(), name.clone())]));
        assert!(fixed.offers(&Query::default()).await.unwrap().is_empty());
        assert_eq!(fixed.get(&Fixed::id("a", &name)).await.unwrap().unwrap().name, name);
        assert_eq!(fixed.create(&order("c", Shape::Machine)).await.unwrap_err().kind(), "NoCapacity");
        assert_eq!(fixed.taken().len(), 1);
    }
}
