//! The true bill: what a machine has cost, to the pico-unit, from the moments at which its vendor really began and ended
//! each thing that is paid for.

use cooperator_core::market::{Granularity, Terms, Traffic};
use cooperator_core::money::{Amount, MoneyError, PricePerHour};
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What is paid for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The machine with its GPUs.
    Compute,
    /// Its disk.
    Disk,
}

/// A time over which one thing was paid for at one price.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    kind: Kind,
    from: Timestamp,
    /// None: it goes on.
    to: Option<Timestamp>,
    terms: Terms,
    disk_gib: u64,
}

impl Span {
    /// What it came to by `at`. Seconds, minutes or hours begun are paid for whole.
    fn amount(&self, at: Timestamp) -> Result<Amount, MoneyError> {
        let end = self.to.map_or(at, |to| to.min(at));
        if end <= self.from {
            return Ok(Amount::ZERO);
        }
        let nanoseconds = end.as_nanosecond() - self.from.as_nanosecond();
        let begun = nanoseconds / 1_000_000_000 + i128::from(nanoseconds % 1_000_000_000 != 0);
        let begun = u64::try_from(begun).map_err(|_| MoneyError::Overflow)?;
        let paid = self.terms.granularity.paid(begun);
        match self.kind {
            Kind::Compute => self.terms.hourly.amount(paid),
            Kind::Disk => self.terms.disk(self.disk_gib, paid),
        }
    }
}

/// Counts what one machine costs.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    spans: Vec<Span>,
    traffic: Traffic,
    up_bytes: u64,
    down_bytes: u64,
    closed: bool,
}

impl Meter {
    /// A meter on which nothing runs yet, of a machine whose traffic costs this.
    pub fn new(traffic: Traffic) -> Self {
        Self { traffic, ..Self::default() }
    }

    /// The machine is paid for from `at` on, at this price.
    pub fn compute(&mut self, at: Timestamp, hourly: PricePerHour, granularity: Granularity) {
        self.close(Kind::Compute, at);
        let terms = Terms { hourly, granularity, ..Terms::default() };
        self.spans.push(Span { kind: Kind::Compute, from: at, to: None, terms, disk_gib: 0 });
    }

    /// So much disk is paid for from `at` on, at this price a GiB and month.
    pub fn disk(&mut self, at: Timestamp, disk_gib: u64, month_micros: u64, granularity: Granularity) {
        self.close(Kind::Disk, at);
        if disk_gib > 0 && month_micros > 0 {
            let terms = Terms { disk_month_micros: month_micros, granularity, ..Terms::default() };
            self.spans.push(Span { kind: Kind::Disk, from: at, to: None, terms, disk_gib });
        }
    }

    /// One thing is no longer paid for.
    pub fn close(&mut self, kind: Kind, at: Timestamp) {
        for span in self.spans.iter_mut().filter(|span| span.kind == kind && span.to.is_none()) {
            span.to = Some(at.max(span.from));
        }
    }

    /// Nothing is paid for any more.
    pub fn end(&mut self, at: Timestamp) {
        self.close(Kind::Compute, at);
        self.close(Kind::Disk, at);
        self.closed = true;
    }

    /// What went over the network, as the machine sees it.
    pub fn transfer(&mut self, up_bytes: u64, down_bytes: u64) {
        self.up_bytes = self.up_bytes.saturating_add(up_bytes);
        self.down_bytes = self.down_bytes.saturating_add(down_bytes);
    }

    /// Whether this is being paid for.
    pub fn runs(&self, kind: Kind) -> bool {
        self.spans.iter().any(|span| span.kind == kind && span.to.is_none())
    }

    /// When this was first paid for.
    pub fn since(&self, kind: Kind) -> Option<Timestamp> {
        self.spans.iter().find(|span| span.kind == kind).map(|span| span.from)
    }

    /// The bill at an instant.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn bill(&self, at: Timestamp) -> Result<Bill, MoneyError> {
        let sum = |kind| {
            Amount::sum(
                self.spans
                    .iter()
                    .filter(|span| span.kind == kind)
                    .map(|span| span.amount(at))
                    .collect::<Result<Vec<_>, _>>()?,
            )
        };
        let terms = Terms { traffic: self.traffic, ..Terms::default() };
        Ok(Bill {
            compute: sum(Kind::Compute)?,
            disk: sum(Kind::Disk)?,
            upload: terms.traffic(self.up_bytes, 0)?,
            download: terms.traffic(0, self.down_bytes)?,
            is_final: self.closed,
        })
    }
}

