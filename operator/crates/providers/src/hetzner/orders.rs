//! Orders to Hetzner Cloud.

use std::collections::BTreeMap;

use super::VENDOR;
use super::wire::{Create, PublicNet};
use crate::driver::{Order, Payload};
use crate::error::Error;

/// Labels: who rents, and under which name, should somebody change it.
pub(super) const TENANT_LABEL: &str = "cooperator-tenant";
pub(super) const NAME_LABEL: &str = "cooperator-name";
/// What a server starts from.
const IMAGE: &str = "ubuntu-24.04";
/// Most bytes of user-data.
pub(super) const MOST_USER_DATA: usize = 32 << 10;

/// What it is told.
pub(super) fn create(order: &Order) -> Result<Create, Error> {
    let refused = |message: &str| Error::Refused { vendor: VENDOR, message: message.to_owned() };
    let (kind, location) =
        order.offer.id.0.split_once('@').ok_or_else(|| refused("the offer is none of its"))?;
    let Payload::UserData(user_data) = &order.payload else {
        return Err(refused("it rents machines that take user-data, and runs no containers"));
    };
    if user_data.len() > MOST_USER_DATA {
        return Err(refused("more than 32 KiB of user-data; it takes 32 KiB"));
    }
    let name = order.name.to_string();
    Ok(Create {
        server_type: kind.to_owned(),
        location: location.to_owned(),
        image: IMAGE,
        user_data: user_data.clone(),
        labels: BTreeMap::from([(TENANT_LABEL, order.name.tenant().to_string()), (NAME_LABEL, name.clone())]),
        start_after_create: true,
        public_net: PublicNet { enable_ipv4: true, enable_ipv6: true },
        name,
    })
}
