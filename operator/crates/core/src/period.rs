//! Settlement periods: half-open spans of event time in UTC, cut by the calendar, or earlier by hand.

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::time::later;

/// A period that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Before 1970 or after 9990.
    #[error("{0} has no settlement period; times from 1970 to 9990 have one")]
    OutOfRange(Timestamp),
    /// An early end that is not inside.
    #[error(
        "cannot close the period {start} to {end} at {through}; choose an instant after its start and not after its end"
    )]
    Outside {
        /// First instant.
        start: Timestamp,
        /// First instant after.
        end: Timestamp,
        /// The early end asked for.
        through: Timestamp,
    },
}

/// How long settlement periods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeriodLength {
    /// From the full hour.
    Hourly,
    /// From midnight UTC.
    Daily,
    /// From Monday, midnight UTC (ISO 8601 weeks).
    Weekly,
    /// From the first of the month.
    Monthly,
    /// From the first of January, April, July, October.
    Quarterly,
}

/// A settlement period `[start, end)`: a whole one of the calendar, or a part where one was closed early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    length: PeriodLength,
    start: Timestamp,
    end: Timestamp,
}

impl PeriodLength {
    /// The whole period that `time` lies in.
    ///
    /// # Errors
    /// [`PeriodError::OutOfRange`] before 1970 and after 9990.
    pub fn containing(self, time: Timestamp) -> Result<Period, PeriodError> {
        let out = || PeriodError::OutOfRange(time);
        let civil = TimeZone::UTC.to_datetime(time);
        if !(1970..=9990).contains(&civil.year()) {
            return Err(out());
        }
        let (first, span) = self.cut(civil).map_err(|_| out())?;
        let instant = |civil: DateTime| TimeZone::UTC.to_timestamp(civil).map_err(|_| out());
        let end = first.checked_add(span).map_err(|_| out())?;
        Ok(Period { length: self, start: instant(first)?, end: instant(end)? })
    }

    /// What is left of the period that `from` lies in: the period that follows one that ended at `from`.
    ///
    /// # Errors
    /// [`PeriodError::OutOfRange`] before 1970 and after 9990.
    pub fn starting_at(self, from: Timestamp) -> Result<Period, PeriodError> {
        Ok(Period { start: from, ..self.containing(from)? })
    }

    /// Start of the period and its length in calendar terms.
    fn cut(self, time: DateTime) -> Result<(DateTime, Span), jiff::Error> {
        let date = time.date();
        let first = |month: i8| jiff::civil::Date::new(date.year(), month, 1);
        Ok(match self {
            Self::Hourly => (date.at(time.hour(), 0, 0, 0), Span::new().hours(1)),
            Self::Daily => (date.at(0, 0, 0, 0), Span::new().days(1)),
            Self::Weekly => {
                let past = date.weekday().since(Weekday::Monday);
                (date.checked_sub(Span::new().days(past))?.at(0, 0, 0, 0), Span::new().weeks(1))
            }
            Self::Monthly => (first(date.month())?.at(0, 0, 0, 0), Span::new().months(1)),
            Self::Quarterly => {
                let month = date.month() - (date.month() - 1) % 3;
                (first(month)?.at(0, 0, 0, 0), Span::new().months(3))
            }
        })
    }

    /// Name of the whole period that begins at `start`.
    fn title(self, start: Timestamp) -> String {
        let civil = TimeZone::UTC.to_datetime(start);
        match self {
            Self::Hourly => civil.strftime("%Y-%m-%dT%H").to_string(),
            Self::Daily => civil.strftime("%Y-%m-%d").to_string(),
            Self::Weekly => civil.strftime("%G-W%V").to_string(),
            Self::Monthly => civil.strftime("%Y-%m").to_string(),
            Self::Quarterly => format!("{:04}-Q{}", civil.year(), (civil.month() + 2) / 3),
        }
    }
}

impl Period {
    /// A period as it was written down.
    ///
    /// # Errors
    /// [`PeriodError::Outside`] unless `start` < `end` and both lie in one period of the calendar.
    pub fn new(length: PeriodLength, start: Timestamp, end: Timestamp) -> Result<Self, PeriodError> {
        length.starting_at(start)?.close_early(end)
    }

