//! Client: what a claim's machine teaches about its Provider: hosts that are not taken for a while, and when to pause.

use cooperator_api::provider::{BlockedHost, Provider};
use cooperator_core::time::{SignedDuration, Timestamp, later, whole_second};
use cooperator_kit::answer::{is_absent, is_conflict};
use cooperator_rental::{Breaker, News, Reason, Settings, Target};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::domain::{duration, parse_time};
use crate::pipeline::Error;
use crate::rent::{OFFER, Rent};

/// Blocks that a status holds.
const MOST: usize = 64;

/// How often a Provider that others write to meanwhile is read anew: every claim there may have news in the same second.
const TRIES: usize = 8;

/// Writes down what of the news of a machine, that was ordered at `launched`, concerns the Provider. `provider` may be old.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`]; the news is not told again, so that a machine's failure may go uncounted.
pub async fn note(rent: &Rent, provider: &Provider, launched: Timestamp, news: &[News]) -> Result<(), Error> {
    let now = rent.pipeline.clock.now();
    let (namespace, name) = (provider.namespace().unwrap_or_default(), provider.name_any());
    let api: Api<Provider> = Api::namespaced(rent.pipeline.client.clone(), &namespace);
    let mut read = provider.clone();
    for tries in 1.. {
        let Some(patch) = patch(&read, launched, news, now) else { break };
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => break,
            Err(error) if is_absent(&error) => break,
            Err(error) if is_conflict(&error) && tries < TRIES => {}
            Err(error) => return Err(Error::write(format!("Provider `{name}`"))(error)),
        }
        let Some(changed) = rent.pipeline.get(&namespace, &name).await? else { break };
        read = changed;
    }
    Ok(())
}

/// Pure: the change, if there is one.
fn patch(
    provider: &Provider,
    launched: Timestamp,
    news: &[News],
    now: Timestamp,
) -> Option<serde_json::Value> {
    let status = provider.status.clone().unwrap_or_default();
    let settings = settings(provider);
    let read = |text: &String| parse_time(text);
    let mut breaker = Breaker {
        failures: status.failures.iter().filter_map(read).collect(),
        paused_until: status.paused_until.as_ref().and_then(read),
    };
    let before = breaker.clone();
    let mut blocks = status.blocked_hosts.clone();
    for one in news {
        match one {
            News::Running { .. } => breaker.succeeded(&settings, launched),
            early if early.turn().is_some() => {}
            News::Ending { reason, .. } | News::NotMade { reason, .. } if counts(*reason) => {
                breaker.failed(&settings, now)
            }
            News::Block { target, reason } => block(&mut blocks, target, *reason, now),
            _ => {}
        }
    }
    blocks.retain(|block| parse_time(&block.until).is_some_and(|until| now < until));
    let excess = blocks.len().saturating_sub(MOST);
    blocks.drain(..excess);
    (breaker != before || blocks != status.blocked_hosts).then(|| {
        let written = |time: &Timestamp| whole_second(*time).to_string();
        json!({
            "metadata": { "resourceVersion": provider.resource_version() },
            "status": {
                "failures": breaker.failures.iter().map(written).collect::<Vec<_>>(),
                "pausedUntil": breaker.paused_until.as_ref().map(written),
                "blockedHosts": blocks,
            },
        })
    })
}

fn settings(provider: &Provider) -> Settings {
    let breaker = &provider.spec.breaker;
    Settings {
        failures: usize::try_from(breaker.failures).unwrap_or(1),
        window: duration(&breaker.window).try_into().unwrap_or_default(),
        pause: duration(&breaker.pause).try_into().unwrap_or_default(),
    }
}

/// Whether it speaks against the vendor. That an offer was gone is the market, and that spot is taken away is its nature.
fn counts(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LaunchTimeout
            | Reason::RegistrationTimeout
            | Reason::PreflightFailed
            | Reason::Failed
            | Reason::Vanished
            | Reason::Unanswered
    )
}

fn block(blocks: &mut Vec<BlockedHost>, target: &Target, reason: Reason, now: Timestamp) {
    let host = match target {
        Target::Host(host) => host.to_string(),
        Target::Offer(offer) => format!("{OFFER}{offer}"),
    };
    let long = match reason {
        // It lies: what it says next is not believed soon.
        Reason::PreflightFailed => SignedDuration::from_hours(24),
        Reason::NoCapacity => SignedDuration::from_mins(2),
        // Somebody pays more for it, or its host has other plans for now.
        Reason::BidRefused | Reason::Refused | Reason::Preempted => SignedDuration::from_mins(10),
        _ => SignedDuration::from_hours(1),
    };
    blocks.retain(|block| block.host != host);
    let until = whole_second(later(now, long)).to_string();
    blocks.push(BlockedHost { host, until, reason: reason.label().to_owned() });
}
