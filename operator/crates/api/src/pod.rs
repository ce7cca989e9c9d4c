//! Types of Kubernetes inside ours, with the bounds that Kubernetes puts only on what is made from them: a Job or Pod
//! that it would refuse later is refused here, while the one who asks for it looks on. No map may be empty: the API
//! server drops an entry without a value (`corpus:`), and what is left must not mean everything.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// The key of a label or a taint.
const KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// The value of a label or a taint.
const VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Most labels, expressions or values of one.
const MOST: u32 = 16;
/// Resources of a container that are no devices.
const PLAIN: &str = "['cpu', 'memory', 'ephemeral-storage']";
/// Of which there are bytes.
const BYTES: &str = "['memory', 'ephemeral-storage']";

/// Requests and limits of a container (`ResourceRequirements`).
pub fn resources(_: &mut SchemaGenerator) -> Schema {
    let within = Rule::new(format!(
        "!has(self.requests) || !has(self.limits) || {PLAIN}.all(n, !(n in self.requests) || !(n in self.limits) || \
         (type(self.requests[n]) == int ? type(self.limits[n]) != int || self.requests[n] <= self.limits[n] : \
         type(self.limits[n]) == int || !isQuantity(self.requests[n]) || !isQuantity(self.limits[n]) || \
         quantity(self.requests[n]).compareTo(quantity(self.limits[n])) <= 0))"
    ))
    .message("requests must not exceed limits: lower the one or raise the other");
    let whole = Rule::new(format!(
        "!has(self.requests) || self.requests.all(n, n in {PLAIN} || \
         (has(self.limits) && n in self.limits && self.limits[n] == self.requests[n]))"
    ))
    .message("requests of a device must equal its limits: set limits alone");
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": quantities("What is set aside for the container, by resource. 1 to 6. Default: its limits."),
            "limits": quantities("Most that the container may use, by resource. 1 to 6. Default: no bound."),
        },
        "x-kubernetes-validations": [within, whole],
    })
}

/// Requests of a container, where there is nothing to limit.
pub fn requests(_: &mut SchemaGenerator) -> Schema {
    quantities("Quantities.")
}

/// A number of CPUs.
pub fn cpu(_: &mut SchemaGenerator) -> Schema {
    let rule = Rule::new(
        "type(self) == int ? self >= 1 && self <= 1024 : isQuantity(self) && \
         quantity(self).compareTo(quantity('1m')) >= 0 && quantity(self).compareTo(quantity('1024')) <= 0",
    )
    .message("must be a quantity from 1m to 1024, such as `500m` or `2`");
    quantity(&rule)
}

/// A size of memory.
pub fn bytes(_: &mut SchemaGenerator) -> Schema {
    let rule = Rule::new(
        "type(self) == int ? self >= 1048576 && self <= 70368744177664 : isQuantity(self) && \
         quantity(self).compareTo(quantity('1Mi')) >= 0 && quantity(self).compareTo(quantity('64Ti')) <= 0",
    )
    .message("must be a quantity from 1Mi to 64Ti, such as `512Mi` or `8Gi`");
    quantity(&rule)
}

fn quantity(rule: &Rule) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "maxLength": 20,
        "x-kubernetes-validations": [rule],
    })
}

/// Quantities by resource: from what a container can start with to what no machine has.
fn quantities(description: &str) -> Schema {
    let names = Rule::new(format!(
        "self.all(n, n in {PLAIN} || n.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))"
    ))
    .message("must name nothing but cpu, memory, ephemeral-storage and devices such as nvidia.com/gpu");
    let cpu = Rule::new(
        "!('cpu' in self) || (type(self['cpu']) == int ? self['cpu'] >= 1 && self['cpu'] <= 1024 : \
         isQuantity(self['cpu']) && quantity(self['cpu']).compareTo(quantity('1m')) >= 0 && \
         quantity(self['cpu']).compareTo(quantity('1024')) <= 0)",
    )
    .message("cpu must be a quantity from 1m to 1024, such as `500m` or `2`");
    let bytes = Rule::new(format!(
        "{BYTES}.all(n, !(n in self) || (type(self[n]) == int ? self[n] >= 1048576 && self[n] <= 70368744177664 : \
         isQuantity(self[n]) && quantity(self[n]).compareTo(quantity('1Mi')) >= 0 && \
         quantity(self[n]).compareTo(quantity('64Ti')) <= 0))"
    ))
    .message("memory and ephemeral-storage must be quantities from 1Mi to 64Ti, such as `512Mi` or `8Gi`");
    let devices = Rule::new(format!(
        "self.all(n, n in {PLAIN} || (type(self[n]) == int ? self[n] >= 1 && self[n] <= 999 : self[n].matches('^[1-9][0-9]{{0,2}}$')))"
    ))
    .message("devices must be whole numbers from 1 to 999");
    json_schema!({
        "type": "object",
        "description": description,
        // Older API servers take no heed of maxLength here: with more of them the rules would cost too much.
        "maxProperties": 6,
        "minProperties": 1,
        "additionalProperties": { "x-kubernetes-int-or-string": true, "maxLength": 20 },
        "x-kubernetes-validations": [names, cpu, bytes, devices],
    })
}

/// Labels that a node must have (`nodeSelector`).
pub fn node_selector(_: &mut SchemaGenerator) -> Schema {
    labels("Labels.")
}

