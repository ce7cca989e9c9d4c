//! Orders to Lambda Cloud.

use super::VENDOR;
use super::wire::{Launch, NAME_TAG, TENANT_TAG, Tag};
use crate::driver::{Instance, InstanceId, Order, Payload, State};
use crate::error::Error;

/// Most bytes of user-data.
const MOST_USER_DATA: usize = 1 << 20;

/// What it is told.
pub(super) fn launch(order: &Order, ssh_key: String) -> Result<Launch, Error> {
    let refused = |message: &str| Error::Refused { vendor: VENDOR, message: message.to_owned() };
    let (kind, region) =
        order.offer.id.0.split_once('@').ok_or_else(|| refused("the offer is none of its"))?;
    let Payload::UserData(user_data) = &order.payload else {
        return Err(refused("it rents machines that take user-data, and runs no containers"));
    };
    if user_data.len() > MOST_USER_DATA {
        return Err(refused("more than 1 MiB of user-data; it takes 1 MiB"));
    }
    let name = order.name.to_string();
    let tag = |key: &str, value: String| Tag { key: key.to_owned(), value };
    Ok(Launch {
        region_name: region.to_owned(),
        instance_type_name: kind.to_owned(),
        ssh_key_names: [ssh_key],
        hostname: name.clone(),
        user_data: user_data.clone(),
        tags: [tag(TENANT_TAG, order.name.tenant().to_string()), tag(NAME_TAG, name.clone())],
        name,
    })
}

/// What an order has made.
pub(super) fn launched(order: &Order, id: String) -> Instance {
    Instance {
        id: InstanceId(id),
        name: order.name.clone(),
        state: State::Pending,
        said: "launched".to_owned(),
        address: None,
        since: None,
        hourly: Some(order.offer.terms.hourly),
    }
}
