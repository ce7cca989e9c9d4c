//! On which terms something is rented, and what it then comes to, exactly.

use serde::{Deserialize, Serialize};

use crate::money::{Amount, MoneyError, PricePerHour};

/// Hours of the month by which vendors turn a monthly price of disk into an hourly one.
const HOURS_A_MONTH: i128 = 720;

/// What is paid for when only a part of it was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Granularity {
    /// Every second.
    #[default]
    Second,
    /// Every minute begun.
    Minute,
    /// Every hour begun.
    Hour,
}

impl Granularity {
    /// Seconds that are paid for when `used` were used.
    pub const fn paid(self, used: u64) -> u64 {
        let unit = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        };
        used.div_ceil(unit).saturating_mul(unit)
    }
}

/// Prices of what goes over the network, in micro-units of the currency a GB (10^9 bytes), as the machine sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// What it sends.
    #[serde(default)]
    pub up_micros: u64,
    /// What it fetches.
    #[serde(default)]
    pub down_micros: u64,
}

/// What a machine costs: all in the vendor's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// An hour of the machine with all its GPUs, without disk that is paid for by itself.
    pub hourly: PricePerHour,
    /// A GiB of disk for a month of 720 hours, in micro-units; 0: the disk is in `hourly`.
    #[serde(default)]
    pub disk_month_micros: u64,
    /// What goes over the network.
    #[serde(default)]
    pub traffic: Traffic,
    /// What is paid for when a part of it was used.
    #[serde(default)]
    pub granularity: Granularity,
}

impl Terms {
    /// What an hour of it comes to with this much disk, rounded up to a micro-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn hourly_with(&self, disk_gib: u64) -> Result<PricePerHour, MoneyError> {
        let pico = self.amount(disk_gib, 3600)?.pico();
        let micros = u64::try_from(pico.div_euclid(1_000_000) + i128::from(pico.rem_euclid(1_000_000) != 0));
        micros.map(PricePerHour::from_micros).map_err(|_| MoneyError::Overflow)
    }

    /// What `seconds` of the machine with this much disk cost, without traffic, rounded up to a pico-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn amount(&self, disk_gib: u64, seconds: u64) -> Result<Amount, MoneyError> {
        let paid = self.granularity.paid(seconds);
        self.hourly.amount(paid)?.plus(self.disk(disk_gib, paid)?)
    }

    /// What `seconds` of this much disk alone cost: what a machine costs that is stopped and not given back.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn disk(&self, disk_gib: u64, seconds: u64) -> Result<Amount, MoneyError> {
        let factors =
            [i128::from(self.disk_month_micros), i128::from(disk_gib), i128::from(seconds), 1_000_000];
        let pico = factors.into_iter().try_fold(1_i128, i128::checked_mul).ok_or(MoneyError::Overflow)?;
        let unit = HOURS_A_MONTH * 3600;
        Ok(Amount::from_pico(pico / unit + i128::from(pico % unit != 0)))
    }

    /// What this many bytes over the network cost, rounded up to a pico-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn traffic(&self, up_bytes: u64, down_bytes: u64) -> Result<Amount, MoneyError> {
        let micro_bytes = |micros: u64, bytes: u64| i128::from(micros).checked_mul(i128::from(bytes));
        let up = micro_bytes(self.traffic.up_micros, up_bytes).ok_or(MoneyError::Overflow)?;
        let down = micro_bytes(self.traffic.down_micros, down_bytes).ok_or(MoneyError::Overflow)?;
        let sum = up.checked_add(down).ok_or(MoneyError::Overflow)?;
        // A micro-unit is 10^6 pico-units, a GB 10^9 bytes.
        Ok(Amount::from_pico(sum / 1000 + i128::from(sum % 1000 != 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(granularity: Granularity) -> Terms {
        Terms {
            hourly: "0.36".parse().unwrap(),
            disk_month_micros: 72_000, // 0.072 a GiB and month: 0.0001 a GiB and hour
            traffic: Traffic { up_micros: 10_000, down_micros: 5_000 },
            granularity,
        }
    }

    #[test]
    fn what_was_begun_is_paid_for_as_the_vendor_counts() {
        let amount = |granularity| terms(granularity).amount(0, 61).unwrap().to_string();
        assert_eq!(amount(Granularity::Second), "0.0061");
        assert_eq!(amount(Granularity::Minute), "0.012");
        assert_eq!(amount(Granularity::Hour), "0.36");
        assert_eq!(terms(Granularity::Hour).amount(10, 0).unwrap(), Amount::ZERO);
    }

    #[test]
    fn disk_is_paid_for_by_the_part_of_a_month() {
        assert_eq!(terms(Granularity::Second).hourly_with(100).unwrap().to_string(), "0.37");
        assert_eq!(terms(Granularity::Second).disk(100, 1800).unwrap().to_string(), "0.005");
    }

    #[test]
    fn traffic_is_paid_for_by_the_byte() {
        let terms = terms(Granularity::Second);
        assert_eq!(terms.traffic(1_000_000_000, 2_000_000_000).unwrap().to_string(), "0.02");
        assert_eq!(terms.traffic(1, 0).unwrap().to_string(), "0.00000000001");
    }

    #[test]
    fn what_no_number_holds_is_an_error() {
        let dear = Terms { disk_month_micros: u64::MAX, ..Terms::default() };
        assert_eq!(dear.amount(u64::MAX, u64::MAX), Err(MoneyError::Overflow));
        let dear = Terms { traffic: Traffic { up_micros: u64::MAX, down_micros: 0 }, ..Terms::default() };
        assert_eq!(dear.traffic(u64::MAX, 0), Err(MoneyError::Overflow));
    }
}
