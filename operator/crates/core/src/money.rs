//! Money: whole numbers of 10^-12 of a currency, never a float. What does not fit is an error, never rounded.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod decimal;
mod price;
#[cfg(test)]
mod tests;

pub use price::{Price, PricePerHour};

/// Pico-units in one unit of a currency.
pub const PICO: i128 = 1_000_000_000_000;
/// Decimal places an [`Amount`] can hold.
pub const PLACES: u8 = 12;

/// Money that cannot be read or computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a plain decimal number.
    #[error(
        "`{0}` is no decimal number; write digits with at most one point, such as `12.50`, without exponent or sign `+`"
    )]
    Syntax(String),
    /// More decimal places than the kind of number allows.
    #[error("`{text}` has more than {places} decimal places; round it to {places}")]
    TooPrecise {
        /// What was given.
        text: String,
        /// Most places.
        places: u8,
    },
    /// A price below zero.
    #[error("`{0}` is below zero; a price is zero or more")]
    Negative(String),
    /// A price above [`Price::MAX_UNITS`].
    #[error("`{text}` is above {most}; the highest price is {most} per unit of measure")]
    TooHigh {
        /// What was given.
        text: String,
        /// Highest price, in units of the currency.
        most: u64,
    },
    /// A result outside i128 pico-units.
    #[error("amount is out of range; the largest is about 1.7 * 10^26 units of the currency")]
    Overflow,
    /// Not a currency code.
    #[error("`{0}` is no currency code; use 3 to 10 capital letters or digits, such as `EUR` or `USDC`")]
    Currency(String),
    /// Not a number of decimals.
    #[error("{0} decimals are too many; a payable unit has 0 to 12")]
    Decimals(u8),
}

/// A currency code: three letters as in ISO 4217, or 3 to 10 capital letters or digits for a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(String);

impl Currency {
    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (3..=10).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MoneyError::Currency(decimal::shown(text)))
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Decimal places of the smallest unit that is paid out: 2 for cents, 0 for yen, at most [`PLACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimals(u8);

impl Decimals {
    /// # Errors
    /// [`MoneyError::Decimals`] above 12.
    pub const fn new(places: u8) -> Result<Self, MoneyError> {
        if places <= PLACES { Ok(Self(places)) } else { Err(MoneyError::Decimals(places)) }
    }

    /// Number of places.
    pub const fn places(self) -> u8 {
        self.0
    }

    /// The smallest unit that is paid out: 1 to 10^12 pico-units.
    pub const fn unit(self) -> Amount {
        Amount(10_i128.pow((PLACES - self.0) as u32))
    }
}

/// An amount of money in pico-units (10^-12) of a currency that the context names. Its written form is an exact
/// decimal string.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From pico-units.
    pub const fn from_pico(pico: i128) -> Self {
        Self(pico)
    }

    /// In pico-units.
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// This many times.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn times(self, count: i128) -> Result<Self, MoneyError> {
        self.0.checked_mul(count).map(Self).ok_or(MoneyError::Overflow)
    }

    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }

    /// Exact text with at least `places` decimal places: `0.50` for a half in cents, `0.000001` whatever `places`.
    pub fn with_places(self, places: u8) -> String {
        decimal::format(self.0, places)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.with_places(0))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Amount {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        decimal::parse(text, PLACES).map(Self)
    }
}

/// Serde as the written form, for each type that has one.
macro_rules! serde_as_text {
    ($($kind:ty),+) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(Amount, Currency, Price, PricePerHour);
