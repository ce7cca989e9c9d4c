//! What nodes and their controllers do, without nodes: runs the programs of Jobs, and says that Deployments are up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cooperator_contract::run;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::Programs;
use crate::stage::{NAMESPACE, Stage};

/// Between two looks for something that a pod waits for.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks for work, as long as nobody calls.
const IDLE: Duration = Duration::from_millis(500);
/// Label of a Job's pods.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// They work until dropped.
pub struct Hands(JoinHandle<()>);

impl Drop for Hands {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What they work with.
#[derive(Clone)]
struct Work {
    client: Client,
    programs: Programs,
    /// S3 past the gate: only the operator's calls are counted.
    s3: String,
    folder: PathBuf,
}

impl Hands {
    /// Sets them to work on a stage. What runs write goes below its folder.
    pub fn work(stage: &Stage, programs: &Programs) -> Self {
        let work = Work {
            client: stage.client.clone(),
            programs: programs.clone(),
            s3: format!("http://{}", stage.s3),
            folder: stage.folder.clone(),
        };
        let mut news = stage.gate.news();
        Self(tokio::spawn(async move {
            let (mut begun, mut runs) = (BTreeSet::new(), JoinSet::new());
            loop {
                news.mark_unchanged();
                if let Err(error) = work.look(&mut begun, &mut runs).await {
                    eprintln!("hands: {error:#}");
                }
                drop(tokio::time::timeout(IDLE, news.changed()).await);
            }
        }))
    }
}

impl Work {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn look(&self, begun: &mut BTreeSet<String>, runs: &mut JoinSet<()>) -> Result<()> {
        for job in self.api::<Job>().list(&ListParams::default()).await? {
            let uid = job.uid().unwrap_or_default();
            if begun.insert(uid) {
                let work = self.clone();
                runs.spawn(async move {
                    if let Err(error) = work.run(&job).await {
                        eprintln!("hands: Job {}: {error:#}", job.name_any());
                    }
                });
            }
        }
        for deployment in self.api::<Deployment>().list(&ListParams::default()).await? {
            self.raise(&deployment).await?;
        }
        Ok(())
    }

    /// Says that every pod of a Deployment is up.
    async fn raise(&self, deployment: &Deployment) -> Result<()> {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let current = status.observed_generation == deployment.metadata.generation;
        if current && status.available_replicas.unwrap_or(0) == wanted {
            return Ok(());
        }
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation, "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": wanted, "availableReplicas": wanted,
        }});
        let name = deployment.name_any();
        self.api::<Deployment>().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    /// Runs a Job's program to its end, then says how it ended, as kubelet and Job controller do.
    async fn run(&self, job: &Job) -> Result<()> {
        let name = job.name_any();
        let template =
            job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).context("a Job has a pod")?;
        let container = template.containers.first().context("a pod has a container")?;
        let folder = self.folder.join("runs").join(&name);
        tokio::fs::create_dir_all(&folder).await?;
        let mut program = self.program(container, &folder).await?;
        program.current_dir(&folder).env("TMPDIR", &folder).kill_on_drop(true);
        let log = std::fs::File::create(folder.join("log"))?;
        let status = program.stdout(log.try_clone()?).stderr(log).status().await?;
        let message = tokio::fs::read_to_string(folder.join("outcome")).await.unwrap_or_default();
        let code = status.code().unwrap_or(137);
        self.tell_pod(job, container, code, &message).await?;
        let now = jiff::Timestamp::now().to_string();
        let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now});
        // The API server wants the one before the other (JobSuccessPolicy, JobPodReplacementPolicy).
        let conditions = match code {
            0 => [
                condition("SuccessCriteriaMet", "CompletionsReached"),
                condition("Complete", "CompletionsReached"),
            ],
            _ => [
                condition("FailureTarget", "BackoffLimitExceeded"),
                condition("Failed", "BackoffLimitExceeded"),
            ],
        };
        let mut status = json!({"startTime": now, "conditions": conditions});
        if code == 0 {
            status["succeeded"] = json!(1);
            status["completionTime"] = json!(now);
        } else {
            status["failed"] = json!(1);
        }
        let status = Patch::Merge(json!({"status": status}));
        self.api::<Job>().patch_status(&name, &PatchParams::default(), &status).await?;
        Ok(())
    }

    /// The container's program with its run file and its environment.
    async fn program(&self, container: &Container, folder: &Path) -> Result<tokio::process::Command> {
        let words = container.command.clone().unwrap_or_default();
        let (first, rest) = words.split_first().context("a container has a command")?;
        let path = match first.rsplit('/').next().unwrap_or_default() {
            "cooperator-trainer" => &self.programs.trainer,
            "cooperator-settle" => &self.programs.settle,
            other => bail!("no program {other} here"),
        };
        let run_file = folder.join("run.json");
        let job = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let config: ConfigMap = self.when_there(job).await?;
        let text = config.data.as_ref().and_then(|data| data.get("run.json")).context("no run.json")?;
        let mut file: Value = serde_json::from_str(text)?;
        file["outcomePath"] = json!(folder.join("outcome"));
        file["storage"]["endpoint"] = json!(self.s3);
        tokio::fs::write(&run_file, file.to_string()).await?;
        let mut program = tokio::process::Command::new(std::path::absolute(path)?);
        for word in rest {
            if word == run::PATH {
                program.arg(&run_file)
            } else {
                program.arg(word)
            };
        }
        for variable in container.env.iter().flatten() {
            let reference = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref());
            if let Some(reference) = reference {
                if reference.optional == Some(true) {
                    continue;
                }
                let secret: Secret = self.when_there(&reference.name).await?;
                let value = secret.data.as_ref().and_then(|data| data.get(&reference.key));
                let value =
                    value.with_context(|| format!("Secret {} has no {}", reference.name, reference.key))?;
                program.env(&variable.name, String::from_utf8(value.0.clone())?);
            } else if let Some(value) = &variable.value {
                program.env(&variable.name, value);
            }
        }
        Ok(program)
    }

    /// An object a pod needs: a kubelet waits for it, for as long as it takes.
    async fn when_there<K>(&self, name: &str) -> Result<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        loop {
            if let Some(object) = self.api::<K>().get_opt(name).await? {
                return Ok(object);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The pod of a Job, as it is when it has ended.
    async fn tell_pod(&self, job: &Job, container: &Container, code: i32, message: &str) -> Result<()> {
        let name = format!("{}-pod", job.name_any());
        let mut labels = job.labels().clone();
        labels.insert(JOB_NAME.into(), job.name_any());
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "restartPolicy": "Never", "nodeName": "node-0", "automountServiceAccountToken": false,
                "containers": [{"name": container.name, "image": container.image}],
            },
        }))?;
        let pods = self.api::<Pod>();
        pods.create(&PostParams::default(), &pod).await?;
        let now = jiff::Timestamp::now().to_string();
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {"phase": phase, "containerStatuses": [{
            "name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}},
        }]}});
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }
}
