//! Numbers as vendors write them, exactly: money and measures are never read through a float.

use cooperator_core::money::{Amount, PricePerHour};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Most significant digits that are read.
const MOST_DIGITS: usize = 30;
/// Largest power of ten, up or down.
const MOST_POWER: i32 = 40;

/// `digits` * 10^`power`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: i128,
    power: i32,
}

impl Decimal {
    /// Reads what JSON calls a number. None: it is none, or longer than any number that is meant.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let bare = digits.strip_prefix('-').unwrap_or(&digits);
        if bare.is_empty() || bare.len() > MOST_DIGITS || !bare.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        (power.abs() <= MOST_POWER).then_some(Self { digits: digits.parse().ok()?, power })
    }

    /// In units of 10^-`places`, rounded up. None: no `i128` holds it.
    pub(crate) fn up(self, places: i32) -> Option<i128> {
        let power = self.power.checked_add(places)?;
        let factor = 10_i128.checked_pow(power.unsigned_abs());
        if power >= 0 {
            return if self.digits == 0 { Some(0) } else { self.digits.checked_mul(factor?) };
        }
        // A divisor that no i128 holds leaves less than one unit.
        let Some(factor) = factor else { return Some(i128::from(self.digits > 0)) };
        Some(self.digits.div_euclid(factor) + i128::from(self.digits.rem_euclid(factor) != 0))
    }

    /// In units of 10^-`places`, rounded down; 0 if it is below. None: no `u64` holds it.
    pub(crate) fn down(self, places: i32) -> Option<u64> {
        let negated = Self { digits: self.digits.checked_neg()?, power: self.power };
        u64::try_from(negated.up(places)?.checked_neg()?.max(0)).ok()
    }

    /// As micro-units, rounded up. None: it is below zero, or too large.
    pub(crate) fn micros(self) -> Option<u64> {
        u64::try_from(self.up(6)?).ok()
    }

    /// As a price for an hour, rounded up to a micro-unit. None: it is no price.
    pub(crate) fn hourly(self) -> Option<PricePerHour> {
        self.micros().map(PricePerHour::from_micros)
    }

    /// As an amount, rounded up to a pico-unit.
    pub(crate) fn amount(self) -> Option<Amount> {
        self.up(12).map(Amount::from_pico)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    /// From a number, or from a text that is one.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        Self::parse(bare).ok_or_else(|| D::Error::custom("that is no number"))
    }
}

/// A price as a JSON number with its own digits.
pub(crate) struct Exact(pub(crate) PricePerHour);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Decimal> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn a_price_is_exact_and_rounded_up_to_a_micro_unit() {
        let micros = |json| read(json).unwrap().micros();
        assert_eq!(micros("0.35"), Some(350_000));
        assert_eq!(micros("\"0.0060000000000000\""), Some(6000));
        assert_eq!(micros("0.30000000000000004"), Some(300_001));
        assert_eq!(micros("1e-7"), Some(1));
        assert_eq!(micros("1.25E+1"), Some(12_500_000));
        assert_eq!(micros("0"), Some(0));
        assert_eq!(micros("-0.1"), None);
        assert_eq!(micros("1e30"), None);
    }

    #[test]
    fn a_measure_is_rounded_down() {
        let whole = |json, places| read(json).unwrap().down(places);
        assert_eq!(whole("24564", 0), Some(24564));
        assert_eq!(whole("3.9999", 0), Some(3));
        assert_eq!(whole("3.75", 3), Some(3750));
        assert_eq!(whole("-1", 0), Some(0));
        assert_eq!(whole("0.00000000000000000000000000001", 3), Some(0));
    }

    #[test]
    fn an_amount_keeps_twelve_places() {
        assert_eq!(read("38.421").unwrap().amount().unwrap().to_string(), "38.421");
        assert_eq!(read("1e-13").unwrap().amount().unwrap().pico(), 1);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for json in ["\"\"", "\"abc\"", "true", "[]", "\"1.2.3\"", "\"--1\"", "1e999", "\"1e\"", "\"NaN\""] {
            assert_eq!(read(json), None, "{json}");
        }
        assert_eq!(read(&"9".repeat(31)), None);
        assert_eq!(serde_json::from_str::<Option<Decimal>>("null").unwrap(), None);
    }

    #[test]
    fn a_price_is_sent_with_its_own_digits() {
        assert_eq!(serde_json::to_string(&Exact("0.1".parse().unwrap())).unwrap(), "0.1");
        assert_eq!(serde_json::to_string(&Exact(PricePerHour::from_micros(1))).unwrap(), "0.000001");
    }
}