    /// First instant in it.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// First instant after it.
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Whether `time` lies in it.
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }

    /// The period that begins where this one ends.
    ///
    /// # Errors
    /// [`PeriodError::OutOfRange`] after 9990.
    pub fn next(&self) -> Result<Self, PeriodError> {
        self.length.starting_at(self.end)
    }

    /// The part before `through`; [`Period::next`] of it is the rest.
    ///
    /// # Errors
    /// [`PeriodError::Outside`] unless start < `through` <= end.
    pub fn close_early(&self, through: Timestamp) -> Result<Self, PeriodError> {
        if self.start < through && through <= self.end {
            Ok(Self { end: through, ..*self })
        } else {
            Err(PeriodError::Outside { start: self.start, end: self.end, through })
        }
    }

    /// When it is settled: its end and a time to wait for late usage.
    pub fn closes_at(&self, close_after: SignedDuration) -> Timestamp {
        later(self.end, close_after)
    }

    /// For people: `2026-11`, `2026-W47`, `2026-11-24`, `2026-11-24T13`, `2026-Q4`. A part of a period says where it
    /// was cut, `2026-11-to-20261124T110000Z`; the last part `2026-11-from-20261124T110000Z`. No two periods of a
    /// chain of [`Period::next`] share a name.
    pub fn title(&self) -> String {
        let Ok(whole) = self.length.containing(self.start) else { return stamp(self.start) };
        let name = self.length.title(whole.start);
        if self.end != whole.end {
            format!("{name}-to-{}", stamp(self.end))
        } else if self.start != whole.start {
            format!("{name}-from-{}", stamp(self.start))
        } else {
            name
        }
    }

    /// [`Period::title`] in small letters: part of an object key or a Kubernetes name.
    pub fn name(&self) -> String {
        self.title().to_ascii_lowercase()
    }
}

/// An instant without punctuation; with a fraction only where there is one, to the nanosecond.
fn stamp(time: Timestamp) -> String {
    let civil = TimeZone::UTC.to_datetime(time);
    let second = civil.strftime("%Y%m%dT%H%M%S");
    match civil.subsec_nanosecond() {
        0 => format!("{second}Z"),
        fraction => format!("{second}-{fraction:09}Z"),
    }
}

#[cfg(test)]
mod tests {
    use PeriodLength::*;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_length_has_its_calendar() {
        let time = at("2026-11-24T13:45:00.5Z");
        let cut = |length: PeriodLength| {
            let period = length.containing(time).unwrap();
            format!("{} {} {}", period.title(), period.start(), period.end())
        };
        assert_eq!(cut(Hourly), "2026-11-24T13 2026-11-24T13:00:00Z 2026-11-24T14:00:00Z");
        assert_eq!(cut(Daily), "2026-11-24 2026-11-24T00:00:00Z 2026-11-25T00:00:00Z");
        assert_eq!(cut(Weekly), "2026-W48 2026-11-23T00:00:00Z 2026-11-30T00:00:00Z");
        assert_eq!(cut(Monthly), "2026-11 2026-11-01T00:00:00Z 2026-12-01T00:00:00Z");
        assert_eq!(cut(Quarterly), "2026-Q4 2026-10-01T00:00:00Z 2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_week_is_named_by_the_year_of_its_thursday() {
        let period = Weekly.containing(at("2027-01-02T00:00:00Z")).unwrap();
        assert_eq!((period.name().as_str(), period.start()), ("2026-w53", at("2026-12-28T00:00:00Z")));
    }

    #[test]
    fn an_early_close_splits_a_period_and_names_both_parts() {
        let whole = Monthly.containing(at("2026-11-24T00:00:00Z")).unwrap();
        let early = whole.close_early(at("2026-11-24T11:00:00Z")).unwrap();
        let rest = early.next().unwrap();
        assert_eq!(early.name(), "2026-11-to-20261124t110000z");
        assert_eq!(rest.name(), "2026-11-from-20261124t110000z");
        assert_eq!((early.start(), early.end(), rest.end()), (whole.start(), rest.start(), whole.end()));
        assert_eq!(rest.next().unwrap().name(), "2026-12");
        assert_eq!(whole.close_early(whole.end()).unwrap(), whole);
    }

    #[test]
    fn a_period_cannot_close_before_it_starts_or_after_it_ends() {
        let whole = Daily.containing(at("2026-11-24T00:00:00Z")).unwrap();
        assert!(whole.close_early(whole.start()).is_err());
        assert!(whole.close_early(at("2026-11-25T00:00:01Z")).is_err());
        assert!(Period::new(Daily, whole.start(), at("2026-11-26T00:00:00Z")).is_err());
        assert_eq!(Period::new(Daily, whole.start(), whole.end()), Ok(whole));
    }

    #[test]
    fn a_period_closes_after_its_end() {
        let period = Monthly.containing(at("2026-11-24T00:00:00Z")).unwrap();
        assert_eq!(period.closes_at(SignedDuration::from_hours(24)), at("2026-12-02T00:00:00Z"));
    }

    #[test]
    fn far_times_have_no_period() {
        assert!(Monthly.containing(Timestamp::MIN).is_err());
        assert!(Weekly.containing(Timestamp::MAX).is_err());
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_one_period_and_periods_follow_without_gap(
            second in 0i64..250_000_000_000,
            length in prop::sample::select(vec![Hourly, Daily, Weekly, Monthly, Quarterly]),
        ) {
            let time = Timestamp::from_second(second).unwrap();
            let period = length.containing(time).unwrap();
            prop_assert!(period.contains(time));
            let next = period.next().unwrap();
            prop_assert_eq!(period.end(), next.start());
            prop_assert_eq!(length.containing(next.start()).unwrap(), next);
            prop_assert_ne!(period.name(), next.name());
            prop_assert!(period.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        }
    }
}
