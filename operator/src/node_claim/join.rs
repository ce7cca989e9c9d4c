//! Client: what a machine is given so that it joins: a token of its own, and the script of its first start.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_api::node_claim::{Bootstrap, NodeClaim};
use cooperator_core::time::Timestamp;
use cooperator_join::token::{NAMESPACE, secret_name};
use cooperator_join::user_data::{self, Taint};
use cooperator_join::{Claim, Token, UserData};
use cooperator_kit::answer::{is_absent, is_there};
use cooperator_providers::Payload;
use cooperator_rental::Record;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};

use crate::domain::{Hold, parse_time};
use crate::first_script;
use crate::pipeline::{Error, Pipeline};
use crate::rent::Rent;

/// Characters of a claim's name that its node's name begins with.
const NAME: usize = 45;

/// How a machine joins, for status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joining {
    /// What its node is to be called.
    pub node_name: String,
    /// Its token, by its public part. None: it joins by none, being a node already or a container.
    pub bootstrap: Option<Bootstrap>,
}

/// What a claim is to tokens and nodes, which know no namespace.
pub fn claim_of(claim: &NodeClaim) -> Claim {
    Claim {
        namespace: claim.namespace().unwrap_or_default(),
        name: claim.name_any(),
        uid: claim.uid().unwrap_or_default(),
    }
}

/// What the node of a launch is called: another name for each, so that a machine that was given up never comes back as the
/// next one's node.
pub fn node_name(claim: &NodeClaim, launch: u32) -> String {
    let name: String = claim.name_any().chars().take(NAME).collect();
    let uid: String =
        claim.uid().unwrap_or_default().chars().filter(char::is_ascii_hexdigit).take(8).collect();
    format!("{}-{uid}-{launch}", name.trim_end_matches('-'))
}

/// What a machine is given that is a node already: nothing. It joins by being taken.
pub fn of_node(name: &str) -> (Payload, Joining) {
    (Payload::UserData(String::new()), Joining { node_name: name.to_owned(), bootstrap: None })
}

/// The user-data of the newest launch, of at most `most` bytes, its token already in its Secret; or why there is none.
///
/// # Errors
/// [`Error`]; calling again gives a new token and takes the old one away.
pub async fn payload(
    rent: &Rent,
    claim: &NodeClaim,
    record: &Record,
    most: Option<usize>,
    now: Timestamp,
) -> Result<Result<(Payload, Joining), Hold>, Error> {
    let number = record.launches.last().map_or(0, |launch| launch.number);
    forget_token(&rent.pipeline, claim).await?;
    let owner = claim_of(claim);
    let token = Token::of_launch(&owner, number)
        .map_err(|error| Error::Domain(format!("no bootstrap token can be made: {error}")))?;
    let expires = Token::expires(now);
    let node_name = node_name(claim, number);
    let bootstrap =
        Some(Bootstrap { token_id: token.id().to_owned(), expires_at: expires.to_string(), csr: None });
    let tunnel = match &rent.tunnel {
        None => None,
        Some(tunnel) => {
            let full = || Error::Domain("every port of --rented-tunnel-ports has a machine".to_owned());
            Some(tunnel.of_machine().await.ok_or_else(full)?)
        }
    };
    let taints = claim.spec.startup_taints.iter().chain(&claim.spec.taints).map(|taint| Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: taint.effect.clone(),
    });
    let secret = token.secret(&owner, expires);
    let rest = rent.rest();
    let data = UserData {
        api_server: rest.api_server.to_owned(),
        ca_pem: rest.ca_pem.to_owned(),
        token,
        node_name: node_name.clone(),
        labels: labels(claim),
        claim: owner,
        taints: taints.collect(),
        artifacts: rest.artifacts.to_vec(),
        sandbox_image: rest.sandbox_image.to_owned(),
        pod_subnet: rest.pod_subnet.to_owned(),
        tunnel,
        kubelet: rent.site.setup.kubelet.clone(),
        containerd: rest.containerd.to_owned(),
    };
    let script = match script(&data, rent.pipeline.site.outside_url(), most) {
        Ok(script) => script,
        Err(hold) => return Ok(Err(hold)),
    }; // pure
    put(&rent.pipeline, &secret).await?;
    Ok(Ok((Payload::UserData(script), Joining { node_name, bootstrap })))
}

/// All of the script, or where that is more than the vendor takes, a first stage that fetches the rest from the operator.
fn script(data: &UserData, outside: Option<&str>, most: Option<usize>) -> Result<String, Hold> {
    let refused = |error: user_data::Error| {
        Hold::new(
            "UserDataInvalid",
            format!("a machine of this Provider can be given no first script: {error}"),
        )
    };
    let whole = data.render().map_err(refused)?;
    let Some(most) = most.filter(|most| whole.len() > *most) else { return Ok(whole) };
    let Some(base) = outside.and_then(first_script::base) else {
        let message = format!(
            "the machine's first script has {} bytes, this vendor takes {most}, and the rest can be fetched nowhere: set \
             rentedNodes.progressUrl",
            whole.len()
        );
        return Err(Hold::new("NoProgressUrl", message));
    };
    data.staged(&base, most).map_err(refused)
}

/// The labels by which its node tells whose it is.
pub fn labels(claim: &NodeClaim) -> BTreeMap<String, String> {
    [
        (names::LABEL_NODE_CLAIM, claim.name_any()),
        (names::LABEL_NODE_CLAIM_NAMESPACE, claim.namespace().unwrap_or_default()),
        (names::LABEL_NODE_POOL, claim.spec.node_pool_ref.name.clone()),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

/// Makes the Secret of a token, in place of one of the same id that an operator left behind which died before it used it.
/// It is not read: the right to would be a right to every Secret of `kube-system`.
async fn put(pipeline: &Pipeline, wanted: &Secret) -> Result<(), Error> {
    let name = wanted.name_any();
    let write = |error| Error::write(format!("Secret `{name}`"))(error);
    match secrets(pipeline).create(&PostParams::default(), wanted).await {
        Err(error) if is_there(&error) => {}
        made => return made.map(drop).map_err(write),
    }
    remove(pipeline, &name).await?;
    secrets(pipeline).create(&PostParams::default(), wanted).await.map(drop).map_err(write)
}

async fn remove(pipeline: &Pipeline, name: &str) -> Result<(), Error> {
    match secrets(pipeline).delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(Error::write(format!("Secret `{name}`"))(error)),
    }
}

/// Takes the claim's token away: its machine has joined, or is not to any more.
///
/// # Errors
/// [`Error::Write`]
pub async fn forget_token(pipeline: &Pipeline, claim: &NodeClaim) -> Result<(), Error> {
    let bootstrap = claim.status.as_ref().and_then(|status| status.bootstrap.as_ref());
    match bootstrap {
        Some(bootstrap) => remove(pipeline, &secret_name(&bootstrap.token_id)).await,
        None => Ok(()),
    }
}

/// Whether a token of the claim may still be there.
pub fn has_token(claim: &NodeClaim, now: Timestamp) -> bool {
    let bootstrap = claim.status.as_ref().and_then(|status| status.bootstrap.as_ref());
    let live = bootstrap.filter(|bootstrap| !bootstrap.token_id.is_empty());
    live.and_then(|bootstrap| parse_time(&bootstrap.expires_at)).is_some_and(|expires| now < expires)
}

fn secrets(pipeline: &Pipeline) -> Api<Secret> {
    Api::namespaced(pipeline.client.clone(), NAMESPACE)
}
