//! What is promised to one call, from before it goes upstream until its row is in the log.

use std::sync::Arc;
use std::time::Instant;

use cooperator_contract::usage::{UsageRow, UsageStatus};
use cooperator_core::digest::Digest;
use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;

use crate::budget::{FundsError, Hold};
use crate::call::Gateway;
use crate::error::ApiError;
use crate::limits::{Bound, Taken, Unit};
use crate::meter::Counted;
use crate::request::Checked;
use crate::snapshot::{Key, Route, RoutePrice};
use crate::wal::WalError;

/// Tokens a minute and money of one call. Dropped, all goes back and nothing is billed.
pub struct Ticket {
    gateway: Arc<Gateway>,
    key: Option<Arc<Key>>,
    route: Arc<Route>,
    adapter: Option<Digest>,
    hold: Option<Hold>,
    taken: Option<Taken>,
    likely_input: u64,
    most_input: u64,
    most_output: u64,
}

impl Ticket {
    /// Reserves the worst case of a checked request.
    ///
    /// # Errors
    /// [`ApiError`] where a limit or the budget does not allow it, or the gateway takes nothing now.
    pub async fn book(
        gateway: &Arc<Gateway>,
        replicas: u32,
        key: Option<Arc<Key>>,
        route: Arc<Route>,
        checked: &Checked,
    ) -> Result<Self, ApiError> {
        if !gateway.wal.admits() {
            return Err(ApiError::Unavailable("its usage log is full or cannot be written"));
        }
        // On a public route nobody pays, whoever calls.
        let key = key.filter(|_| !route.public);
        let bounds = bounds(key.as_deref(), &route, checked.most_input.saturating_add(checked.most_output));
        let taken = gateway.limiter.take(&bounds, replicas, Instant::now())?;
        let mut ticket = Self {
            gateway: Arc::clone(gateway),
            key,
            adapter: route.adapter,
            route,
            hold: None,
            taken: Some(taken),
            likely_input: checked.likely_input,
            most_input: checked.most_input,
            most_output: checked.most_output,
        };
        if let Some(key) = &ticket.key {
            let worst = ticket.route.price.amount(checked.most_input, checked.most_output);
            let hold = gateway.funds.reserve(key, worst).await.map_err(|error| refuse(&error, worst))?;
            ticket.hold = Some(hold);
        }
        Ok(ticket)
    }

    /// The gateway.
    pub const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The server says which adapter answers: what is earned is that one's, whatever the Deployment says by now.
    pub const fn answered_by(&mut self, adapter: Digest) {
        self.adapter = Some(adapter);
    }

    /// Writes the row down and settles the money; returns when it is on disk. It goes on if the caller leaves now.
    ///
    /// # Errors
    /// [`WalError`]: nothing may be answered in full.
    pub async fn finish(self, status: UsageStatus, counted: Counted) -> Result<(), WalError> {
        let tracker = self.gateway.tracker.clone();
        tracker.spawn(self.post(status, counted)).await.map_err(|_| WalError::Stopped)?
    }

    async fn post(mut self, status: UsageStatus, counted: Counted) -> Result<(), WalError> {
        let (input_tokens, output_tokens) = match status {
            UsageStatus::Failed => (0, 0),
            UsageStatus::Completed | UsageStatus::Disconnected => (
                counted.input.unwrap_or(self.likely_input).min(self.most_input),
                counted.output.unwrap_or(0).min(self.most_output),
            ),
        };
        let row = self.row(status, input_tokens, output_tokens);
        self.gateway.wal.append(row.clone()).await?;
        self.gateway.metrics.used(&row);
        if let Some(hold) = self.hold.take() {
            hold.settle(self.route.price.amount(input_tokens, output_tokens));
        }
        self.give_back_tokens(input_tokens.saturating_add(output_tokens));
        Ok(())
    }

    fn row(&self, status: UsageStatus, input_tokens: u64, output_tokens: u64) -> UsageRow {
        let (key, consumer, price) = match &self.key {
            Some(key) => (key.uid.clone(), key.consumer.clone(), self.route.price.tag.clone()),
            None => {
                let free =
                    RoutePrice::new(&self.route.price.tag.currency, Default::default(), Default::default());
                (String::new(), String::new(), free.tag)
            }
        };
        UsageRow {
            gateway: String::new(),
            sequence: 0,
            time: Timestamp::UNIX_EPOCH,
            key,
            consumer,
            deployment: self.route.deployment.clone(),
            adapter: self.adapter,
            input_tokens,
            output_tokens,
            price,
            status,
        }
    }

    fn give_back_tokens(&mut self, used: u64) {
        if let Some(taken) = self.taken.take() {
            self.gateway.limiter.settle(taken, used);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back_tokens(0);
    }
}

fn refuse(error: &FundsError, worst: Amount) -> ApiError {
    match error {
        FundsError::Short => ApiError::Quota(worst.to_string()),
        FundsError::Store(_) | FundsError::Money(_) => {
            tracing::warn!(%error, "a prepaid budget could not be exchanged");
            ApiError::Unavailable("the key's budget cannot be checked")
        }
    }
}

/// A key's own bounds, and those of the Deployment for it. All public callers of a Deployment share one.
fn bounds(key: Option<&Key>, route: &Route, tokens: u64) -> Vec<Bound> {
    let uid = key.map_or("", |key| key.uid.as_str());
    let mut bounds = Vec::with_capacity(4);
    let mut add = |scope: String, unit, per_minute: Option<u32>, cost| {
        if let Some(per_minute) = per_minute {
            bounds.push(Bound { scope, unit, per_minute, cost });
        }
    };
    let here = format!("{uid}/{}", route.deployment);
    add(uid.to_owned(), Unit::Requests, key.and_then(|key| key.requests_per_minute), 1);
    add(here.clone(), Unit::Requests, Some(route.limits.requests_per_minute), 1);
    add(uid.to_owned(), Unit::Tokens, key.and_then(|key| key.tokens_per_minute), tokens);
    add(here, Unit::Tokens, Some(route.limits.tokens_per_minute), tokens);
    bounds
}
