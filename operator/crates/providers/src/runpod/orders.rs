//! Orders to RunPod.

use super::VENDOR;
use super::offers::Choice;
use super::wire::{Create, GpuOrder};
use crate::driver::{Order, Payload};
use crate::error::Error;

/// Most variables of a pod's environment.
const MOST_VARIABLES: usize = 50;

/// What it is told.
pub(super) fn create(order: &Order) -> Result<Create, Error> {
    let refused = |message: &str| Error::Refused { vendor: VENDOR, message: message.to_owned() };
    let choice = Choice::parse(&order.offer.id).ok_or_else(|| refused("the offer is none of its"))?;
    let Payload::Container(container) = &order.payload else {
        return Err(refused("it runs containers, and no user-data"));
    };
    if container.environment.len() > MOST_VARIABLES {
        return Err(refused("more than 50 variables of environment; it takes 50"));
    }
    let quoted: Vec<String> = container.arguments.iter().map(|argument| quoted(argument)).collect();
    Ok(Create {
        name: order.name.to_string(),
        image: container.image.clone(),
        args: quoted.join(" "),
        env: container.environment.iter().cloned().collect(),
        // What it calls GB is taken for GiB here and in its price alike, so that the bill is the same.
        disk: order.disk_gib.max(1),
        gpu: GpuOrder { id: choice.gpu, count: choice.count },
        cloud: choice.cloud,
        data_center_ids: Some(choice.data_center).into_iter().filter(|center| !center.is_empty()).collect(),
    })
}

/// An argument as a shell reads it back.
fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_read_back_by_a_shell() {
        for (argument, written) in [
            ("run", "run"),
            ("--a=b", "--a=b"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(quoted(argument), written);
        }
    }
}
