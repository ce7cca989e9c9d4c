//! JSON with exact decimals: a price goes out digit by digit.

use std::fmt::Display;

use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Number;
use serde_json::value::RawValue;

/// An object whose members stand in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(&'static str, Box<RawValue>)>);

impl Object {
    /// Without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        let raw = serde_json::value::to_raw_value(&value);
        self.0.push((name, raw.unwrap_or_else(|_| RawValue::NULL.to_owned())));
        self
    }

    /// With one more member, a number that is written as this decimal text.
    #[must_use]
    pub fn decimal(mut self, name: &'static str, text: impl Display) -> Self {
        self.0.push((name, decimal(text)));
        self
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A number that is written as this decimal text.
pub fn decimal(text: impl Display) -> Box<RawValue> {
    RawValue::from_string(text.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Millionths as a decimal.
pub fn micros(micros: u64) -> Amount {
    Amount::from_pico(i128::from(micros) * 1_000_000)
}

/// Ten-thousandths as a decimal.
pub fn basis_points(points: u32) -> Amount {
    Amount::from_pico(i128::from(points) * 100_000_000)
}

/// Seconds since 1970 as a decimal.
pub fn epoch(at: Timestamp) -> Amount {
    Amount::from_pico(at.as_nanosecond() * 1_000)
}

/// The millionths that a JSON number is, cut. None: it is out of range.
pub fn millionths(number: &Number) -> Option<i128> {
    let text = number.to_string();
    if let Ok(amount) = text.parse::<Amount>() {
        return Some(amount.pico() / 1_000_000);
    }
    // More than twelve decimals, or an exponent. It is no price, and nothing is paid by it.
    let float = number.as_f64()?;
    (float.abs() < 1e15).then_some((float * 1e6) as i128)
}

/// The price that a JSON number is: six decimals at most, zero or more.
pub fn price(number: &Number) -> Option<PricePerHour> {
    number.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_written_digit_by_digit() {
        let object = Object::new()
            .decimal("a", PricePerHour::from_micros(413_333))
            .decimal("b", Amount::from_pico(123_456_789_012_345_678))
            .with("c", Some("x"))
            .with("d", None::<u8>);
        let text = serde_json::to_string(&object).unwrap();
        assert_eq!(text, r#"{"a":0.413333,"b":123456.789012345678,"c":"x","d":null}"#);
    }

    #[test]
    fn a_number_is_read_as_millionths() {
        let read = |text: &str| millionths(&serde_json::from_str(text).unwrap());
        assert_eq!(read("0.34"), Some(340_000));
        assert_eq!(read("24564"), Some(24_564_000_000));
        assert_eq!(read("-1.5"), Some(-1_500_000));
        assert_eq!(read("1e3"), Some(1_000_000_000));
        assert_eq!(read("1e30"), None);
    }
}
