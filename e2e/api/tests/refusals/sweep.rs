//! What the definitions themselves say: for every field of every spec the values just outside its bounds, and those
//! just inside. A field without bounds, or one that `good.yaml` leaves out, fails: nothing new escapes the sweep.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use cooperator_e2e_api::Server;
use serde_json::{Value, json};

use super::{dotted, good, number, text, with};

/// Fields whose bounds another field narrows, so that a value at the bound is not good by itself.
const NARROWED: [&str; 3] = ["basisPoints", "warmupSteps", "maxSteps"];

/// A pointer, and the value put there.
type Change = (String, Value);

/// Changes of one kind's good object.
#[derive(Default)]
pub struct Sweep {
    kind: &'static str,
    /// Each must be refused, by a line with this in it.
    pub bad: Vec<(Change, String)>,
    /// Each must be accepted.
    pub good: Vec<Change>,
    /// Each may be refused; what is stored of one that is not, the operator must be able to read.
    pub odd: Vec<Change>,
    /// What the definition lacks.
    lacks: Vec<String>,
    /// The object that is changed.
    object: Value,
    /// Fields that it has.
    has: BTreeSet<String>,
    /// Fields that it leaves out.
    leaves_out: Vec<String>,
}

/// The sweeps of a kind, one for each of its good objects: where two fields exclude each other, each is in one of them.
pub fn of(kind: &'static str) -> Vec<Sweep> {
    let mut sweeps: Vec<Sweep> =
        good::objects(kind).into_iter().map(|object| Sweep::over(kind, object)).collect();
    let had: BTreeSet<String> = sweeps.iter().flat_map(|sweep| sweep.has.clone()).collect();
    let left_out: BTreeSet<String> = sweeps.iter().flat_map(|sweep| sweep.leaves_out.clone()).collect();
    sweeps[0].lacks.extend(left_out.difference(&had).map(|field| format!("good.yaml has no {field}")));
    sweeps
}

fn schema(kind: &str) -> &'static Value {
    static ALL: OnceLock<Value> = OnceLock::new();
    let all = ALL.get_or_init(|| json!(cooperator_api::crds()));
    let crd = all.as_array().unwrap().iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap();
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

impl Sweep {
    fn over(kind: &'static str, object: Value) -> Self {
        let mut sweep = Self { kind, object: object.clone(), ..Self::default() };
        sweep.object("/spec", &schema(kind)["properties"]["spec"], &object["spec"]);
        sweep
    }

    /// Asks for each, and says what was not answered as it should be.
    pub async fn wrong(&self, server: &Server) -> Vec<String> {
        let mut wrong: Vec<String> = self.lacks.iter().map(|lack| format!("{}: {lack}", self.kind)).collect();
        for ((pointer, value), expected) in &self.bad {
            let shown: String = value.to_string().chars().take(60).collect();
            let body = text(&with(&self.object, pointer, value));
            match server.try_create_text(self.kind, body).await.unwrap() {
                Ok(_) => wrong.push(format!("{} {pointer} = {shown}: accepted", self.kind)),
                Err(said) if !said.contains(expected) => {
                    wrong.push(format!("{} {pointer} = {shown}: says `{said}`, not `{expected}`", self.kind));
                }
                Err(_) => {}
            }
        }
        for (pointer, value) in &self.good {
            let body = text(&with(&self.object, pointer, value));
            if let Err(said) = server.try_create_text(self.kind, body).await.unwrap() {
                wrong.push(format!("{} {pointer} = {value}: refused: {said}", self.kind));
            }
        }
        for (pointer, value) in self.odd.iter().chain(&self.good) {
            let body = text(&with(&self.object, pointer, value));
            let Ok(stored) = server.try_create_text(self.kind, body).await.unwrap() else { continue };
            if let Err(error) = good::read(self.kind, stored) {
                wrong.push(format!("{} {pointer} = {value}: stored, and unreadable: {error}", self.kind));
            }
        }
        wrong
    }

    fn outside(&mut self, at: &str, value: Value, expected: impl Into<String>) {
        self.bad.push(((at.to_owned(), value), expected.into()));
    }

    fn field(&mut self, at: &str, schema: &Value, value: &Value) {
        self.odd.push((at.to_owned(), number("null")));
        if schema["x-kubernetes-int-or-string"] == true {
            return self.outside(at, json!({}), dotted(at));
        }
        match schema["type"].as_str() {
            Some("object") => self.object(at, schema, value),
            Some("array") => self.array(at, schema, value),
            Some("string") => self.string(at, schema, value),
            Some("integer") => self.integer(at, schema),
            Some("boolean") => {
                self.outside(at, json!("yes"), format!("{} in body must be of type boolean", dotted(at)))
            }
            other => self.lacks.push(format!("{at} is of type {other:?}")),
        }
    }

