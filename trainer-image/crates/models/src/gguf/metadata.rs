//! The metadata of a GGUF file: typed, and of arrays only those that a tokenizer needs.

use std::collections::HashMap;
use std::io::Read;

use super::GgufError;
use super::header::malformed;
use super::source::Source;
use crate::line::one_line;

/// Most strings or numbers of an array that is kept: twice as many as a vocabulary may have.
const MAX_ITEMS: u64 = 1 << 23;

/// Numbers of the types of values.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A value, as far as one is needed here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Of any width.
    Whole(u64),
    /// Below zero, of any width.
    Negative(i64),
    /// Of either width.
    Float(f64),
    Flag(bool),
    Text(String),
    /// An array of strings.
    Texts(Vec<String>),
    /// An array of whole numbers of 32 bits.
    Numbers(Vec<i64>),
    /// An array that nothing here looks at. It was passed over.
    Other,
}

impl Value {
    /// Reads the type and the value of a key.
    pub(super) fn read(source: &mut Source<impl Read>, key: &str) -> Result<Self, GgufError> {
        let what = format!("metadata `{}`", one_line(key));
        match source.u32(&what)? {
            STRING => Ok(Self::Text(text(source, &what)?)),
            ARRAY => Self::array(source, &what),
            kind => Self::scalar(source, kind, &what),
        }
    }

    fn scalar(source: &mut Source<impl Read>, kind: u32, what: &str) -> Result<Self, GgufError> {
        let signed = |value: i64| u64::try_from(value).map_or(Self::Negative(value), Self::Whole);
        Ok(match kind {
            0 => Self::Whole(u8::from_le_bytes(source.array(what)?).into()),
            1 => signed(i8::from_le_bytes(source.array(what)?).into()),
            2 => Self::Whole(u16::from_le_bytes(source.array(what)?).into()),
            3 => signed(i16::from_le_bytes(source.array(what)?).into()),
            4 => Self::Whole(source.u32(what)?.into()),
            5 => signed(source.u32(what)?.cast_signed().into()),
            // Through the decimal form: 1e-5 stored in 32 bits means 1e-5, not 9.999999747e-6.
            6 => Self::Float(f32::from_bits(source.u32(what)?).to_string().parse().unwrap_or(f64::NAN)),
            7 => match source.array(what)? {
                [0] => Self::Flag(false),
                [1] => Self::Flag(true),
                [other] => return Err(malformed(format!("{what} is {other}, true is 1 and false is 0"))),
            },
            10 => Self::Whole(source.u64(what)?),
            11 => signed(source.u64(what)?.cast_signed()),
            12 => Self::Float(f64::from_bits(source.u64(what)?)),
            other => return Err(malformed(format!("{what} is of the unknown type {other}"))),
        })
    }

    fn array(source: &mut Source<impl Read>, what: &str) -> Result<Self, GgufError> {
        let kind = source.u32(what)?;
        let count = source.u64(what)?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            // A string has its length before it.
            STRING | 10..=12 => 8,
            ARRAY => return Err(malformed(format!("{what} is an array of arrays; no key of a model is"))),
            other => return Err(malformed(format!("{what} is an array of the unknown type {other}"))),
        };
        let least = count.saturating_mul(width);
        if matches!(kind, STRING | 4 | 5) && count > MAX_ITEMS {
            return Err(malformed(format!("{what} has {count} items, at most {MAX_ITEMS} are read")));
        }
        match kind {
            STRING => {
                source.expect(least, what)?;
                (0..count).map(|_| exact(source, what)).collect::<Result<_, _>>().map(Self::Texts)
            }
            4 | 5 => {
                let bytes = source.bytes(least, what)?;
                let number = |bytes: &[u8; 4]| match kind {
                    4 => i64::from(u32::from_le_bytes(*bytes)),
                    _ => i64::from(i32::from_le_bytes(*bytes)),
                };
                Ok(Self::Numbers(bytes.as_chunks().0.iter().map(number).collect()))
            }
            _ => source.skip(least, what).map(|()| Self::Other),
        }
    }
}

/// A string. Some tools write bytes that are no UTF-8 into texts for people, and end strings with a NUL.
fn text(source: &mut Source<impl Read>, what: &str) -> Result<String, GgufError> {
    let bytes = source.text(what)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// A string of an array: a token or a merge, of which no byte may be lost.
fn exact(source: &mut Source<impl Read>, what: &str) -> Result<String, GgufError> {
    String::from_utf8(source.text(what)?)
        .map_err(|_| malformed(format!("{what} holds a string that is not UTF-8")))
}

/// Typed access to the metadata.
#[derive(Debug)]
pub(super) struct Metadata(pub(super) HashMap<String, Value>);

impl Metadata {
    pub(super) fn wrong(key: &str, problem: impl Into<String>) -> GgufError {
        GgufError::Metadata { key: key.to_owned(), problem: problem.into() }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Whole(n)) => Ok(Some(*n)),
            Some(Value::Negative(n)) => Err(Self::wrong(key, format!("is {n}, it must be 0 or more"))),
            Some(_) => Err(Self::wrong(key, "must be a whole number")),
        }
    }

    /// A number that memory can count to.
    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, GgufError> {
        let size = |number| usize::try_from(number).map_err(|_| Self::wrong(key, "is too large"));
        self.number(key)?.map(size).transpose()
    }

    pub(super) fn needed(&self, key: &str) -> Result<usize, GgufError> {
        self.size(key)?.ok_or_else(|| Self::wrong(key, "is missing"))
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Float(value)) if value.is_finite() => Ok(Some(*value)),
            Some(Value::Float(value)) => Err(Self::wrong(key, format!("is {value}, it must be finite"))),
            Some(_) => Err(Self::wrong(key, "must be a float")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Self::wrong(key, "must be a string")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, GgufError> {
        match self.0.get(key) {
            None => Ok(false),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(_) => Err(Self::wrong(key, "must be true or false")),
        }
    }

    /// An array of strings; an empty array may be of any type.
    pub(super) fn texts(&self, key: &str) -> Result<&[String], GgufError> {
        match self.0.get(key) {
            Some(Value::Texts(texts)) => Ok(texts),
            Some(Value::Numbers(numbers)) if numbers.is_empty() => Ok(&[]),
            Some(_) => Err(Self::wrong(key, "must be an array of strings")),
            None => Err(Self::wrong(key, "is missing")),
        }
    }

    pub(super) fn numbers(&self, key: &str) -> Result<&[i64], GgufError> {
        match self.0.get(key) {
            Some(Value::Numbers(numbers)) => Ok(numbers),
            Some(_) => Err(Self::wrong(key, "must be an array of whole numbers of 32 bits")),
            None => Err(Self::wrong(key, "is missing")),
        }
    }
}
