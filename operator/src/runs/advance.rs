//! Moves a run on by the cluster: the only part of `runs` that has a client.
//!
//! An attempt's intent is in status before its Job is made, and its token's hash with it: [`advance`] makes the
//! Secret first (an unused one is harmless and is found again), returns the attempt for status, and makes the Job only
//! when it is called with an attempt that status already holds. Every part may run again after a crash.

use cooperator_api::common::Attempt;
use cooperator_kit::answer::{is_absent, is_there};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt as _};

use super::build;
use super::failure::{Failure, FailureKind};
use super::next::{self, Rules, Step};
use super::plan::{Plan, Site};
use super::state::{self, Activity, Ending, Product, State};
use super::token::Token;

/// What went wrong between here and the API server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("cannot {verb} {kind} `{name}`: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// A name of ours is taken.
    #[error("{kind} `{name}` exists and belongs to another object: delete it, or wait until it is gone")]
    Foreign {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A Secret of ours holds no token.
    #[error("Secret `{name}` holds no run token: delete it, a new one is made")]
    NoToken {
        /// Its name.
        name: String,
    },
    /// The operating system has no randomness.
    #[error("cannot make a run token: {0}")]
    Random(#[from] rand::rand_core::OsError),
    /// The run file cannot be written.
    #[error("cannot write the run file: {0}")]
    RunFile(#[from] serde_json::Error),
}

/// Where a run stands after [`advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A new attempt is in the attempts returned: write them to status, then advance again.
    Begun,
    /// An attempt's Job is there.
    Active(Activity),
    /// An attempt hangs; the attempts returned say so: write them to status, then advance again.
    Condemned(Failure),
    /// A Job is going away, of a condemned attempt for this reason.
    Draining(Option<Failure>),
    /// Suspended, and nothing runs.
    Held,
    /// The next attempt begins at `at`.
    Paused {
        /// When.
        at: Timestamp,
        /// Why the newest attempt ended.
        failure: Failure,
    },
    /// The run made its product; the attempts returned say so.
    Produced(Product),
    /// It is not tried again.
    GivenUp(Failure),
}

/// Moves the run on by one step that matters. Returns the attempts as status should hold them.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn advance(
    client: &Client,
    site: &Site,
    plan: &Plan,
    mut attempts: Vec<Attempt>,
    rules: Rules,
    now: Timestamp,
) -> Result<(Vec<Attempt>, Phase), Error> {
    let mut state = observe(client, plan, &attempts).await?;
    loop {
        let step = next::next(&attempts, &state, rules, now);
        let phase = match plan.leave.iter().fold(step, next::leaving) {
            Step::Begin { number } => {
                attempts.push(begin(client, plan, number, now).await?);
                Phase::Begun
            }
            Step::Launch => {
                if !launch(client, site, plan, &mut attempts).await? {
                    return Ok((attempts, Phase::Begun));
                }
                Phase::Active(Activity::default())
            }
            // The installation names another image by now: the same attempt begins anew with that one.
            Step::Watch(Activity { unpullable: Some(image), .. }) if image != site.image(plan.program) => {
                drained(client, plan, &attempts).await?
            }
            Step::Watch(activity) => {
                if let Some(newest) = attempts.last_mut().filter(|_| activity.node.is_some()) {
                    newest.node.clone_from(&activity.node);
                }
                Phase::Active(activity)
            }
            Step::Condemn(failure) => {
                if let Some(newest) = attempts.last_mut() {
                    newest.reason = Some(failure.kind.to_string());
                    newest.message = Some(failure.message.clone());
                }
                Phase::Condemned(failure)
            }
            Step::Stop => drained(client, plan, &attempts).await?,
            Step::Drain => draining(&attempts),
            Step::Hold => Phase::Held,
            Step::Pause { at, failure } => Phase::Paused { at, failure },
            Step::GiveUp(failure) => Phase::GivenUp(failure),
            Step::End(ending) => {
                attempts = next::ended(attempts, &ending, now);
                forget_token(client, plan, attempts.last().map_or("", |newest| &newest.job)).await?;
                match ending.result {
                    Ok(product) => Phase::Produced(product),
                    Err(_) => {
                        state = State::Missing;
                        continue;
                    }
                }
            }
        };
        return Ok((attempts, phase));
    }
}

