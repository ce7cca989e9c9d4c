//! The protocol of the API server in memory.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Map, Value, json};
use tower_test::mock::Handle;

use super::{HOME, START, World};

/// Path of a collection, or of an object in it.
pub fn path(api_version: &str, plural: &str, name: Option<&str>) -> String {
    let root = if api_version == "v1" { "/api/v1".into() } else { format!("/apis/{api_version}") };
    let folder = match plural {
        "nodes" | "namespaces" => format!("{root}/{plural}"),
        _ => format!("{root}/namespaces/{HOME}/{plural}"),
    };
    name.map_or(folder.clone(), |name| format!("{folder}/{name}"))
}

/// Kind of a plural that tests use.
pub fn kind(plural: &str) -> &'static str {
    match plural {
        "secrets" => "Secret",
        "configmaps" => "ConfigMap",
        "pods" => "Pod",
        "jobs" => "Job",
        "services" => "Service",
        "serviceaccounts" => "ServiceAccount",
        "rolebindings" => "RoleBinding",
        "poddisruptionbudgets" => "PodDisruptionBudget",
        "networkpolicies" => "NetworkPolicy",
        "deployments" => "Deployment",
        "apikeys" => "ApiKey",
        "basemodels" => "BaseModel",
        "contributions" => "Contribution",
        "datasets" => "Dataset",
        "finetunes" => "FineTune",
        "settlements" => "Settlement",
        "collectives" => "Collective",
        "nodeclaims" => "NodeClaim",
        "nodepools" => "NodePool",
        "providers" => "Provider",
        "nodes" => "Node",
        "namespaces" => "Namespace",
        other => panic!("no kind for {other}"),
    }
}

/// Gives an object what the API server gives it.
pub fn stamp(world: &mut World, object: &mut Value, before: Option<&Value>) {
    world.version += 1;
    let version = world.version;
    let spec_changed = before.is_some_and(|before| before["spec"] != object["spec"]);
    let generation = before.and_then(|before| before["metadata"]["generation"].as_i64()).unwrap_or(1);
    // Machines are named after the uids of their claims, which are UUIDs everywhere.
    let is_claim = text(&object["kind"]) == "NodeClaim";
    let metadata = &mut object["metadata"];
    if metadata["namespace"].is_null() {
        metadata["namespace"] = json!(HOME);
    }
    metadata["resourceVersion"] = json!(version.to_string());
    metadata["generation"] = json!(generation + i64::from(spec_changed));
    if metadata["uid"].is_null() {
        let uid = if is_claim {
            format!("00000000-0000-4000-8000-{version:012x}")
        } else {
            format!("uid-{version}")
        };
        metadata["uid"] = json!(uid);
    }
    if metadata["creationTimestamp"].is_null() {
        metadata["creationTimestamp"] = json!(START);
    }
}

/// Answers until the client is dropped.
pub async fn serve(mut handle: Handle<Request<Body>, Response<Body>>, world: Arc<Mutex<World>>) {
    while let Some((request, send)) = handle.next_request().await {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let answer = answer(&mut world.lock().unwrap(), &parts.method, parts.uri.path(), &query, body);
        match answer {
            Some((code, value)) => {
                let body = Body::from(serde_json::to_vec(&value).unwrap());
                send.send_response(Response::builder().status(code).body(body).unwrap());
            }
            None => send.send_error(std::io::Error::other("the connection was cut")),
        }
    }
}

type Answer = Option<(StatusCode, Value)>;

fn answer(world: &mut World, method: &Method, path: &str, query: &[(String, String)], body: Value) -> Answer {
    if path.contains("/events") {
        let again = if body["series"].is_null() { "" } else { " again" };
        world.events.push(format!("{} {}{again}", text(&body["type"]), text(&body["reason"])));
        return Some((StatusCode::OK, body));
    }
    if path.split('/').any(|part| world.removed_kinds.iter().any(|plural| plural == part)) {
        return Some((StatusCode::NOT_FOUND, json!("404 page not found")));
    }
    let writes = world.writes.len();
    let answer = match *method {
        Method::GET => read(world, path, query),
        Method::POST => create(world, path, body),
        Method::PATCH => patch(world, path, query, &body),
        Method::DELETE => delete(world, path),
        _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    };
    if world.writes.len() > writes && world.cut_after.is_some_and(|cut| world.writes.len() >= cut) {
        world.cut_after = None;
        return None;
    }
    Some(answer)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn refuse(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code.as_u16() });
    (code, status)
}

fn read(world: &World, path: &str, query: &[(String, String)]) -> (StatusCode, Value) {
    if let Some(object) = world.objects.get(path) {
        return (StatusCode::OK, object.clone());
    }
    // A collection ends with a plural: of one namespace, or of all.
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (prefix, plural) =
        (words.iter().position(|word| *word == "namespaces"), words.last().copied().unwrap_or_default());
    let depth = if words.first() == Some(&"api") { 2 } else { 3 };
    let folders: Vec<String> = match prefix {
        Some(at) if words.len() == at + 3 => vec![format!("{path}/")],
        None if words.len() == depth + 1 => {
            let root = words[..depth].join("/");
            let all = world.objects.keys().filter(|key| key.starts_with(&format!("/{root}/")));
            let folder = |key: &String| key.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
            let mut found: Vec<String> =
                all.filter_map(folder).filter(|folder| folder.ends_with(&format!("/{plural}/"))).collect();
            found.dedup();
            found
        }
        _ => return refuse(StatusCode::NOT_FOUND, "NotFound"),
    };
    let selector = query.iter().find(|(key, _)| key == "labelSelector").map(|(_, value)| value.as_str());
    let matches = |object: &Value| {
        selector
            .unwrap_or_default()
            .split(',')
            .filter_map(|term| term.split_once('='))
            .all(|(key, value)| object["metadata"]["labels"][key] == json!(value))
    };
    let field =
        query.iter().find(|(key, _)| key == "fieldSelector").and_then(|(_, value)| value.split_once('='));
    let on_node = |object: &Value| field.is_none_or(|(_, node)| object["spec"]["nodeName"] == json!(node));
    let items: Vec<Value> = world
        .objects
        .iter()
        .filter(|(key, _)| {
            folders
                .iter()
                .any(|folder| key.strip_prefix(folder.as_str()).is_some_and(|name| !name.contains('/')))
        })
        .filter(|(_, object)| matches(object) && on_node(object))
        .map(|(_, object)| object.clone())
        .collect();
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items });
    (StatusCode::OK, list)
}

