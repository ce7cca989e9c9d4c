//! From a vendor's currency into the treasury's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::money::{Amount, MoneyError, PricePerHour};

/// Millionths in one.
const MILLION: i128 = 1_000_000;

/// A text that is no exchange rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no exchange rate; write a decimal number above 0 and up to 1000000 with at most six decimal places, such as `1.08`"
)]
pub struct ExchangeRateError(String);

/// Units of the treasury's currency for one unit of the vendor's, in millionths: above 0, at most 10^6 units. What it
/// makes is rounded up, so that no conversion makes anything cheaper than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeRate(u64);

impl ExchangeRate {
    /// Of a currency into itself.
    pub const ONE: Self = Self(1_000_000);

    /// In millionths.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// What an amount is in the treasury's currency, rounded up to a pico-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn amount(self, amount: Amount) -> Result<Amount, MoneyError> {
        if self == Self::ONE {
            return Ok(amount);
        }
        let product = amount.times(i128::from(self.0))?.pico();
        Ok(Amount::from_pico(product.div_euclid(MILLION) + i128::from(product.rem_euclid(MILLION) != 0)))
    }

    /// What a price is in the treasury's currency, rounded up to a micro-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn price(self, price: PricePerHour) -> Result<PricePerHour, MoneyError> {
        let micros = (u128::from(price.micros()) * u128::from(self.0)).div_ceil(1_000_000);
        u64::try_from(micros).map(PricePerHour::from_micros).map_err(|_| MoneyError::Overflow)
    }

    /// The highest price in the vendor's currency that [`Self::price`] makes no more than `most`.
    pub fn highest(self, most: PricePerHour) -> PricePerHour {
        let micros = u128::from(most.micros()) * 1_000_000 / u128::from(self.0);
        PricePerHour::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl Default for ExchangeRate {
    fn default() -> Self {
        Self::ONE
    }
}

impl FromStr for ExchangeRate {
    type Err = ExchangeRateError;

    fn from_str(text: &str) -> Result<Self, ExchangeRateError> {
        let wrong = || ExchangeRateError(text.chars().filter(|c| !c.is_control()).take(40).collect());
        let pico = text.parse::<Amount>().map_err(|_| wrong())?.pico();
        let whole = pico > 0 && pico % MILLION == 0;
        let micros =
            u64::try_from(pico / MILLION).ok().filter(|micros| whole && *micros <= 1_000_000_000_000);
        micros.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ExchangeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount::from_pico(i128::from(self.0) * MILLION).fmt(f)
    }
}

impl Serialize for ExchangeRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExchangeRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> ExchangeRate {
        text.parse().unwrap()
    }

    #[test]
    fn a_conversion_never_makes_anything_cheaper() {
        let third = rate("0.333333");
        assert_eq!(third.amount(Amount::from_pico(1)).unwrap(), Amount::from_pico(1));
        assert_eq!(third.amount(Amount::from_pico(3_000_000)).unwrap(), Amount::from_pico(999_999));
        assert_eq!(third.price(PricePerHour::from_micros(1)).unwrap(), PricePerHour::from_micros(1));
        assert_eq!(rate("1.08").price("1".parse().unwrap()).unwrap().to_string(), "1.08");
    }

    #[test]
    fn the_highest_price_below_a_limit_is_the_last_that_keeps_it() {
        for (text, micros) in [("1.08", 540_001), ("0.333333", 7), ("1", 12), ("1000000", 5)] {
            let (rate, most) = (rate(text), PricePerHour::from_micros(micros));
            let highest = rate.highest(most);
            assert!(rate.price(highest).unwrap() <= most, "{text}");
            let next = PricePerHour::from_micros(highest.micros() + 1);
            assert!(rate.price(next).unwrap() > most, "{text}");
        }
    }

    #[test]
    fn a_rate_is_above_zero_and_has_six_places_at_most() {
        for text in
            ["0", "-1", "1.0000001", "1000000.1", "one", "", "1e3", "99999999999999999999999999999999"]
        {
            let error = text.parse::<ExchangeRate>().unwrap_err().to_string();
            assert!(error.contains("exchange rate") && !error.contains('\n'), "{text}: {error}");
        }
        assert_eq!(serde_json::to_string(&rate("1.080000")).unwrap(), "\"1.08\"");
        assert_eq!(serde_json::from_str::<ExchangeRate>("\"1.08\"").unwrap(), rate("1.08"));
    }

    #[test]
    fn what_no_number_holds_is_an_error() {
        let most = rate("1000000");
        assert_eq!(most.amount(Amount::from_pico(i128::MAX)), Err(MoneyError::Overflow));
        assert_eq!(most.price(PricePerHour::from_micros(u64::MAX)), Err(MoneyError::Overflow));
    }
}