/// What a machine has cost, in its vendor's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// The machine.
    pub compute: Amount,
    /// Its disk.
    pub disk: Amount,
    /// What it sent.
    pub upload: Amount,
    /// What it fetched.
    pub download: Amount,
    /// Whether it will not change any more.
    pub is_final: bool,
}

impl Bill {
    /// All of it.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn total(&self) -> Result<Amount, MoneyError> {
        Amount::sum([self.compute, self.disk, self.upload, self.download])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_796_000_000 + seconds).unwrap()
    }

    fn price(text: &str) -> PricePerHour {
        text.parse().unwrap()
    }

    fn hour(granularity: Granularity, seconds: i64) -> String {
        let mut meter = Meter::default();
        meter.compute(at(0), price("0.36"), granularity);
        meter.end(at(seconds));
        meter.bill(at(1_000_000)).unwrap().total().unwrap().to_string()
    }

    #[test]
    fn a_second_a_minute_or_an_hour_begun_is_paid_for_whole() {
        assert_eq!(hour(Granularity::Second, 61), "0.0061");
        assert_eq!(hour(Granularity::Minute, 61), "0.012");
        assert_eq!(hour(Granularity::Minute, 60), "0.006");
        assert_eq!(hour(Granularity::Hour, 1), "0.36");
        assert_eq!(hour(Granularity::Hour, 3601), "0.72");
        assert_eq!(hour(Granularity::Hour, 0), "0");
    }

    #[test]
    fn a_part_of_a_second_is_a_second_begun() {
        let mut meter = Meter::default();
        meter.compute(at(0), price("3.6"), Granularity::Second);
        let end = at(1) + jiff::SignedDuration::from_millis(1);
        assert_eq!(meter.bill(end).unwrap().compute.to_string(), "0.002");
    }

    #[test]
    fn a_price_that_does_not_divide_is_exact_to_a_pico_unit_rounded_up() {
        let mut meter = Meter::default();
        meter.compute(at(0), price("0.413333"), Granularity::Second);
        meter.end(at(7));
        // 413333 * 7 / 3600 micro-units = 803.7030555...
        assert_eq!(meter.bill(at(7)).unwrap().compute.pico(), 803_703_056);
    }

    #[test]
    fn the_disk_of_a_stopped_machine_goes_on() {
        let mut meter = Meter::default();
        meter.disk(at(0), 100, 72_000, Granularity::Second); // 0.01 an hour
        meter.compute(at(600), price("0.36"), Granularity::Second);
        meter.close(Kind::Compute, at(1200));
        let bill = meter.bill(at(3600)).unwrap();
        assert_eq!((bill.compute.to_string(), bill.disk.to_string()), ("0.06".into(), "0.01".into()));
        assert!(!bill.is_final);
        meter.end(at(7200));
        let bill = meter.bill(at(9999)).unwrap();
        assert_eq!((bill.total().unwrap().to_string(), bill.is_final), ("0.08".into(), true));
    }

    #[test]
    fn a_new_price_holds_from_its_moment_on() {
        let mut meter = Meter::default();
        meter.compute(at(0), price("0.36"), Granularity::Second);
        meter.compute(at(10), price("0.72"), Granularity::Second);
        assert_eq!(meter.bill(at(20)).unwrap().compute.to_string(), "0.003");
    }

    #[test]
    fn bills_of_two_instants_differ_by_what_was_used_between_them() {
        let mut meter = Meter::default();
        meter.compute(at(0), price("1"), Granularity::Second);
        let (early, late) = (meter.bill(at(1800)).unwrap(), meter.bill(at(5400)).unwrap());
        assert_eq!(late.compute.minus(early.compute).unwrap().to_string(), "1");
        assert_eq!(meter.bill(at(-5)).unwrap().compute, Amount::ZERO);
    }

    #[test]
    fn traffic_is_paid_for_by_the_byte() {
        let mut meter = Meter::new(Traffic { up_micros: 10_000, down_micros: 5_000 });
        meter.transfer(1_000_000_000, 2_000_000_000);
        let bill = meter.bill(at(0)).unwrap();
        assert_eq!((bill.upload.to_string(), bill.download.to_string()), ("0.01".into(), "0.01".into()));
    }
}