/// Labels that a node gets: none of those by which the cluster or the operator decides.
pub fn node_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = labels("Labels.");
    let foreign = Rule::new(
        r"self.all(k, !k.matches(r'^([^/]*\.)?(kubernetes\.io|k8s\.io|cooperator\.dev)/') || k.startsWith('node-restriction.kubernetes.io/'))",
    )
    .message(
        "keys must not be of kubernetes.io, k8s.io or cooperator.dev, except node-restriction.kubernetes.io: those say what a node is, and a rented machine does not",
    );
    let rules = schema.get_mut("x-kubernetes-validations").and_then(|rules| rules.as_array_mut());
    if let (Some(rules), Ok(foreign)) = (rules, serde_json::to_value(foreign)) {
        rules.push(foreign);
    }
    schema
}

/// Annotations that a node gets.
pub fn annotations(_: &mut SchemaGenerator) -> Schema {
    let keys = keys();
    let text = Rule::new(r"!self.matches(r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')")
        .message("must hold no control characters besides line breaks and tabs");
    json_schema!({
        "type": "object",
        "maxProperties": MOST,
        "minProperties": 1,
        "additionalProperties": {
            "type": "string",
            "description": "A value.",
            "maxLength": 1024,
            "x-kubernetes-validations": [text],
        },
        "x-kubernetes-validations": [keys],
    })
}

/// Taints that a node gets.
pub fn taints(_: &mut SchemaGenerator) -> Schema {
    let mut name = key("Key of the taint.");
    name.insert("minLength".to_owned(), 1.into());
    json_schema!({
        "type": "array",
        "maxItems": MOST,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["key", "effect"],
        "items": {
            "type": "object",
            "description": "A taint.",
            "required": ["key", "effect"],
            "properties": {
                "key": name,
                "value": value("Value of the taint."),
                "effect": {
                    "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                    "description": "NoSchedule, PreferNoSchedule or NoExecute.",
                },
            },
        },
    })
}

/// Taints that are tolerated.
pub fn tolerations(_: &mut SchemaGenerator) -> Schema {
    let rules = [
        Rule::new("!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''")
            .message("value must be left out with operator: Exists"),
        Rule::new("(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')")
            .message("key may be left out with operator: Exists alone"),
        Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
            .message("tolerationSeconds must be left out unless effect is NoExecute"),
    ];
    json_schema!({
        "type": "array",
        "maxItems": MOST,
        "items": {
            "type": "object",
            "description": "A taint that is tolerated.",
            "properties": {
                "key": key("Key of the taint. Default: every key, with operator Exists."),
                "operator": {
                    "type": "string", "enum": ["Equal", "Exists"],
                    "description": "Equal: the value too. Exists: whatever the value. Default: Equal.",
                },
                "value": value("Value of the taint."),
                "effect": {
                    "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                    "description": "Default: every effect.",
                },
                "tolerationSeconds": {
                    "type": "integer", "format": "int64", "minimum": 0, "maximum": 2_592_000,
                    "description": "Seconds that NoExecute is put up with, 0 to 2592000. Default: for ever.",
                },
            },
            "x-kubernetes-validations": rules,
        },
    })
}

/// A selector of our objects (`LabelSelector`).
pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let values =
        Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
            .message("values must be given with operator In or NotIn, and only with those");
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": labels("Labels that must be there, with these values."),
            "matchExpressions": {
                "type": "array",
                "maxItems": MOST,
                "description": "Conditions that must all hold. At most 16.",
                "items": {
                    "type": "object",
                    "description": "A condition on a label.",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": key("Key of the label."),
                        "operator": {
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "In or NotIn `values`, Exists or DoesNotExist.",
                        },
                        "values": {
                            "type": "array",
                            "maxItems": MOST,
                            "description": "Values, with In and NotIn. At most 16.",
                            "items": value("A value."),
                        },
                    },
                    "x-kubernetes-validations": [values],
                },
            },
        },
        "x-kubernetes-map-type": "atomic",
    })
}

fn labels(description: &str) -> Schema {
    let keys = keys();
    json_schema!({
        "type": "object",
        "description": format!("{description} 1 to {MOST}."),
        "maxProperties": MOST,
        "minProperties": 1,
        "additionalProperties": value("A value."),
        "x-kubernetes-validations": [keys],
    })
}

fn keys() -> Rule {
    Rule::new(format!("self.all(k, size(k) <= 317 && k.matches(r'{KEY}'))")).message(KEY_MESSAGE)
}

const KEY_MESSAGE: &str = "keys must be label keys: a name of at most 63 letters, digits, `-`, `_` or `.`, after a domain and `/` if need be";

fn key(description: &str) -> Schema {
    let rule = Rule::new(format!("self == '' || self.matches(r'{KEY}')")).message(KEY_MESSAGE);
    json_schema!({
        "type": "string",
        "description": description,
        "maxLength": 317,
        "x-kubernetes-validations": [rule],
    })
}

fn value(description: &str) -> Schema {
    let rule = Rule::new(format!("self.matches(r'{VALUE}')")).message(
        "must be the value of a label: at most 63 letters, digits, `-`, `_` or `.`, beginning and ending with a letter or digit",
    );
    json_schema!({
        "type": "string",
        "description": description,
        "maxLength": 63,
        "x-kubernetes-validations": [rule],
    })
}