fn create(world: &mut World, path: &str, mut body: Value) -> (StatusCode, Value) {
    let name = text(&body["metadata"]["name"]).to_owned();
    let key = format!("{path}/{name}");
    if world.objects.contains_key(&key) {
        return refuse(StatusCode::CONFLICT, "AlreadyExists");
    }
    if let Some(Value::Object(plain)) = body.get_mut("stringData").map(Value::take) {
        let data: Map<String, Value> =
            plain.into_iter().map(|(key, value)| (key, json!(STANDARD.encode(text(&value))))).collect();
        body["data"] = Value::Object(data);
    }
    stamp(world, &mut body, None);
    world.writes.push(format!("POST {}/{name}", path.rsplit('/').next().unwrap_or_default()));
    world.objects.insert(key, body.clone());
    (StatusCode::CREATED, body)
}

fn patch(world: &mut World, path: &str, query: &[(String, String)], body: &Value) -> (StatusCode, Value) {
    let key = path.strip_suffix("/status").unwrap_or(path).to_owned();
    let Some(before) = world.objects.get(&key).cloned() else {
        return if body["kind"].is_null() || path.ends_with("/status") {
            refuse(StatusCode::NOT_FOUND, "NotFound")
        } else {
            create(world, key.rsplit_once('/').map_or("", |(folder, _)| folder), body.clone())
        };
    };
    let expected = &body["metadata"]["resourceVersion"];
    if !expected.is_null() && *expected != before["metadata"]["resourceVersion"] {
        return refuse(StatusCode::CONFLICT, "Conflict");
    }
    let mut object = before.clone();
    if path.ends_with("/status") && body["kind"].is_null() {
        merge(&mut object["status"], &body["status"]);
    } else if path.ends_with("/status") {
        let manager =
            query.iter().find(|(key, _)| key == "fieldManager").map_or("", |(_, value)| value.as_str());
        apply_status(world, &key, manager, &mut object, &body["status"]);
    } else if body["kind"].is_null() {
        merge(&mut object, body);
    } else {
        apply(&mut object, body);
    }
    let verb = if path.ends_with("/status") { "STATUS" } else { "PATCH" };
    let mut words = key.rsplit('/');
    let (name, plural) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    world.writes.push(format!("{verb} {plural}/{name}"));
    stamp(world, &mut object, Some(&before));
    // Only what was deleted by a call: tests look at what they have marked themselves.
    let is_leaving = object["metadata"]["deletionGracePeriodSeconds"].is_number();
    let is_held =
        object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    if is_leaving && !is_held && before["metadata"]["finalizers"] != object["metadata"]["finalizers"] {
        world.objects.remove(&key);
    } else {
        world.objects.insert(key, object.clone());
    }
    (StatusCode::OK, object)
}

/// A JSON merge patch (RFC 7396).
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (field, value) in fields {
        match (value, object.as_object_mut()) {
            (Value::Null, Some(object)) => drop(object.remove(field)),
            (value, Some(object)) => merge(object.entry(field.clone()).or_insert(Value::Null), value),
            (_, None) => {}
        }
    }
}

/// What is applied comes to hold; the server's own metadata and the status stay.
fn apply(object: &mut Value, applied: &Value) {
    for (field, value) in applied.as_object().into_iter().flatten() {
        if field != "metadata" && field != "status" {
            object[field] = value.clone();
        }
    }
    for field in ["labels", "annotations", "ownerReferences"] {
        object["metadata"][field] = applied["metadata"][field].clone();
    }
}

/// Fields applied replace those that the same manager applied before; those of others stay.
fn apply_status(world: &mut World, key: &str, manager: &str, object: &mut Value, applied: &Value) {
    let applied = applied.as_object().cloned().unwrap_or_default();
    let fields: Vec<String> = applied.keys().cloned().collect();
    let owner = (key.to_owned(), manager.to_owned());
    let before = world.managed.insert(owner, fields).unwrap_or_default();
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    let Some(status) = object["status"].as_object_mut() else { return };
    for field in before {
        status.remove(&field);
    }
    status.extend(applied);
}

/// An object with finalizers stays until they are gone.
fn delete(world: &mut World, path: &str) -> (StatusCode, Value) {
    let Some(mut object) = world.objects.remove(path) else {
        return refuse(StatusCode::NOT_FOUND, "NotFound");
    };
    let mut words = path.rsplit('/');
    let (name, plural) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    world.writes.push(format!("DELETE {plural}/{name}"));
    if object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
        object["metadata"]["deletionTimestamp"] = json!(START);
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        world.objects.insert(path.to_owned(), object.clone());
    }
    (StatusCode::OK, object)
}
