//! Machines that nobody rents out: they are there already, and one is taken and given back.

use std::net::IpAddr;

use cooperator_core::market::{CapacityType, Gpus, Granularity, HostId, Offer, OfferId, Shape, Terms};
use cooperator_core::money::PricePerHour;

use crate::driver::{Instance, InstanceId, Query, State};
use crate::name::InstanceName;

/// What stands between a machine and who has it, in an id.
const BETWEEN: char = '/';

/// A machine that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMachine {
    /// What it is called: once among all of a Provider's.
    pub name: String,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its GPUs, if it has any.
    pub gpus: Option<Gpus>,
    /// What its owner gets for an hour while it is taken; 0: nothing.
    pub hourly: PricePerHour,
    /// Where it can be reached, if that is known.
    pub address: Option<IpAddr>,
}

impl OwnMachine {
    /// What it offers while it is free, with so much disk.
    pub fn offer(&self, disk_gib: u64, region: &str) -> Offer {
        Offer {
            provider: String::new(),
            id: OfferId(self.name.clone()),
            host: Some(HostId(self.name.clone())),
            region: region.to_owned(),
            shape: Shape::Machine,
            capacity_type: CapacityType::OnDemand,
            cpu_millis: self.cpu_millis,
            memory_mib: self.memory_mib,
            disk_gib,
            gpus: self.gpus.clone(),
            gigaflops: None,
            reliability: None,
            until: None,
            terms: Terms { hourly: self.hourly, granularity: Granularity::Second, ..Terms::default() },
        }
    }

    /// What it is while somebody has it. What it costs is in the terms that were agreed when it was taken, and nobody but
    /// us knows since when.
    pub fn instance(&self, taken_by: &InstanceName, state: State, said: &str) -> Instance {
        Instance {
            id: self.id(taken_by),
            name: taken_by.clone(),
            state,
            said: said.to_owned(),
            address: self.address,
            since: None,
            hourly: None,
        }
    }

    /// The same for a list: with what an hour costs now, for whoever finds it there and knows of no terms.
    pub fn listed(&self, instance: Instance) -> Instance {
        Instance { hourly: Some(self.hourly), ..instance }
    }

    /// The id of it while it is somebody's. It is another id for the next one, whom a late deletion does not hit.
    pub fn id(&self, taken_by: &InstanceName) -> InstanceId {
        InstanceId(format!("{}{BETWEEN}{taken_by}", self.name))
    }
}

/// The name of the machine that an id is of, and who has or had it. None: it is no id of such a machine.
pub fn parse(id: &InstanceId) -> Option<(&str, InstanceName)> {
    let (machine, name) = id.0.rsplit_once(BETWEEN)?;
    Some((machine, InstanceName::parse(name)?))
}

/// Of these offers, those that are asked for.
pub fn asked_for(offers: Vec<Offer>, query: &Query) -> Vec<Offer> {
    offers.into_iter().filter(|offer| query.takes(offer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::NAME;

    #[test]
    fn an_id_names_the_machine_and_who_has_it() {
        let machine = OwnMachine {
            name: "attic".to_owned(),
            cpu_millis: 8000,
            memory_mib: 16384,
            gpus: None,
            hourly: "0.05".parse().unwrap(),
            address: None,
        };
        let name = InstanceName::parse(NAME).unwrap();
        let id = machine.id(&name);
        assert_eq!(parse(&id), Some(("attic", name.clone())));
        assert_eq!(parse(&InstanceId("attic".to_owned())), None);
        assert_eq!(parse(&InstanceId("attic/somebody".to_owned())), None);
        let instance = machine.instance(&name, State::Running, "it runs");
        assert_eq!(instance.hourly, None, "the terms that were agreed hold, whatever the price is now");
        assert_eq!(machine.listed(instance).hourly, Some(machine.hourly));
    }
}
