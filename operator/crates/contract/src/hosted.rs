//! A run on a host that is no node of the cluster: what a kubelet would have mounted and read, it gets and leaves over
//! HTTPS, by its run token.
//!
//! `GET .../runs/<uid>/<attempt>/file` answers its run file; `POST .../runs/<uid>/<attempt>/outcome` takes the
//! [`crate::outcome::Outcome`] that a pod leaves in its termination message. A run whose run file came from a URL posts
//! its outcome to the [`OUTCOME`] beside it.

/// Last segment of the URL of a run file.
pub const FILE: &str = "file";
/// Last segment of the URL that takes an outcome.
pub const OUTCOME: &str = "outcome";

/// The attempt of a FineTune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Namespace of the FineTune.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its `metadata.uid`.
    pub uid: &'a str,
    /// The attempt.
    pub attempt: u32,
}

impl Run<'_> {
    /// The URL of [`FILE`] or [`OUTCOME`], where the operator is reached at `base`.
    pub fn url(&self, base: &str, what: &str) -> String {
        let Self { namespace, name, uid, attempt } = self;
        let base = base.trim_end_matches('/');
        format!("{base}/v1/namespaces/{namespace}/finetunes/{name}/runs/{uid}/{attempt}/{what}")
    }
}

/// The URL of [`OUTCOME`] beside that of a run file; none: that is no URL of a run file.
pub fn outcome_url(run_file: &str) -> Option<String> {
    let (run, _) = run_file.rsplit_once('/').filter(|(_, last)| *last == FILE)?;
    Some(format!("{run}/{OUTCOME}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_goes_beside_where_the_run_file_came_from() {
        let run = Run { namespace: "presidents", name: "v1", uid: "u", attempt: 2 };
        let file = run.url("https://progress.example.org/", FILE);
        assert_eq!(file, "https://progress.example.org/v1/namespaces/presidents/finetunes/v1/runs/u/2/file");
        assert_eq!(outcome_url(&file), Some(run.url("https://progress.example.org", OUTCOME)));
        assert_eq!(outcome_url("https://progress.example.org/run.json"), None);
    }
}
