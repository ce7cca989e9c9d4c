//! Requirements on a machine, in Karpenter's words: a key, an operator, values.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::offer::{Gpus, Offer};

mod key;
#[cfg(test)]
mod tests;

pub use key::Key;
use key::{Kind, Label};

/// Most requirements that are looked at together: those of a pool and those of a job.
pub const MOST: usize = 64;
/// Most values of one requirement.
pub const MOST_VALUES: usize = 64;
/// Longest value, in bytes.
const LONGEST: usize = 128;

/// How a key's value is compared, as Karpenter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values, or is not told.
    NotIn,
    /// It is told.
    Exists,
    /// It is not told.
    DoesNotExist,
    /// It is above the value.
    Gt,
    /// It is below the value.
    Lt,
    /// It is the value or above.
    Gte,
    /// It is the value or below.
    Lte,
}

/// A requirement as people write it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// One of [`Key::ALL`], as text.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: at least one for `In` and `NotIn`, none for `Exists` and `DoesNotExist`, else one whole number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl fmt::Display for Requirement {
    /// `` `cooperator.dev/gpu-memory` Gt 80000 ``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {:?}", shown(&self.key), self.operator)?;
        for (at, value) in self.values.iter().enumerate() {
            write!(f, "{} {}", if at == 0 { "" } else { "," }, shown(value))?;
        }
        Ok(())
    }
}

/// A requirement that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// More than [`MOST`].
    #[error("{0} requirements are too many; at most {MOST} are looked at together: drop some")]
    TooMany(usize),
    /// Not one of [`Key::ALL`].
    #[error("`{0}` is no key of a machine; use one of {known}", known = Key::list())]
    Key(String),
    /// Too few or too many values for its operator.
    #[error("requirement `{key}` {operator:?} takes {takes}; it has {has}")]
    Count {
        /// The key.
        key: Key,
        /// The operator.
        operator: Operator,
        /// How many values it takes, in words.
        takes: &'static str,
        /// How many it has.
        has: usize,
    },
    /// An order among names.
    #[error("requirement `{key}` {operator:?}: its value is a name, which has no order; use In or NotIn")]
    NoOrder {
        /// The key.
        key: Key,
        /// The operator.
        operator: Operator,
    },
    /// A value that should be a whole number within bounds.
    #[error("requirement `{key}`: `{value}` is no whole number of {unit} from 0 to {most}")]
    Number {
        /// The key.
        key: Key,
        /// The value.
        value: String,
        /// What is counted.
        unit: &'static str,
        /// The highest.
        most: u64,
    },
    /// A value that is none of the few there are.
    #[error("requirement `{key}`: `{value}` is no value of it; use {words}", words = words.join(" or "))]
    Word {
        /// The key.
        key: Key,
        /// The value.
        value: String,
        /// All there are.
        words: &'static [&'static str],
    },
    /// A value that no offer could have.
    #[error(
        "requirement `{key}`: `{value}` is empty, too long or has control characters; use 1 to {LONGEST} bytes of text"
    )]
    Text {
        /// The key.
        key: Key,
        /// The value.
        value: String,
    },
}

/// Requirements that were understood. In the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements(Vec<Rule>);

/// One requirement, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    written: Requirement,
    key: Key,
    test: Test,
}

/// What is asked of a key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Values),
    NotIn(Values),
    Exists,
    DoesNotExist,
    Least(u64),
    Most(u64),
    /// `Gt` of the highest number, `Lt` of the lowest.
    Never,
}

/// Values of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    Numbers(Vec<u64>),
    Names(Vec<String>),
}

impl Requirements {
    /// Understands what people wrote, once.
    ///
    /// # Errors
    /// [`RequirementError`] of the first that cannot be understood.
    pub fn parse<'a>(written: impl IntoIterator<Item = &'a Requirement>) -> Result<Self, RequirementError> {
        let rules = written.into_iter().map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        if rules.len() > MOST { Err(RequirementError::TooMany(rules.len())) } else { Ok(Self(rules)) }
    }

    /// As they were written.
    pub fn written(&self) -> impl Iterator<Item = &Requirement> {
        self.0.iter().map(|rule| &rule.written)
    }

    /// The first that this offer does not meet. `provider_type`: of its Provider, such as `Vast`.
    pub fn refuses(&self, offer: &Offer, provider_type: &str) -> Option<&Requirement> {
        self.0.iter().find(|rule| !rule.met_by(offer, provider_type)).map(|rule| &rule.written)
    }

    /// All that this offer does not meet: bit n is the nth.
    pub(super) fn refused(&self, offer: &Offer, provider_type: &str) -> u64 {
        let unmet = self.0.iter().enumerate().filter(|(_, rule)| !rule.met_by(offer, provider_type));
        unmet.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// The nth as it was written, and what the offers that fail it have instead, in words.
    pub(super) fn seen<'a>(
        &self,
        at: usize,
        offers: impl Iterator<Item = (&'a Offer, &'a str)>,
    ) -> Option<(&Requirement, String)> {
        let rule = self.0.get(at)?;
        let labels: Vec<Label<'a>> = offers.filter_map(|(offer, kind)| rule.key.of(offer, kind)).collect();
        Some((&rule.written, rule.seen(labels)))
    }
}

