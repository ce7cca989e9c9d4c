//! What a claim has cost: exactly, by the terms of each launch, and by the vendor's own figure once that is final.

use cooperator_core::market::{OfferId, Terms};
use cooperator_core::money::{Amount, MoneyError, PricePerHour};
use cooperator_core::time::Timestamp;
use cooperator_providers::InstanceId;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::record::{Launch, Record};
use crate::times::seconds;

/// Where an amount comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// Times and terms.
    Computed,
    /// The vendor's bill.
    Charged,
}

/// What one machine has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the launch.
    pub launch: u32,
    /// Name of the Provider object.
    pub provider: String,
    /// What was rented.
    pub offer: OfferId,
    /// The machine.
    pub instance: InstanceId,
    /// Whether it is a further machine of the launch, which nobody wanted.
    pub spare: bool,
    /// From when on it is paid for.
    pub from: Timestamp,
    /// Until when. None: it still costs.
    pub to: Option<Timestamp>,
    /// Seconds from the one to the other, or to now; each second begun counted.
    pub seconds: u64,
    /// Of these: seconds in which it was stopped and cost its disk alone.
    pub stopped_seconds: u64,
    /// An hour of it without disk.
    pub hourly: PricePerHour,
    /// What it comes to, in the currency of the offer's terms.
    pub amount: Amount,
    /// Where that comes from.
    pub source: Source,
    /// Whether it will not change any more.
    pub is_final: bool,
}

impl Launch {
    /// On which terms it is paid for: a bid that was taken is the price.
    pub fn terms(&self) -> Terms {
        Terms { hourly: self.bid.unwrap_or(self.offer.terms.hourly), ..self.offer.terms.clone() }
    }

    /// What a machine of this launch comes to by its times and terms.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn computed(&self, machine: &Machine, now: Timestamp) -> Result<Amount, MoneyError> {
        let (used, stopped) = self.used(machine, now);
        let mut terms = self.terms();
        if terms.disk_month_micros == 0 && self.bid.is_none() {
            // With the disk in the price, what the vendor says an hour costs is the price.
            terms.hourly = machine.hourly.unwrap_or(terms.hourly);
        }
        terms.amount(self.disk_gib, used)?.plus(terms.disk(self.disk_gib, stopped)?)
    }

    /// What the least comes to that is paid for: a second, a minute or an hour of it.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn unit(&self) -> Result<Amount, MoneyError> {
        self.terms().amount(self.disk_gib, 1)
    }

    /// What each of its machines has cost until `now`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn lines(&self, now: Timestamp) -> Result<Vec<Line>, MoneyError> {
        let kept = self.machine.iter().map(|machine| (machine, false));
        let all = kept.chain(self.spares.iter().map(|machine| (machine, true)));
        all.map(|(machine, spare)| self.line(machine, spare, now)).collect()
    }

    /// Seconds in which a machine was paid for in full, and in which its disk alone was. Where the disk is in the price, a
    /// machine that is stopped is paid for in full.
    fn used(&self, machine: &Machine, now: Timestamp) -> (u64, u64) {
        let (from, to) = (machine.from(), machine.ended_at.unwrap_or(now));
        let stopped = machine.stopped_at.filter(|_| self.offer.terms.disk_month_micros > 0);
        let stopped = stopped.map_or(to, |at| at.clamp(from.min(to), to));
        (seconds(from, stopped), seconds(stopped, to))
    }

    fn line(&self, machine: &Machine, spare: bool, now: Timestamp) -> Result<Line, MoneyError> {
        let (used, stopped_seconds) = self.used(machine, now);
        let (amount, source) = match machine.charged {
            Some(charged) => (charged, Source::Charged),
            None => (self.computed(machine, now)?, Source::Computed),
        };
        Ok(Line {
            launch: self.number,
            provider: self.provider.clone(),
            offer: self.offer.id.clone(),
            instance: machine.instance.clone(),
            spare,
            from: machine.from(),
            to: machine.ended_at,
            seconds: used + stopped_seconds,
            stopped_seconds,
            hourly: self.terms().hourly,
            amount,
            source,
            is_final: machine.accounted_at.is_some(),
        })
    }
}

impl Record {
    /// What every machine of the claim has cost until `now`, the oldest first.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn lines(&self, now: Timestamp) -> Result<Vec<Line>, MoneyError> {
        let launches = self.launches.iter().map(|launch| launch.lines(now));
        Ok(launches.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// What the claim has cost until `now`, all its machines together. Meaningful where all its Providers' offers are in
    /// one currency.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn cost(&self, now: Timestamp) -> Result<Amount, MoneyError> {
        Amount::sum(self.lines(now)?.into_iter().map(|line| line.amount))
    }
}