/// The newest attempt's Job is going away, and why if it was condemned.
fn draining(attempts: &[Attempt]) -> Phase {
    Phase::Draining(attempts.last().and_then(next::sentence))
}

/// Takes the newest attempt's Job away.
async fn drained(client: &Client, plan: &Plan, attempts: &[Attempt]) -> Result<Phase, Error> {
    stop(client, plan, attempts.last().map_or("", |newest| &newest.job)).await?;
    Ok(draining(attempts))
}

/// Says that the newest attempt's product is not what it claims to be: it ended badly after all.
pub fn spoil(attempts: Vec<Attempt>, message: String, now: Timestamp) -> (Vec<Attempt>, Phase) {
    let failure = Failure::new(FailureKind::ResultUnreadable, message);
    let node = attempts.last().and_then(|newest| newest.node.clone());
    let ending = Ending { at: None, node, result: Err(failure.clone()) };
    (next::ended(attempts, &ending, now), Phase::Paused { at: now, failure })
}

/// Takes a Job away after SIGTERM and grace: the Job stays until its pod is gone.
///
/// # Errors
/// [`Error::Api`]; a Job that is not there is no error.
pub async fn stop(client: &Client, plan: &Plan, job: &str) -> Result<(), Error> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &plan.owner.namespace);
    absent_is_fine(jobs.delete(job, &DeleteParams::foreground()).await.map(drop), "delete", "Job", job)
}

/// Takes the newest attempt's Job away; true while it is still there.
///
/// # Errors
/// [`Error`]
pub async fn stopping(client: &Client, plan: &Plan, attempts: &[Attempt]) -> Result<bool, Error> {
    let Some(newest) = attempts.last() else { return Ok(false) };
    let jobs: Api<Job> = Api::namespaced(client.clone(), &plan.owner.namespace);
    match jobs.get_opt(&newest.job).await.map_err(failed("get", "Job", &newest.job))? {
        None => Ok(false),
        Some(job) if job.metadata.deletion_timestamp.is_some() => Ok(true),
        Some(_) => stop(client, plan, &newest.job).await.map(|()| true),
    }
}

async fn observe(client: &Client, plan: &Plan, attempts: &[Attempt]) -> Result<State, Error> {
    let Some(open) = attempts.last().filter(|newest| newest.ended_at.is_none()) else {
        return Ok(State::Missing);
    };
    let jobs: Api<Job> = Api::namespaced(client.clone(), &plan.owner.namespace);
    let job = jobs.get_opt(&open.job).await.map_err(failed("get", "Job", &open.job))?;
    let Some(job) = job else { return Ok(State::Missing) };
    owned(&job, plan, "Job")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &plan.owner.namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", open.job));
    let pods = pods.list(&of_job).await.map_err(failed("list", "Pods of Job", &open.job))?;
    Ok(state::state(Some(&job), &pods.items))
}

/// An attempt for status, its token already in its Secret.
async fn begin(client: &Client, plan: &Plan, number: i32, now: Timestamp) -> Result<Attempt, Error> {
    Ok(Attempt {
        number,
        job: plan.job(number),
        token_sha256: token_hash(client, plan, number).await?,
        node_claim: plan.machine.as_ref().map(|machine| machine.claim.clone()),
        started_at: cooperator_core::time::whole_second(now).to_string(),
        ..Attempt::default()
    })
}

