//! Vast.ai's filters: `{"field": {"op": value}}`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::wire::millionths;

/// What a field of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Nothing.
    Null,
    /// A number, in millionths.
    Number(i128),
    /// Text.
    Text(&'a str),
    /// `Region, CC`: its country alone will do.
    Place(&'a str),
    /// Yes or no.
    Bool(bool),
}

impl Field<'_> {
    /// A whole number.
    pub fn whole(number: u64) -> Self {
        Field::Number(i128::from(number) * 1_000_000)
    }

    /// What comes first in an order. What cannot be compared is equal.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Field::Number(left), Field::Number(right)) => left.cmp(right),
            (Field::Text(left) | Field::Place(left), Field::Text(right) | Field::Place(right)) => {
                left.cmp(right)
            }
            (Field::Bool(left), Field::Bool(right)) => left.cmp(right),
            _ => Ordering::Equal,
        }
    }

    fn against(&self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Field::Null, Value::Null) => Some(Ordering::Equal),
            (Field::Number(own), Value::Number(number)) => Some(own.cmp(&millionths(number)?)),
            (Field::Text(own), Value::String(text)) => Some((*own).cmp(text.as_str())),
            (Field::Place(own), Value::String(text)) => {
                let country = own.rsplit(", ").next().unwrap_or(own);
                Some(if country == text { Ordering::Equal } else { (*own).cmp(text.as_str()) })
            }
            (Field::Bool(own), Value::Bool(other)) => Some(own.cmp(other)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Eq,
    Neq,
    Gt,
    Lt,
    Gte,
    Lte,
    In,
    NotIn,
}

/// One condition on one field.
#[derive(Clone, Debug)]
pub struct Test {
    /// Field.
    pub name: String,
    op: Op,
    value: Value,
}

impl Test {
    /// The conditions on one field; what is no object is one with `eq`.
    ///
    /// # Errors
    /// An operator that there is not.
    pub fn parse(name: &str, conditions: &Value) -> Result<Vec<Self>, String> {
        let Value::Object(conditions) = conditions else {
            return Ok(vec![Self { name: name.to_owned(), op: Op::Eq, value: conditions.clone() }]);
        };
        let one = |(op, value): (&String, &Value)| {
            let op = match op.as_str() {
                "eq" => Op::Eq,
                "neq" => Op::Neq,
                "gt" => Op::Gt,
                "lt" => Op::Lt,
                "gte" => Op::Gte,
                "lte" => Op::Lte,
                "in" => Op::In,
                "notin" => Op::NotIn,
                other => return Err(format!("unknown operator {other} on {name}")),
            };
            if matches!(op, Op::In | Op::NotIn) && !value.is_array() {
                return Err(format!("the operator on {name} needs a list"));
            }
            Ok(Self { name: name.to_owned(), op, value: value.clone() })
        };
        conditions.iter().map(one).collect()
    }

    /// All conditions of a map of fields.
    ///
    /// # Errors
    /// An operator that there is not.
    pub fn all(filters: &Map<String, Value>) -> Result<Vec<Self>, String> {
        let each = filters.iter().map(|(name, conditions)| Self::parse(name, conditions));
        Ok(each.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The text to which the field must be equal, if that is the condition.
    pub fn equal_text(&self) -> Option<&str> {
        if self.op == Op::Eq { self.value.as_str() } else { None }
    }

    /// Whether a field meets it. What cannot be compared only meets `neq` and `notin`.
    pub fn holds(&self, field: Field<'_>) -> bool {
        let is = |wanted: fn(Ordering) -> bool| field.against(&self.value).is_some_and(wanted);
        let among = || {
            let listed = self.value.as_array().into_iter().flatten();
            listed.into_iter().any(|value| field.against(value) == Some(Ordering::Equal))
        };
        match self.op {
            Op::Eq => is(Ordering::is_eq),
            Op::Neq => !is(Ordering::is_eq),
            Op::Gt => is(Ordering::is_gt),
            Op::Lt => is(Ordering::is_lt),
            Op::Gte => is(Ordering::is_ge),
            Op::Lte => is(Ordering::is_le),
            Op::In => among(),
            Op::NotIn => !among(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(condition: Value, field: Field<'_>) -> bool {
        Test::parse("x", &condition).unwrap().iter().all(|test| test.holds(field))
    }

    #[test]
    fn each_operator_does_as_it_is_called() {
        let number = Field::Number(340_000);
        assert!(holds(json!({ "lte": 0.34, "gte": 0.34, "eq": 0.34 }), number));
        assert!(!holds(json!({ "lt": 0.34 }), number) && !holds(json!({ "gt": 0.34 }), number));
        assert!(holds(json!({ "in": ["a", "b"] }), Field::Text("b")));
        assert!(holds(json!({ "notin": ["a"], "neq": "a" }), Field::Text("b")));
        assert!(holds(json!(true), Field::Bool(true)) && !holds(json!({ "eq": 1 }), Field::Null));
    }

    #[test]
    fn a_country_is_enough_for_a_place() {
        assert!(holds(json!({ "in": ["US", "SE"] }), Field::Place("Sweden, SE")));
        assert!(holds(json!({ "eq": "Sweden, SE" }), Field::Place("Sweden, SE")));
        assert!(!holds(json!({ "in": ["US"] }), Field::Place("Sweden, SE")));
    }

    #[test]
    fn an_operator_that_there_is_not_is_an_error() {
        assert!(Test::parse("x", &json!({ "like": "a" })).unwrap_err().contains("like"));
        assert!(Test::parse("x", &json!({ "in": "a" })).is_err());
    }
}
