//! One replica works at a time: a Lease, after client-go.
//!
//! What counts is the time at which *this* replica saw the Lease change, on its own clock: clocks of other machines are
//! never compared. The holder stops its work when it could not renew for [`Timing::renew`], which is shorter than the
//! [`Timing::lease`] after which another takes over, so that two never work at once unless a process stands still in
//! between; and what it writes then fails on resource versions.

use std::future::Future;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, Config};
use tokio_util::sync::CancellationToken;

use crate::answer::{is_conflict, is_there};

/// How long each thing takes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A Lease that did not change for this long is free.
    pub lease: Duration,
    /// The holder gives up after this long without a renewal. Shorter than `lease`.
    pub renew: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    /// 15 s, 10 s, 2 s.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// How leading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop. The Lease is free.
    Stopped,
    /// It could not renew, or another holds the Lease. The process should end and start anew.
    Lost,
}

/// A candidate.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
}

/// The Lease as it was when it last changed.
#[derive(Debug)]
struct Seen {
    version: Option<String>,
    at: Instant,
}

/// A client for the Lease alone: without kube's retries, which would renew a Lease long after it was lost.
///
/// # Errors
/// When the configuration makes no client.
pub fn client(mut config: Config) -> kube::Result<Client> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(5));
    Client::try_from(config)
}

