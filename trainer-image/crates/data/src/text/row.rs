//! One row of JSON Lines.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The text in `field` of a row, or what is wrong with the row and the way out.
///
/// All else in the row is passed over and never held: it may be nested as deep, and its numbers be as long, as it likes.
/// A broken row may be somebody's work: what is said names the place, never the content.
pub(super) fn text_of(row: &str, field: &str) -> Result<String, String> {
    let mut json = serde_json::Deserializer::from_str(row);
    let found = json.deserialize_map(Row(field)).and_then(|found| json.end().map(|()| found));
    match found {
        Ok(Found::Text(text)) => Ok(text),
        Ok(Found::NoString) => {
            Err(format!("field `{field}` is no string; set spec.text.textField or correct the row"))
        }
        Ok(Found::Twice) => Err(format!("field `{field}` is there twice; correct the row")),
        Ok(Found::Nothing) => Err(format!("no field `{field}`; set spec.text.textField or correct the row")),
        Err(error) if error.is_data() => Err("not a JSON object; correct the row".to_owned()),
        Err(error) => {
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            Err(format!("not JSON, column {} ({said}); correct the row", error.column()))
        }
    }
}

/// What a row has in the field.
enum Found {
    Nothing,
    Text(String),
    NoString,
    /// Which of two texts is meant nobody can tell.
    Twice,
}

/// Looks for a field by its name.
struct Row<'a>(&'a str);

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        while let Some(is_field) = map.next_key_seed(Is(self.0))? {
            if !is_field {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(Text)?;
            found = match (found, value) {
                (Found::Nothing, Some(text)) => Found::Text(text),
                (Found::Nothing, None) => Found::NoString,
                _ => Found::Twice,
            };
        }
        Ok(found)
    }
}

/// Whether a key is this one.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// A value if it is a string.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Option<String>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Option<String>, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
