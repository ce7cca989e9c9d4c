//! Prices. Both have six decimal places at most, so that what they come to is exact in pico-units.

use std::fmt;
use std::str::FromStr;

use super::{Amount, MoneyError, PICO, decimal};

/// Decimal places of a price.
const PLACES: u8 = 6;
/// Pico-units in 10^-6 of a unit.
const PICO_PER_MICRO: i128 = PICO / 1_000_000;

/// A price per million tokens: a decimal string of zero or more, at most six places, at most [`Price::MAX_UNITS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(Micros);

impl Price {
    /// Highest price, in units of the currency: with any number of tokens the amount is in range.
    pub const MAX_UNITS: u64 = 1_000_000_000;

    /// What this many tokens cost, exactly: 10^-6 a million tokens is 10^-12 a token.
    pub const fn amount(self, tokens: u64) -> Amount {
        Amount::from_pico(self.0.0 as i128 * tokens as i128)
    }

    /// Whether it costs nothing.
    pub const fn is_zero(self) -> bool {
        self.0.0 == 0
    }
}

/// A price per hour: a decimal string of zero or more, at most six places, at most [`Price::MAX_UNITS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PricePerHour(Micros);

impl PricePerHour {
    /// From millionths of a unit. Vendors' prices come so; those that people write are bound to [`Price::MAX_UNITS`].
    pub const fn from_micros(micros: u64) -> Self {
        Self(Micros(micros))
    }

    /// In millionths of a unit.
    pub const fn micros(self) -> u64 {
        self.0.0
    }

    /// What this many seconds cost, rounded up to a pico-unit.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] only beyond the age of the universe.
    pub fn amount(self, seconds: u64) -> Result<Amount, MoneyError> {
        let hours = i128::from(self.0.0)
            .checked_mul(PICO_PER_MICRO)
            .and_then(|pico| pico.checked_mul(i128::from(seconds)))
            .ok_or(MoneyError::Overflow)?;
        Ok(Amount::from_pico(hours / 3600 + i128::from(hours % 3600 != 0)))
    }
}

/// Millionths of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Micros(u64);

impl FromStr for Micros {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let pico = decimal::parse(text, PLACES)?;
        if pico < 0 {
            return Err(MoneyError::Negative(decimal::shown(text)));
        }
        let too_high = || MoneyError::TooHigh { text: decimal::shown(text), most: Price::MAX_UNITS };
        if pico > i128::from(Price::MAX_UNITS) * PICO {
            return Err(too_high());
        }
        u64::try_from(pico / PICO_PER_MICRO).map(Self).map_err(|_| too_high())
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal::format(i128::from(self.0) * PICO_PER_MICRO, 0))
    }
}

/// A price reads and writes as its millionths do.
macro_rules! written_as_micros {
    ($($kind:ident),+) => {$(
        impl FromStr for $kind {
            type Err = MoneyError;

            fn from_str(text: &str) -> Result<Self, MoneyError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

written_as_micros!(Price, PricePerHour);