/// Makes the Job of the newest attempt. False: its Secret was lost and made anew, so status must hold the new hash
/// first.
async fn launch(client: &Client, site: &Site, plan: &Plan, attempts: &mut [Attempt]) -> Result<bool, Error> {
    let Some(newest) = attempts.last_mut() else { return Ok(false) };
    let hash = token_hash(client, plan, newest.number).await?;
    if hash != newest.token_sha256 {
        newest.token_sha256 = hash;
        return Ok(false);
    }
    let file = plan.run_file(site, newest.number, cooperator_telemetry::current_traceparent());
    let namespace = &plan.owner.namespace;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    create(&maps, &build::config_map(plan, newest.number, &file)?, plan, "ConfigMap").await?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    create(&jobs, &build::job(plan, site, newest.number), plan, "Job").await?;
    Ok(true)
}

/// The hash of an attempt's token; empty for a run that reports nothing.
async fn token_hash(client: &Client, plan: &Plan, attempt: i32) -> Result<String, Error> {
    if plan.program.reports() { Ok(token(client, plan, attempt).await?.sha256()) } else { Ok(String::new()) }
}

/// The token of an attempt: the one in its Secret, or a new one that is then in its Secret.
async fn token(client: &Client, plan: &Plan, attempt: i32) -> Result<Token, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.owner.namespace);
    let name = plan.job(attempt);
    let found = secrets.get_opt(&name).await.map_err(failed("get", "Secret", &name))?;
    let Some(secret) = found else {
        let token = Token::random()?;
        let wanted = build::secret(plan, attempt, &token);
        return match secrets.create(&PostParams::default(), &wanted).await {
            Ok(_) => Ok(token),
            Err(error) => Err(failed("create", "Secret", &name)(error)),
        };
    };
    owned(&secret, plan, "Secret")?;
    let bytes = secret.data.as_ref().and_then(|data| data.get(build::TOKEN_KEY));
    bytes.and_then(|bytes| Token::from_secret(&bytes.0)).ok_or(Error::NoToken { name })
}

/// The token that an attempt's Secret holds; none: there is no such Secret, or it holds none.
///
/// # Errors
/// [`Error::Api`]
pub async fn token_of(client: &Client, namespace: &str, job: &str) -> Result<Option<Token>, Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets.get_opt(job).await.map_err(failed("get", "Secret", job))?;
    let bytes = secret.and_then(|secret| secret.data?.remove(build::TOKEN_KEY));
    Ok(bytes.and_then(|bytes| Token::from_secret(&bytes.0)))
}

/// An ended attempt proves nothing any more.
async fn forget_token(client: &Client, plan: &Plan, name: &str) -> Result<(), Error> {
    if !plan.program.reports() {
        return Ok(());
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &plan.owner.namespace);
    absent_is_fine(secrets.delete(name, &DeleteParams::default()).await.map(drop), "delete", "Secret", name)
}

/// Creates; what is there already must be ours.
async fn create<K>(api: &Api<K>, wanted: &K, plan: &Plan, kind: &'static str) -> Result<(), Error>
where
    K: Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let name = wanted.name_any();
    match api.create(&PostParams::default(), wanted).await {
        Ok(_) => Ok(()),
        Err(error) if is_there(&error) => {
            let there = api.get(&name).await.map_err(failed("get", kind, &name))?;
            owned(&there, plan, kind)
        }
        Err(error) => Err(failed("create", kind, &name)(error)),
    }
}

fn owned<K: Resource>(object: &K, plan: &Plan, kind: &'static str) -> Result<(), Error> {
    let ours = object.owner_references().iter().any(|owner| owner.uid == plan.owner.uid);
    if ours { Ok(()) } else { Err(Error::Foreign { kind, name: object.name_any() }) }
}

fn absent_is_fine(
    result: Result<(), kube::Error>,
    verb: &'static str,
    kind: &'static str,
    name: &str,
) -> Result<(), Error> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        other => other.map_err(failed(verb, kind, name)),
    }
}

fn failed(verb: &'static str, kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::Api { verb, kind, name, source: Box::new(source) }
}
