//! Pure: machines of a Provider's spec, as drivers take them.

use cooperator_api::provider::{Machine, Provider};
use cooperator_core::market::Gpus;
use cooperator_core::money::MoneyError;
use cooperator_providers::{OwnMachine, SshMachine};

use crate::domain::{Hold, mebibytes, millis};

/// Where SSH servers listen.
const SSH_PORT: u16 = 22;

/// A machine as it is described.
///
/// # Errors
/// [`Hold`] with reason MachineInvalid, naming the machine; the API lets none through.
pub fn own(machine: &Machine) -> Result<OwnMachine, Hold> {
    let name = &machine.name;
    let gpus = match &machine.gpus {
        Some(gpus) => Some(Gpus {
            model: Gpus::model_name(&gpus.model),
            count: u32::try_from(gpus.count).unwrap_or_default(),
            memory_mib: mebibytes(&gpus.memory).ok_or_else(|| invalid(name, "gpus.memory"))?,
        }),
        None => None,
    };
    Ok(OwnMachine {
        name: name.clone(),
        cpu_millis: millis(&machine.cpu).ok_or_else(|| invalid(name, "cpu"))?,
        memory_mib: mebibytes(&machine.memory).ok_or_else(|| invalid(name, "memory"))?,
        gpus,
        hourly: machine
            .price_per_hour
            .parse()
            .map_err(|error: MoneyError| invalid(name, &format!("pricePerHour: {error}")))?,
        address: machine.address.as_ref().and_then(|address| address.parse().ok()),
    })
}

/// Every machine of a Provider of type SSH.
///
/// # Errors
/// [`Hold`] with reason MachineInvalid.
pub fn by_ssh(provider: &Provider) -> Result<Vec<SshMachine>, Hold> {
    let one = |machine: &Machine| {
        let needed = |text: &Option<String>, field| text.clone().ok_or_else(|| invalid(&machine.name, field));
        Ok(SshMachine {
            machine: own(machine)?,
            host: needed(&machine.address, "address")?,
            port: machine.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(SSH_PORT),
            user: needed(&machine.user, "user")?,
            host_key: needed(&machine.host_key, "hostKey")?,
        })
    };
    provider.spec.machines.iter().map(one).collect()
}

/// Every machine of a Provider of type Static, each by the name of its node: that is there once, whatever it is called here.
///
/// # Errors
/// [`Hold`] with reason MachineInvalid.
pub fn nodes(provider: &Provider) -> Result<Vec<OwnMachine>, Hold> {
    let one = |machine: &Machine| {
        let node = machine.node.clone().ok_or_else(|| invalid(&machine.name, "node"))?;
        Ok(OwnMachine { name: node, ..own(machine)? })
    };
    provider.spec.machines.iter().map(one).collect()
}

fn invalid(machine: &str, field: &str) -> Hold {
    Hold::new(
        "MachineInvalid",
        format!("machine `{machine}` in spec.machines: {field} is missing or cannot be read"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn provider(machine: serde_json::Value) -> Provider {
        serde_json::from_value(json!({
            "apiVersion": "cooperator.dev/v1alpha1", "kind": "Provider", "metadata": { "name": "members" },
            "spec": {
                "collectiveRef": { "name": "presidents" }, "type": "SSH", "secretRef": { "name": "ssh" }, "machines": [machine],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_members_machine_is_what_its_spec_says() {
        let machines = by_ssh(&provider(json!({
            "name": "attic", "address": "192.0.2.7", "user": "coop", "hostKey": "ssh-ed25519 AAAA", "pricePerHour": "0.05",
            "cpu": "7500m", "memory": "16Gi", "gpus": { "model": "RTX 4090", "count": 1, "memory": "24Gi" },
        })))
        .unwrap();
        let SshMachine { machine, host, port, user, host_key } = machines[0].clone();
        assert_eq!(
            (host.as_str(), port, user.as_str(), host_key.as_str()),
            ("192.0.2.7", 22, "coop", "ssh-ed25519 AAAA")
        );
        assert_eq!((machine.cpu_millis, machine.memory_mib), (7500, 16384));
        assert_eq!(machine.gpus, Some(Gpus { model: "rtx-4090".into(), count: 1, memory_mib: 24576 }));
        assert_eq!(machine.hourly.to_string(), "0.05");
    }

    #[test]
    fn a_machine_that_cannot_be_read_is_named() {
        let machine = json!({ "name": "attic", "address": "a", "user": "coop", "cpu": 1, "memory": "1Gi" });
        let hold = by_ssh(&provider(machine)).unwrap_err();
        assert!(hold.message.contains("`attic`") && hold.message.contains("hostKey"), "{}", hold.message);
    }
}
