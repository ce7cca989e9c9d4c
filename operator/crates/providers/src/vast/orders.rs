//! Orders to Vast.ai.

use std::collections::BTreeMap;

use cooperator_core::market::CapacityType;

use super::VENDOR;
use super::offers::SPOT;
use super::wire::Create;
use crate::decimal::Exact;
use crate::driver::{Instance, InstanceId, Order, Payload, State};
use crate::error::Error;

/// Smallest disk, in GB.
pub(super) const LEAST_DISK_GB: u64 = 8;
/// Most characters of arguments and script together.
pub(super) const MOST_SCRIPT: usize = 4096;
/// What a virtual machine starts from: only images of this repository are taken.
const VM_IMAGE: &str = "docker.io/vastai/kvm:ubuntu_terminal";

/// The ask that an order is for, and what it is told.
pub(super) fn create(order: &Order) -> Result<(String, Create), Error> {
    let refused = |message: String| Error::Refused { vendor: VENDOR, message };
    let ask = order.offer.id.0.strip_suffix(SPOT).unwrap_or(&order.offer.id.0);
    if ask.is_empty() || !ask.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused("the offer is none of its: its offers are numbers".to_owned()));
    }
    let price = match (order.offer.capacity_type, order.bid) {
        (CapacityType::OnDemand, _) => None,
        (CapacityType::Spot, Some(bid)) => Some(Exact(bid)),
        (CapacityType::Spot, None) => return Err(refused("a spot offer is rented for a bid".to_owned())),
    };
    let base = Create {
        image: String::new(),
        label: order.name.to_string(),
        disk: order.disk_gib.max(LEAST_DISK_GB),
        // Keeps the image's entrypoint.
        runtype: "args",
        target_state: "running",
        cancel_unavail: true,
        vm: false,
        env: BTreeMap::new(),
        args: Vec::new(),
        onstart: None,
        price,
    };
    let body = match &order.payload {
        Payload::Container(container) => Create {
            image: container.image.clone(),
            env: container.environment.iter().cloned().collect(),
            args: container.arguments.clone(),
            ..base
        },
        Payload::UserData(script) => Create {
            image: VM_IMAGE.to_owned(),
            vm: true,
            runtype: "ssh",
            onstart: Some(script.clone()),
            ..base
        },
    };
    let length =
        body.args.iter().map(String::len).sum::<usize>() + body.onstart.as_ref().map_or(0, String::len);
    if length > MOST_SCRIPT {
        let message = format!("arguments or script of {length} characters; it takes {MOST_SCRIPT}");
        return Err(refused(message));
    }
    Ok((ask.to_owned(), body))
}

/// What an order has made. A refusal that tells an id has made something that is stopped, costs, and must be deleted.
pub(super) fn made(order: &Order, id: u64, well: bool) -> Instance {
    let (state, said) =
        if well { (State::Pending, "created") } else { (State::Stopped, "refused, and created") };
    Instance {
        id: InstanceId(id.to_string()),
        name: order.name.clone(),
        state,
        said: said.to_owned(),
        address: None,
        since: None,
        hourly: None,
    }
}
