//! Words of files that are not trusted, in messages.

use serde::de::DeserializeOwned;

/// In one line of at most 200 characters.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// A JSON object, or why the bytes are none. A list of the fields' values, which serde would take too, is none.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes.trim_ascii_start().first() {
        None => Err("it is empty".to_owned()),
        Some(b'{') => serde_json::from_slice(bytes).map_err(|error| one_line(&error.to_string())),
        Some(_) => Err("it is no JSON object".to_owned()),
    }
}
