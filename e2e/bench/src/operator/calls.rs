//! The calls that the API server has answered, by its own metrics: those for objects that the operator or its twin
//! works with. The Lease of the election, and what the API server does by itself, are left out.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use kube::Client;

const METRIC: &str = "apiserver_request_total{";
/// Groups that a side works with and the API server does not.
const GROUPS: [&str; 6] = ["apps", "batch", "cooperator.dev", "events.k8s.io", "networking.k8s.io", "policy"];
/// The same, of the group without a name.
const CORE: [&str; 3] = ["events", "pods", "secrets"];
const READS: [&str; 3] = ["GET", "LIST", "WATCH"];

/// How often each was called, by verb and resource.
#[derive(Clone, Debug, Default)]
pub struct Calls(BTreeMap<(String, String), u64>);

impl Calls {
    /// All since the API server started.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn of(client: &Client) -> Result<Self> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(Self::parse(&client.request_text(request).await?))
    }

    fn parse(metrics: &str) -> Self {
        let mut calls = BTreeMap::new();
        for line in metrics.lines() {
            let Some((labels, number)) = line.strip_prefix(METRIC).and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let label = |name: &str| {
                let begin = labels.find(&format!("{name}=\""))? + name.len() + 2;
                labels[begin..].split('"').next()
            };
            let (Some(group), Some(resource), Some(verb)) =
                (label("group"), label("resource"), label("verb"))
            else {
                continue;
            };
            let counts = GROUPS.contains(&group) || (group.is_empty() && CORE.contains(&resource));
            if counts && let Ok(number) = number.parse::<f64>() {
                *calls.entry((verb.to_owned(), resource.to_owned())).or_default() += number as u64;
            }
        }
        Self(calls)
    }

    /// Those since an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        let calls = self.0.iter().map(|(key, number)| {
            let before = earlier.0.get(key).copied().unwrap_or_default();
            (key.clone(), number.saturating_sub(before))
        });
        Self(calls.filter(|(_, number)| *number > 0).collect())
    }

    /// Those that change nothing.
    pub fn reads(&self) -> u64 {
        self.sum(|verb| READS.contains(&verb))
    }

    /// Those that may change something.
    pub fn writes(&self) -> u64 {
        self.sum(|verb| !READS.contains(&verb))
    }

    fn sum(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        self.0.iter().filter(|((verb, _), _)| wanted(verb)).map(|(_, number)| number).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.0.iter().map(|((verb, resource), number)| format!("{number} {verb} {resource}")).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="cooperator.dev",resource="finetunes",scope="resource",subresource="status",verb="APPLY",version="v1alpha1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="cooperator.dev",resource="finetunes",scope="resource",subresource="",verb="GET",version="v1alpha1"} 5
apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 1
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 99
apiserver_request_total{code="200",component="",dry_run="",group="",resource="",scope="",subresource="/readyz",verb="GET",version=""} 7
"#;

    #[test]
    fn calls_of_a_side_are_counted_and_its_lease_is_not() {
        let calls = Calls::parse(METRICS);
        assert_eq!((calls.reads(), calls.writes()), (5, 4));
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let later = Calls::parse(&METRICS.replace("} 3", "} 4"));
        assert_eq!(later.since(&Calls::parse(METRICS)).to_string(), "1 APPLY finetunes");
    }
}
