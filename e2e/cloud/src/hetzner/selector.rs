//! Label selectors: `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, joined by
//! commas.

use std::collections::BTreeMap;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Has(String),
    HasNot(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// Conditions that all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

impl Selector {
    /// Reads one. None: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        split(text)?.into_iter().map(term).collect::<Option<_>>().map(Self)
    }

    /// Whether labels meet it.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Has(key) => labels.contains_key(key),
            Term::HasNot(key) => !labels.contains_key(key),
            Term::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Term::NotIn(key, values) => !labels.get(key).is_some_and(|value| values.contains(value)),
        })
    }
}

/// The parts between commas outside of brackets.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (depth == 0).then_some(parts)
}

fn term(text: &str) -> Option<Term> {
    let key = |text: &str| {
        let text = text.trim();
        let is_legal = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        (!text.is_empty() && text.chars().all(is_legal)).then(|| text.to_owned())
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(rest) = text.strip_prefix('!') {
        return key(rest).map(Term::HasNot);
    }
    if let Some((left, right)) = text.split_once("!=") {
        return Some(Term::NotIn(key(left)?, one(right)));
    }
    if let Some((left, right)) = text.split_once('=') {
        return Some(Term::In(key(left)?, one(right.strip_prefix('=').unwrap_or(right))));
    }
    let Some((left, list)) = text.split_once('(') else { return key(text).map(Term::Has) };
    let values = list.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
    match left.trim().rsplit_once(' ')? {
        (left, "in") => Some(Term::In(key(left)?, values)),
        (left, "notin") => Some(Term::NotIn(key(left)?, values)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(selector: &str) -> bool {
        let labels = [("env", "prod"), ("tenant", "abc")];
        let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Selector::parse(selector).unwrap().holds(&labels)
    }

    #[test]
    fn each_form_of_a_selector_is_understood() {
        for selector in [
            "env",
            "!no",
            "env=prod",
            "env==prod",
            "env!=test",
            "env in (test, prod)",
            "env notin (x),tenant=abc",
        ] {
            assert!(holds(selector), "{selector}");
        }
        for selector in ["no", "!env", "env=test", "env!=prod", "env in (test)", "env notin (prod)", "env,no"]
        {
            assert!(!holds(selector), "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_none() {
        for selector in ["", "env=prod,", "env in (a", "env within (a)", "a b"] {
            assert_eq!(Selector::parse(selector), None, "{selector}");
        }
    }
}