impl Election {
    /// A candidate `identity`, unique among the replicas, for the Lease `name`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity.to_owned(), timing, seen: None }
    }

    /// Waits until it leads, then does `work` until that ends, `stop` is cancelled or the Lease is lost. `work` gets a
    /// token that is cancelled in the last two cases, and is waited for; then the Lease is given back, if it is still
    /// held.
    pub async fn lead<F>(
        mut self,
        stop: CancellationToken,
        work: impl FnOnce(CancellationToken) -> F,
    ) -> Ended
    where
        F: Future<Output = ()>,
    {
        if !self.acquire(&stop).await {
            return Ended::Stopped;
        }
        tracing::info!(identity = self.identity, "this replica leads");
        let lost = CancellationToken::new();
        let mut working = std::pin::pin!(work(lost.clone()));
        let ended = tokio::select! {
            () = &mut working => {
                self.release().await;
                return Ended::Stopped;
            }
            () = stop.cancelled() => Ended::Stopped,
            () = self.hold() => Ended::Lost,
        };
        lost.cancel();
        if ended == Ended::Lost {
            // Another may lead already: what is under way is dropped, not finished.
            tracing::warn!(identity = self.identity, "this replica no longer leads");
            return ended;
        }
        if tokio::time::timeout(self.timing.renew, working).await.is_err() {
            tracing::warn!("work under way was cut short");
        }
        self.release().await;
        ended
    }

    /// False: it was stopped first.
    async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let tried = tokio::select! {
                () = stop.cancelled() => return false,
                tried = self.attempt() => tried,
            };
            match tried {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the Lease cannot be taken; it is tried again"),
            }
            let spread = self.timing.retry.mul_f64(1.0 + 0.2 * rand::random::<f64>());
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(spread) => {}
            }
        }
    }

    /// Renews until that fails for too long.
    async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let left = self.timing.renew.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the Lease cannot be renewed; it is tried again"),
                Err(_) => return,
            }
            if renewed.elapsed() >= self.timing.renew {
                return;
            }
        }
    }

    /// Takes or renews the Lease if it may. False: another holds it.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            let lease = self.lease(None);
            return match self.api.create(&PostParams::default(), &lease).await {
                Ok(lease) => Ok(self.see(&lease)),
                Err(error) if is_there(&error) => Ok(false),
                Err(error) => Err(error),
            };
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let fresh = self.seen.as_ref().is_none_or(|seen| seen.version != found.metadata.resource_version);
        if fresh {
            self.see(&found);
        }
        let expired = self.seen.as_ref().is_some_and(|seen| seen.at.elapsed() >= self.timing.lease);
        if holder != self.identity && !holder.is_empty() && !expired {
            return Ok(false);
        }
        match self.api.replace(&self.name, &PostParams::default(), &self.lease(Some(&found))).await {
            Ok(lease) => Ok(self.see(&lease)),
            // Somebody was faster: look again at the next try. A holder is told apart by its name then.
            Err(error) if is_conflict(&error) => Ok(holder == self.identity),
            Err(error) => Err(error),
        }
    }

    /// Notes that the Lease changed now.
    fn see(&mut self, lease: &Lease) -> bool {
        self.seen = Some(Seen { version: lease.metadata.resource_version.clone(), at: Instant::now() });
        true
    }

    /// The Lease, held by us from now.
    fn lease(&self, found: Option<&Lease>) -> Lease {
        let old = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = old.holder_identity.as_deref() == Some(&self.identity);
        let now = Some(MicroTime(Timestamp::now()));
        let transitions = old.lease_transitions.unwrap_or(0);
        let mut lease = found.cloned().unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.lease.as_secs())
                .ok()
                .map(|seconds| seconds.max(1)),
            acquire_time: if ours { old.acquire_time.clone() } else { now.clone() },
            renew_time: now,
            lease_transitions: Some(if ours || found.is_none() { transitions } else { transitions + 1 }),
            ..old
        });
        lease
    }

    /// Gives the Lease back, so that the next need not wait. Best effort: it runs out by itself.
    async fn release(&self) {
        let released = async {
            let mut lease = self.api.get(&self.name).await?;
            let Some(spec) =
                lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
            else {
                return Ok(());
            };
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the Lease was not given back; it runs out by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::ApiServer;

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/cooperator";
    const QUICK: Timing = Timing {
        lease: Duration::from_millis(300),
        renew: Duration::from_millis(200),
        retry: Duration::from_millis(20),
    };

    fn candidate(server: &ApiServer, identity: &str) -> Election {
        Election::new(server.client(), "system", "cooperator", identity, QUICK)
    }

    fn leading(
        server: &ApiServer,
        identity: &str,
        stop: &CancellationToken,
        leaders: &Arc<AtomicUsize>,
    ) -> tokio::task::JoinHandle<Ended> {
        let (election, stop, leaders) = (candidate(server, identity), stop.clone(), leaders.clone());
        tokio::spawn(async move {
            let work = |lost: CancellationToken| async move {
                leaders.fetch_add(1, Ordering::SeqCst);
                lost.cancelled().await;
                leaders.fetch_sub(1, Ordering::SeqCst);
            };
            election.lead(stop, work).await
        })
    }

    fn holder(server: &ApiServer) -> String {
        let lease = server.object(LEASE).unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn one_of_two_leads_and_the_other_follows_at_once_when_it_stops() {
        let (server, leaders) = (ApiServer::default(), Arc::default());
        let (first_stop, second_stop) = (CancellationToken::new(), CancellationToken::new());
        let first = leading(&server, "first", &first_stop, &leaders);
        tokio::time::sleep(QUICK.retry).await;
        let second = leading(&server, "second", &second_stop, &leaders);
        tokio::time::sleep(QUICK.lease * 2).await;
        assert_eq!((leaders.load(Ordering::SeqCst), holder(&server).as_str()), (1, "first"));
        first_stop.cancel();
        assert_eq!(first.await.unwrap(), Ended::Stopped);
        tokio::time::sleep(QUICK.retry * 3).await;
        assert_eq!((leaders.load(Ordering::SeqCst), holder(&server).as_str()), (1, "second"));
        second_stop.cancel();
        second.await.unwrap();
        assert_eq!(holder(&server), "");
    }

    #[tokio::test]
    async fn a_leader_that_cannot_renew_ends_before_another_begins() {
        let (server, leaders, stop) = (ApiServer::default(), Arc::default(), CancellationToken::new());
        let first = leading(&server, "first", &stop, &leaders);
        tokio::time::sleep(QUICK.retry * 2).await;
        server.set_down(true);
        assert_eq!(tokio::time::timeout(QUICK.lease, first).await.unwrap().unwrap(), Ended::Lost);
    }

    #[tokio::test]
    async fn a_lease_that_no_longer_changes_is_taken_over() {
        let (server, leaders, stop) = (ApiServer::default(), Arc::default(), CancellationToken::new());
        assert!(candidate(&server, "dead").attempt().await.unwrap());
        let second = leading(&server, "second", &stop, &leaders);
        tokio::time::sleep(QUICK.lease / 2).await;
        assert_eq!(holder(&server), "dead");
        tokio::time::sleep(QUICK.lease).await;
        assert_eq!(holder(&server), "second");
        stop.cancel();
        second.await.unwrap();
    }
}
