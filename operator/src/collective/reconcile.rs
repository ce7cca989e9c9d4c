//! The steps, in order.

use std::sync::Arc;
use std::time::Duration;

use cooperator_api::collective::Collective;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};

use super::status::{Gateway, Storage};
use super::{apply, build, status, storage};
use crate::context::{Context, Error};
use crate::domain::Hold;
use crate::pipeline::again;
use crate::report::Fields;

/// Field manager of this controller.
pub const MANAGER: &str = "cooperator-collective";
/// How often what cannot be watched (Secrets, RoleBindings, storage) is looked at while it is awaited.
const AWAIT: Duration = Duration::from_secs(10);
/// What of status another controller does not own.
const OURS: Fields = Fields::Only(&["observedGeneration", "conditions", "members", "storage", "gatewayUrl"]);

/// Brings one Collective nearer to what its spec asks for. Nothing outside the cluster is undone when it is deleted:
/// the bucket with everyone's works stays.
///
/// # Errors
/// [`Error`]: nothing is lost by calling again.
pub async fn reconcile(collective: Arc<Collective>, context: Arc<Context>) -> Result<Action, Error> {
    if collective.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let storage = match storage::ensure(&context, &collective).await {
        Err(error) if error.is_forbidden() => Storage::unknown(not_granted(&context, &collective)),
        storage => storage?,
    }; // client
    let gateway = match &storage.location {
        None => Gateway::Held(Hold::new(
            "StorageNotReady",
            "the gateway waits for object storage: see StorageReady",
        )),
        Some(location) => {
            let wanted = build::gateway(&collective, location, &context.pipeline.site); // pure
            match apply::apply(&context, &collective, wanted).await {
                Err(error) if error.is_forbidden() => Gateway::Held(not_granted(&context, &collective)),
                applied => Gateway::Applied(Box::new(applied?)),
            } // client
        }
    };
    let waits = storage.hold.is_some() || matches!(gateway, Gateway::Held(_));
    let findings = status::findings(&storage, &gateway); // pure
    let status = status::status(&collective, storage, &gateway); // pure
    let pipeline = &context.pipeline;
    let reporter = pipeline.reporter(MANAGER, OURS);
    reporter.report(&*collective, &status, &findings, pipeline.clock.now()).await?; // client
    Ok(again(waits.then_some(AWAIT)))
}

/// The one reason for which the API server refuses us in a namespace, and the way out.
fn not_granted(context: &Context, collective: &Collective) -> Hold {
    let (account_namespace, account) = context.service_account.split_once('/').unwrap_or_default();
    let namespace = collective.namespace().unwrap_or_default();
    let message = format!(
        "the operator may not work in namespace `{namespace}`: kubectl create rolebinding cooperator -n {namespace} \
         --clusterrole={} --serviceaccount={account_namespace}:{account}",
        cooperator_api::names::CLUSTER_ROLE_COLLECTIVE,
    );
    Hold::new("NamespaceNotGranted", message)
}

/// The owner of everything made for `collective`.
pub fn owner(collective: &Collective) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
    collective.controller_owner_ref(&()).unwrap_or_default()
}
