//! What this gateway may spend of each key, has spent, and has promised to calls under way. In memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cooperator_core::money::Amount;

/// Accounts by `metadata.uid` of the ApiKey.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<HashMap<String, Account>>);

/// One key's money at this gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// May be spent in all.
    pub granted: Amount,
    /// Has been spent in all.
    pub spent: Amount,
    /// Is promised.
    pub reserved: Amount,
    /// Was reported as spent.
    pub reported: Amount,
}

/// Money promised to one call. Dropped, it goes back.
#[derive(Debug)]
pub struct Hold {
    ledger: Arc<Ledger>,
    key: String,
    amount: Amount,
}

impl Ledger {
    /// A ledger that goes on from what the usage log says was spent, by key.
    pub fn recovered(spent: impl IntoIterator<Item = (String, Amount)>) -> Self {
        let account = |spent| Account { spent, ..Account::default() };
        Self(Mutex::new(spent.into_iter().map(|(key, spent)| (key, account(spent))).collect()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the account, undisturbed.
    pub(super) fn with<T>(&self, key: &str, act: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.lock();
        if let Some(account) = accounts.get_mut(key) {
            return act(account);
        }
        act(accounts.entry(key.to_owned()).or_default())
    }

    /// Promises `amount` within what was granted; `bounded` is false for a key without a budget. None if it does not
    /// reach.
    pub fn reserve(self: &Arc<Self>, key: &str, amount: Amount, bounded: bool) -> Option<Hold> {
        let promised = self.with(key, |account| {
            let reserved = account.reserved.plus(amount).ok()?;
            let reaches = account.spent.plus(reserved).is_ok_and(|sum| sum <= account.granted);
            if bounded && amount > Amount::ZERO && !reaches {
                return None;
            }
            account.reserved = reserved;
            Some(())
        });
        promised.map(|()| Hold { ledger: Arc::clone(self), key: key.to_owned(), amount })
    }

    /// Keys whose spending is not reported yet.
    pub fn unreported(&self) -> Vec<String> {
        self.keys(|account| account.spent != account.reported)
    }

    /// Keys of which anything is held or unreported.
    pub fn open(&self) -> Vec<String> {
        self.keys(|account| account.spent != account.reported || account.granted > account.spent)
    }

    fn keys(&self, filter: impl Fn(&Account) -> bool) -> Vec<String> {
        let accounts = self.lock();
        accounts.iter().filter(|(_, account)| filter(account)).map(|(key, _)| key.clone()).collect()
    }

    /// Spent of a key through this gateway, in all.
    pub fn spent(&self, key: &str) -> Amount {
        self.with(key, |account| account.spent)
    }
}

impl Hold {
    /// Spends `cost` of it, never more than was promised, and gives the rest back.
    pub fn settle(mut self, cost: Amount) {
        let cost = cost.min(self.amount);
        self.give_back(cost);
        self.amount = Amount::ZERO;
    }

    fn give_back(&mut self, cost: Amount) {
        self.ledger.with(&self.key, |account| {
            account.reserved = account.reserved.minus(self.amount).unwrap_or_default().max(Amount::ZERO);
            account.spent = account.spent.plus(cost).unwrap_or(account.spent);
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.amount > Amount::ZERO {
            self.give_back(Amount::ZERO);
        }
    }
}
