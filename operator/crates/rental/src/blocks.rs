//! Hosts and offers that are not taken for a while, because a machine there failed.

use cooperator_core::market::{HostId, Offer, OfferId};
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::Reason;

/// Blocks that are remembered at most; what ends first is forgotten first.
pub const MOST_BLOCKS: usize = 64;

/// What is blocked, at one Provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A host, whatever is offered on it.
    Host(HostId),
    /// An offer, where the vendor tells no host.
    Offer(OfferId),
}

impl Target {
    /// What stands for an offer: its host where that is known.
    pub fn of(offer: &Offer) -> Self {
        offer.host.clone().map_or_else(|| Self::Offer(offer.id.clone()), Self::Host)
    }

    /// Whether it holds this offer.
    pub fn holds(&self, offer: &Offer) -> bool {
        match self {
            Self::Host(host) => offer.host.as_ref() == Some(host),
            Self::Offer(id) => offer.id == *id,
        }
    }
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// What.
    pub target: Target,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// All blocks of a Provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// Blocks `target` until `until`; an earlier block of it is never shortened.
    pub fn block(&mut self, target: Target, until: Timestamp, reason: Reason) {
        if let Some(known) = self.0.iter_mut().find(|block| block.target == target) {
            if known.until < until {
                (known.until, known.reason) = (until, reason);
            }
            return;
        }
        self.0.push(Block { target, until, reason });
        if self.0.len() > MOST_BLOCKS {
            let first =
                self.0.iter().enumerate().min_by_key(|(_, block)| block.until).map(|(index, _)| index);
            first.map(|index| self.0.remove(index));
        }
    }

    /// Why this offer is not taken at `now`. None: it may be.
    pub fn of(&self, offer: &Offer, now: Timestamp) -> Option<&Block> {
        self.0.iter().find(|block| now < block.until && block.target.holds(offer))
    }

    /// Forgets what is over, and tells whether there was any.
    pub fn prune(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|block| now < block.until);
        self.0.len() != before
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.0.iter()
    }
}

impl FromIterator<Block> for Blocks {
    fn from_iter<I: IntoIterator<Item = Block>>(blocks: I) -> Self {
        let mut all = Self::default();
        blocks.into_iter().for_each(|block| all.block(block.target, block.until, block.reason));
        all
    }
}
