//! Tells the cluster what keys have spent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::budget::Funds;
use crate::snapshot::Snapshot;

/// Reports every `interval` what is new, until `stop`.
pub async fn report(
    funds: Arc<Funds>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    interval: Duration,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        each(&funds, &snapshot, funds.ledger().unreported(), false).await;
    }
}

/// Reports all, and gives back every part of a budget that is not spent. For the end, when no call is under way.
pub async fn give_back(funds: &Funds, snapshot: &watch::Receiver<Arc<Snapshot>>) {
    each(funds, snapshot, funds.ledger().open(), true).await;
}

async fn each(funds: &Funds, snapshot: &watch::Receiver<Arc<Snapshot>>, uids: Vec<String>, release: bool) {
    let snapshot = Arc::clone(&snapshot.borrow());
    for uid in uids {
        // A key revoked since has left the snapshot, but was called by name before; one that is not known at all was
        // revoked while the gateway was down.
        let known = || snapshot.keys().find(|key| key.uid == uid).map(|key| key.name.clone());
        let Some(name) = funds.name(&uid).or_else(known) else { continue };
        if let Err(error) = funds.report(&name, &uid, release).await {
            tracing::warn!(%error, key = name, "what a key has spent could not be reported; trying again");
        }
    }
}
