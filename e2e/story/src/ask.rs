//! Real requests through the gateway, streamed and not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cooperator_api::api_key::SECRET_FIELD;
use cooperator_cli::forward::Forward;
use cooperator_cli::secret;
use cooperator_cluster::progress::Progress;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::PRESIDENTS;
use crate::cluster::Cluster;

/// Labels of the gateway's pods.
pub const GATEWAY: &str = "app.kubernetes.io/component=gateway,cooperator.dev/collective=presidents";

/// What is asked in the story, and whether the answer comes as a stream.
pub const QUESTIONS: [(&str, bool); 4] = [
    ("What is the state of the Union?", false),
    ("What should Congress do about the currency?", true),
    ("How are our relations with foreign nations?", false),
    ("What do you recommend for the coming year?", true),
];

/// An answer and what it cost.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// Whether it came as a stream.
    pub streamed: bool,
    /// What the model said.
    pub text: String,
    /// Prompt tokens, as the usage says.
    pub input_tokens: u64,
    /// Generated tokens, as the usage says.
    pub output_tokens: u64,
}

/// The gateway from outside, with a key.
pub struct Gateway {
    /// Base URL without `/v1`.
    pub url: String,
    /// A key that opens the story's Deployment.
    pub key: String,
    http: reqwest::Client,
    _forward: Forward,
}

impl Gateway {
    /// Opens the way to the gateway and reads the reader's key.
    ///
    /// # Errors
    /// When no gateway runs or the key's Secret is not there.
    pub async fn open(cluster: &Cluster) -> Result<Self> {
        let forward = Forward::to(&cluster.client, PRESIDENTS, GATEWAY, 8080).await?;
        let key = secret::read(&cluster.client, PRESIDENTS, "reader-key").await?.text(SECRET_FIELD)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(300)).build()?;
        Ok(Self { url: forward.url(), key, http, _forward: forward })
    }

    /// Asks one question.
    ///
    /// # Errors
    /// When the gateway answers anything but 200, with what it said.
    pub async fn ask(&self, question: &str, streamed: bool) -> Result<Answer> {
        let mut body = json!({
            "model": PRESIDENTS,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 48,
            "temperature": 0,
            "stream": streamed,
        });
        if streamed {
            body["stream_options"] = json!({"include_usage": true});
        }
        let url = format!("{}/v1/chat/completions", self.url);
        let response = self.http.post(url).bearer_auth(&self.key).json(&body).send().await?;
        let status = response.status();
        if !status.is_success() {
            anyhow::bail!("the gateway answered {status}: {}", response.text().await?);
        }
        let (text, usage) =
            if streamed { read_stream(response).await? } else { read_whole(response).await? };
        let tokens =
            |field: &str| usage[field].as_u64().with_context(|| format!("usage has no {field}: {usage}"));
        Ok(Answer {
            question: question.into(),
            streamed,
            text,
            input_tokens: tokens("prompt_tokens")?,
            output_tokens: tokens("completion_tokens")?,
        })
    }
}

async fn read_whole(response: reqwest::Response) -> Result<(String, Value)> {
    let body: Value = response.json().await?;
    let text = body["choices"][0]["message"]["content"].as_str().context("an answer has content")?;
    Ok((text.into(), body["usage"].clone()))
}

async fn read_stream(response: reqwest::Response) -> Result<(String, Value)> {
    let bytes: Vec<u8> = response
        .bytes_stream()
        .try_fold(Vec::new(), |mut all, part| async move {
            all.extend_from_slice(&part);
            Ok(all)
        })
        .await?;
    let (mut text, mut usage, mut ended) = (String::new(), Value::Null, false);
    for data in String::from_utf8(bytes)?.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            ended = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data)?;
        text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        if chunk["usage"].is_object() {
            usage = chunk["usage"].clone();
        }
    }
    ensure!(ended, "the stream ended without [DONE]");
    Ok((text, usage))
}

/// Asks every question of the story.
///
/// # Errors
/// As [`Gateway::ask`].
pub async fn ask(cluster: &Cluster, progress: &Progress) -> Result<Vec<Answer>> {
    let gateway = Gateway::open(cluster).await?;
    let mut answers = Vec::new();
    for (question, streamed) in QUESTIONS {
        let how = if streamed { "streamed" } else { "whole" };
        let step = progress.step(&format!("Asking ({how}): {question}"), None);
        let answer = gateway.ask(question, streamed).await?;
        step.done();
        progress.say(&format!("    {}", answer.text.trim().replace('\n', " ")));
        progress.say(&format!("    ({} tokens in, {} out)", answer.input_tokens, answer.output_tokens));
        answers.push(answer);
    }
    Ok(answers)
}
