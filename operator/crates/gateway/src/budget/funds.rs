//! Joins the ledger with the budgets in the cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cooperator_core::money::{Amount, MoneyError};

use super::lease::{self, Claim, LeaseState};
use super::{Hold, Ledger};
use crate::snapshot::Key;

/// Where a key's [`LeaseState`] lies, with compare-and-swap.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// What it says now, and its version.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn read(&self, name: &str, uid: &str) -> Result<(LeaseState, String), StoreError>;

    /// Writes it if it still has this version.
    ///
    /// # Errors
    /// [`StoreError`]; it may then have been written or not.
    async fn write(
        &self,
        name: &str,
        state: &LeaseState,
        gateway: &str,
        version: String,
    ) -> Result<Written, StoreError>;
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Done,
    /// Somebody wrote meanwhile: read again.
    Conflict,
}

/// A budget that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such ApiKey any more.
    #[error("ApiKey is gone")]
    Gone,
    /// The API server does not answer, or refuses.
    #[error("budget of the ApiKey cannot be exchanged ({0})")]
    Unavailable(String),
}

/// Money that cannot be promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FundsError {
    /// The budget does not cover it.
    #[error("the prepaid budget does not cover it")]
    Short,
    /// Whether it does cannot be found out now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Amounts out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// How often an exchange is tried when others write meanwhile.
const ATTEMPTS: u32 = 16;
/// How long a refusal is remembered, so that a key without money does not burden the API server.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Promises money.
pub struct Funds {
    ledger: Arc<Ledger>,
    store: Arc<dyn LeaseStore>,
    gateway: String,
    turns: Mutex<HashMap<String, Turn>>,
}

/// Exchanges of one key come one after another.
#[derive(Clone, Default)]
struct Turn {
    name: String,
    lock: Arc<tokio::sync::Mutex<()>>,
    refused: Option<(Instant, Amount)>,
}

impl Funds {
    /// For the gateway with this id.
    pub fn new(ledger: Arc<Ledger>, store: Arc<dyn LeaseStore>, gateway: &str) -> Self {
        Self { ledger, store, gateway: gateway.to_owned(), turns: Mutex::default() }
    }

    /// The accounts.
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Promises `amount` to a call.
    ///
    /// # Errors
    /// [`FundsError`]
    pub async fn reserve(&self, key: &Key, amount: Amount) -> Result<Hold, FundsError> {
        let bounded = key.budget.is_some();
        let turn = self.turn(&key.uid, &key.name);
        if let Some(hold) = self.ledger.reserve(&key.uid, amount, bounded) {
            return Ok(hold);
        }
        if refused(&turn, amount) {
            return Err(FundsError::Short);
        }
        let _mine = turn.lock.lock().await;
        // Whoever had the turn before may have brought enough for both, or learnt that there is none.
        if let Some(hold) = self.ledger.reserve(&key.uid, amount, bounded) {
            return Ok(hold);
        }
        if refused(&self.turn(&key.uid, &key.name), amount) {
            return Err(FundsError::Short);
        }
        self.exchange(&key.name, &key.uid, amount, false).await?;
        let hold = self.ledger.reserve(&key.uid, amount, bounded);
        if hold.is_none() {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(key.uid.clone()).or_default().refused = Some((Instant::now(), amount));
        }
        hold.ok_or(FundsError::Short)
    }

    /// Reports what a key has spent, and with `release` gives back what is not promised.
    ///
    /// # Errors
    /// [`FundsError`]
    pub async fn report(&self, name: &str, uid: &str, release: bool) -> Result<(), FundsError> {
        let turn = self.turn(uid, name);
        let _mine = turn.lock.lock().await;
        self.exchange(name, uid, Amount::ZERO, release).await
    }

    /// Name of an ApiKey that has been called with, by its uid.
    pub fn name(&self, uid: &str) -> Option<String> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.get(uid).map(|turn| turn.name.clone())
    }

    fn turn(&self, uid: &str, name: &str) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(uid) {
            return turn.clone();
        }
        let new = Turn { name: name.to_owned(), ..Turn::default() };
        turns.entry(uid.to_owned()).or_insert(new).clone()
    }

    async fn exchange(&self, name: &str, uid: &str, need: Amount, release: bool) -> Result<(), FundsError> {
        for _ in 0..ATTEMPTS {
            let (state, version) = self.store.read(name, uid).await?;
            // What is given back must not be promised again while the write is under way: it leaves the account in
            // the same moment as it is computed. What is received enters only once it is written.
            let (next, lease) = self.ledger.with(uid, |account| {
                let claim = Claim {
                    gateway: &self.gateway,
                    spent: account.spent,
                    reported: account.reported,
                    reserved: account.reserved,
                    need,
                    release,
                };
                let (next, lease) = lease::exchange(&state, &claim)?;
                account.granted = account.granted.min(lease.granted);
                Ok::<_, MoneyError>((next, lease))
            })?;
            if next == state || self.store.write(name, &next, &self.gateway, version).await? == Written::Done
            {
                self.ledger.with(uid, |account| {
                    account.granted = lease.granted;
                    account.reported = lease.spent;
                });
                return Ok(());
            }
        }
        Err(StoreError::Unavailable(format!("{ATTEMPTS} conflicts in a row")).into())
    }
}

fn refused(turn: &Turn, amount: Amount) -> bool {
    turn.refused.is_some_and(|(at, least)| amount >= least && at.elapsed() < REFUSED_FOR)
}