impl Rule {
    fn parse(written: &Requirement) -> Result<Self, RequirementError> {
        let key = Key::parse(&written.key).ok_or_else(|| RequirementError::Key(shown(&written.key)))?;
        Ok(Self { written: written.clone(), key, test: Test::parse(key, written)? })
    }

    fn met_by(&self, offer: &Offer, provider_type: &str) -> bool {
        let label = self.key.of(offer, provider_type);
        match &self.test {
            Test::In(values) => label.is_some_and(|label| values.hold(label)),
            Test::NotIn(values) => label.is_none_or(|label| !values.hold(label)),
            Test::Exists => label.is_some(),
            Test::DoesNotExist => label.is_none(),
            Test::Least(least) => matches!(label, Some(Label::Number(number)) if number >= *least),
            Test::Most(most) => matches!(label, Some(Label::Number(number)) if number <= *most),
            Test::Never => false,
        }
    }

    fn seen(&self, mut labels: Vec<Label<'_>>) -> String {
        const FEW: usize = 5;
        labels.sort_unstable();
        labels.dedup();
        let (Some(least), Some(most)) = (labels.first(), labels.last()) else {
            return "none tells it".to_owned();
        };
        match self.written.operator {
            Operator::Gt | Operator::Gte => format!("the most is {most}"),
            Operator::Lt | Operator::Lte => format!("the least is {least}"),
            Operator::DoesNotExist => "all tell it".to_owned(),
            Operator::In | Operator::NotIn | Operator::Exists => {
                let few: Vec<String> =
                    labels.iter().take(FEW).map(|label| shown(&label.to_string())).collect();
                let more = labels.len().saturating_sub(FEW);
                let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
                format!("they have {}{rest}", few.join(", "))
            }
        }
    }
}

impl Test {
    fn parse(key: Key, written: &Requirement) -> Result<Self, RequirementError> {
        let Requirement { operator, values, .. } = written;
        let count = |takes| RequirementError::Count { key, operator: *operator, takes, has: values.len() };
        match operator {
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Err(count("no value")),
            Operator::Exists => Ok(Self::Exists),
            Operator::DoesNotExist => Ok(Self::DoesNotExist),
            Operator::In | Operator::NotIn if values.is_empty() || values.len() > MOST_VALUES => {
                Err(count("1 to 64 values"))
            }
            Operator::In => Values::parse(key, values).map(Self::In),
            Operator::NotIn => Values::parse(key, values).map(Self::NotIn),
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
                let [value] = values.as_slice() else { return Err(count("exactly one whole number")) };
                let Kind::Number { unit, most } = key.kind() else {
                    return Err(RequirementError::NoOrder { key, operator: *operator });
                };
                let number = number(key, value, unit, most)?;
                Ok(match operator {
                    Operator::Gt => number.checked_add(1).map_or(Self::Never, Self::Least),
                    Operator::Lt => number.checked_sub(1).map_or(Self::Never, Self::Most),
                    Operator::Gte => Self::Least(number),
                    _ => Self::Most(number),
                })
            }
        }
    }
}

impl Values {
    fn parse(key: Key, written: &[String]) -> Result<Self, RequirementError> {
        let names = |name: fn(&str) -> String| written.iter().map(|value| name(value)).collect();
        for value in written {
            if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
                return Err(RequirementError::Text { key, value: shown(value) });
            }
        }
        match key.kind() {
            Kind::Number { unit, most } => {
                let numbers = written.iter().map(|value| number(key, value, unit, most));
                numbers.collect::<Result<_, _>>().map(Self::Numbers)
            }
            Kind::Words(words) => match written.iter().find(|value| !words.contains(&value.as_str())) {
                Some(value) => Err(RequirementError::Word { key, value: shown(value), words }),
                None => Ok(Self::Names(names(str::to_owned))),
            },
            Kind::Model => Ok(Self::Names(names(Gpus::model_name))),
            Kind::Name => Ok(Self::Names(names(str::to_owned))),
        }
    }

    fn hold(&self, label: Label<'_>) -> bool {
        match (self, label) {
            (Self::Numbers(numbers), Label::Number(number)) => numbers.contains(&number),
            (Self::Names(names), Label::Text(text)) => names.iter().any(|name| name == text),
            _ => false,
        }
    }
}

fn number(key: Key, value: &str, unit: &'static str, most: u64) -> Result<u64, RequirementError> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|number| digits && *number <= most);
    number.ok_or_else(|| RequirementError::Number { key, value: shown(value), unit, most })
}

/// The first 80 characters: an error is one line, whatever it was given.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}