    fn object(&mut self, at: &str, schema: &Value, value: &Value) {
        self.outside(at, json!("x"), "must be of type object");
        if let Some(items) = schema["additionalProperties"].as_object() {
            return self.map(at, schema, &json!(items), value);
        }
        self.outside(&format!("{at}/swept"), json!(1), format!("unknown field \"{}.swept\"", dotted(at)));
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            match value.get(name) {
                Some(value) => {
                    self.has.insert(format!("{at}/{name}"));
                    self.field(&format!("{at}/{name}"), schema, value);
                }
                None => self.leaves_out.push(format!("{at}/{name}")),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.outside(
                &format!("{at}/{name}"),
                Value::Null,
                format!("{}.{name}: Required value", dotted(at)),
            );
        }
    }

    fn map(&mut self, at: &str, schema: &Value, items: &Value, value: &Value) {
        let Some(most) = schema["maxProperties"].as_u64() else {
            return self.lacks.push(format!("{at} has no maxProperties"));
        };
        let (name, first) = value.as_object().and_then(|fields| fields.iter().next()).unwrap();
        let many = (0..=most).map(|n| (format!("n{n}"), first.clone()));
        self.outside(at, Value::Object(many.collect()), format!("must have at most {most} items"));
        self.outside(at, json!({}), "should have at least 1 properties");
        self.field(&format!("{at}/{}", name.replace('/', "~1")), items, first);
    }

    fn array(&mut self, at: &str, schema: &Value, value: &Value) {
        let Some(most) = schema["maxItems"].as_u64() else {
            return self.lacks.push(format!("{at} has no maxItems"));
        };
        // Of several items the one with the most fields stands for all.
        let items = value.as_array().unwrap().iter().enumerate();
        let (index, first) =
            items.max_by_key(|(_, item)| item.as_object().map(|fields| fields.len())).unwrap();
        self.outside(at, json!(vec![first; most as usize + 1]), format!("must have at most {most} items"));
        self.outside(at, json!("x"), format!("{} in body must be of type array", dotted(at)));
        if let Some(least) = schema["minItems"].as_u64().filter(|least| *least > 0) {
            self.outside(at, json!([]), format!("{} in body should have at least {least} items", dotted(at)));
        }
        if schema["x-kubernetes-list-type"] == "set" || schema["x-kubernetes-list-type"] == "map" {
            self.outside(at, json!([first, first]), "Duplicate value");
        }
        self.field(&format!("{at}/{index}"), &schema["items"], first);
    }

    fn string(&mut self, at: &str, schema: &Value, value: &Value) {
        let path = dotted(at);
        self.outside(at, json!(5), format!("{path} in body must be of type string"));
        if schema["enum"].is_array() {
            return self.outside(at, json!("Nonsense"), format!("{path}: Unsupported value: \"Nonsense\""));
        }
        let Some(most) = schema["maxLength"].as_u64() else {
            return self.lacks.push(format!("{at} has neither maxLength nor enum"));
        };
        self.outside(at, json!("a".repeat(most as usize + 1)), format!("may not be more than {most}"));
        if let Some(least) = schema["minLength"].as_u64().filter(|least| *least > 0) {
            self.outside(at, json!(""), format!("{path} in body should be at least {least} chars long"));
        }
        // Whatever else a text may hold, a terminal that shows it must not obey it.
        let field = at.split('/').nth(2).unwrap();
        self.outside(at, json!(format!("{}\u{1b}", value.as_str().unwrap())), format!("spec.{field}"));
    }

    fn integer(&mut self, at: &str, schema: &Value) {
        let path = dotted(at);
        let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
        let (Some(least), Some(most)) = (bound("minimum"), bound("maximum")) else {
            return self.lacks.push(format!("{at} has no minimum or no maximum"));
        };
        self.outside(
            at,
            json!(least - 1),
            format!("{path} in body should be greater than or equal to {least}"),
        );
        self.outside(at, json!(most + 1), format!("{path} in body should be less than or equal to"));
        self.outside(at, number("9223372036854775808"), format!("{path} in body"));
        self.outside(at, number("18446744073709551616"), format!("{path} in body"));
        self.outside(at, json!(0.5), format!("{path} in body must be of type integer"));
        self.outside(at, json!("1"), format!("{path} in body must be of type integer"));
        self.odd.push((at.to_owned(), number(&format!("{least}.0"))));
        self.odd.push((at.to_owned(), number(&format!("{least}e0"))));
        if !NARROWED.iter().any(|field| at.ends_with(field)) {
            self.good.extend([json!(least), json!(most)].map(|value| (at.to_owned(), value)));
        }
    }
}
