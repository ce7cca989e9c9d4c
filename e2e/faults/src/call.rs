//! A call that changes something, and the moments at which its caller may die.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use http::Method;
use regex::Regex;
use serde_json::Value;

/// What a caller was about to do, the same in every run: `PATCH finetunes/v1/status`, `PUT s3 .cooperator/check`,
/// `POST garage CreateBucket`.
pub type Call = String;

/// Whose API a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// kube-apiserver.
    Kubernetes,
    /// The S3 API of the store.
    S3,
    /// The admin API of the store.
    Garage,
}

/// All of them, in the order in which they are told.
pub const SERVERS: [Server; 3] = [Server::Kubernetes, Server::S3, Server::Garage];

impl Server {
    /// As calls name it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::S3 => "s3",
            Self::Garage => "garage",
        }
    }

    /// Whose a call is.
    pub fn of(call: &Call) -> Self {
        match call.split(' ').nth(1) {
            Some("s3") => Self::S3,
            Some("garage") => Self::Garage,
            _ => Self::Kubernetes,
        }
    }
}

/// Before the server has it, or after it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The server never hears of it.
    Before,
    /// The server did it, the caller never hears so.
    After,
}

/// Where the operator is killed: around the n-th time (from 1) it makes a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The call.
    pub call: Call,
    /// Which of its times.
    pub time: u32,
    /// On which side of it.
    pub when: When,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Before => "before",
            When::After => "after",
        };
        write!(f, "{when} #{} {}", self.time, self.call)
    }
}

impl FromStr for Point {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wanted = "give a point as the table shows it: `after #1 POST jobs/v1-1`";
        let (when, rest) = text.split_once(" #").context(wanted)?;
        let (time, call) = rest.split_once(' ').context(wanted)?;
        let when = match when {
            "before" => When::Before,
            "after" => When::After,
            _ => bail!(wanted),
        };
        Ok(Self { call: call.to_owned(), time: time.parse().context(wanted)?, when })
    }
}

/// The start of a digest in a name: it is of something with a uid in it, and so differs from run to run.
static SHORT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("-[0-9a-f]{8}(-|/|$)").unwrap_or_else(|_| unreachable!()));

/// A uid, as keys of checkpoints have it: another in every run.
static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap_or_else(|_| unreachable!())
});

/// A name without digests.
pub fn nameless(name: &str) -> String {
    SHORT.replace_all(name, "-*$1").into_owned()
}

/// What a request is, if it changes something that is told about in the end. Leases and events are not: an election has
/// tests of its own, and events may come twice.
pub fn call(server: Server, method: &Method, path: &str, body: &[u8]) -> Option<Call> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    match server {
        Server::Garage => Some(format!("{method} garage {}", path.rsplit('/').next().unwrap_or_default())),
        Server::S3 => {
            let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
            Some(format!("{method} s3 {}", UID.replace_all(key, "*")))
        }
        Server::Kubernetes => {
            let place = path
                .split_once("/namespaces/")
                .map_or(path, |(_, rest)| rest.split_once('/').map_or(rest, |(_, place)| place));
            if place.starts_with("leases") || place.starts_with("events") {
                return None;
            }
            let name = if *method == Method::POST { posted_name(body) } else { String::new() };
            Some(format!("{method} {}", nameless(&format!("{place}{name}"))))
        }
    }
}

/// The name of an object that is being made, with a slash before it.
fn posted_name(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["name"].as_str().map(|name| format!("/{name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_same_name_in_every_run() {
        let job = br#"{"metadata": {"name": "v1-1"}}"#;
        let jobs = "/apis/batch/v1/namespaces/band/jobs";
        assert_eq!(call(Server::Kubernetes, &Method::POST, jobs, job).unwrap(), "POST jobs/v1-1");
        let config = "/api/v1/namespaces/band/configmaps/song-server-0a1b2c3d";
        assert_eq!(
            call(Server::Kubernetes, &Method::PATCH, config, b"").unwrap(),
            "PATCH configmaps/song-server-*"
        );
        let status = "/apis/cooperator.dev/v1alpha1/namespaces/band/finetunes/v1/status";
        assert_eq!(
            call(Server::Kubernetes, &Method::PATCH, status, b"").unwrap(),
            "PATCH finetunes/v1/status"
        );
        assert_eq!(
            call(Server::S3, &Method::PUT, "/band.band/.cooperator/check", b"").unwrap(),
            "PUT s3 .cooperator/check"
        );
        let checkpoint = "/band.band/finetunes/2a99c109-b233-4a8e-b07d-72162390321a/00001/0000000006.json";
        assert_eq!(
            call(Server::S3, &Method::DELETE, checkpoint, b"").unwrap(),
            "DELETE s3 finetunes/*/00001/0000000006.json"
        );
        assert_eq!(
            call(Server::Garage, &Method::POST, "/v2/CreateKey", b"").unwrap(),
            "POST garage CreateKey"
        );
    }

    #[test]
    fn a_call_tells_whose_it_is() {
        for (server, path) in [
            (Server::Kubernetes, "/api/v1/namespaces/band/secrets/s3"),
            (Server::S3, "/band.band/a"),
            (Server::Garage, "/v2/CreateKey"),
        ] {
            assert_eq!(Server::of(&call(server, &Method::PUT, path, b"").unwrap()), server);
        }
    }

    #[test]
    fn what_changes_nothing_that_is_told_is_no_call() {
        for (method, path) in [
            (Method::GET, "/api/v1/namespaces/band/secrets/a"),
            (Method::PATCH, "/apis/coordination.k8s.io/v1/namespaces/system/leases/cooperator-operator"),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/band/events"),
        ] {
            assert_eq!(call(Server::Kubernetes, &method, path, b""), None);
        }
    }

    #[test]
    fn a_name_is_told_without_the_digests_in_it() {
        for (name, told) in [
            ("ConfigMap/band-server-0a1b2c3d", "ConfigMap/band-server-*"),
            ("Job/tiny-import-afc5a6bd-1", "Job/tiny-import-*-1"),
            ("Job/first-1", "Job/first-1"),
        ] {
            assert_eq!(nameless(name), told);
        }
    }

    #[test]
    fn a_point_is_read_as_it_is_shown() {
        let point = Point { call: "POST jobs/v1-1".into(), time: 2, when: When::After };
        assert_eq!(point.to_string(), "after #2 POST jobs/v1-1");
        assert_eq!(point.to_string().parse::<Point>().unwrap(), point);
        assert!("POST jobs".parse::<Point>().is_err());
    }
}
