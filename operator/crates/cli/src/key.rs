//! `kubectl coop key`: makes a key and shows it once, or ends one.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use cooperator_api::api_key::{ApiKey, ApiKeySpec, KeyBudget, KeyLimits, SECRET_FIELD};
use cooperator_api::collective::Collective;
use cooperator_api::common::{LocalRef, condition};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use serde_json::json;

use crate::access::{Access, no_collective};
use crate::secret;

/// Longest that the operator may take to look at a key.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do with a key.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Make a key; it is printed on stdout, once
    Create(Create),
    /// End a key within five seconds; it cannot be taken back
    Revoke(Revoke),
}

/// Options of `key create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Name of the ApiKey
    pub name: String,
    /// Who uses and pays, as it stands in the usage log
    #[arg(long)]
    pub consumer: String,
    /// The Collective; by default the only one in the namespace
    #[arg(long)]
    pub collective: Option<String>,
    /// A Deployment it opens, repeatable; by default all of the Collective's
    #[arg(long = "deployment", value_name = "NAME")]
    pub deployments: Vec<String>,
    /// Prepaid money, decimal, in the Collective's currency; by default without bound
    #[arg(long, value_name = "AMOUNT")]
    pub budget: Option<String>,
    /// When it ends, RFC 3339; by default never
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// Most requests a minute; by default the Deployment's
    #[arg(long, value_name = "COUNT")]
    pub requests_per_minute: Option<i32>,
    /// Most tokens a minute; by default the Deployment's
    #[arg(long, value_name = "COUNT")]
    pub tokens_per_minute: Option<i32>,
}

/// Options of `key revoke`.
#[derive(Clone, Debug, clap::Args)]
pub struct Revoke {
    /// Name of the ApiKey
    pub name: String,
}

/// Does it.
///
/// # Errors
/// What the API server refuses, or an operator that does not look at the key.
pub async fn key(access: &Access, action: &Action) -> Result<()> {
    match action {
        Action::Create(options) => create(access, options).await,
        Action::Revoke(options) => revoke(access, &options.name).await,
    }
}

async fn create(access: &Access, options: &Create) -> Result<()> {
    let collective = match &options.collective {
        Some(name) => name.clone(),
        None => only(&access.list::<Collective>().await?, &access.namespace)?,
    };
    let object = build(options, collective);
    match access.api::<ApiKey>().create(&PostParams::default(), &object).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) => bail!("{}", status.message),
        Err(error) => return Err(error).context("the API server does not answer"),
    }
    wait(access, &options.name, condition::READY).await?;
    let secret_name = &object.spec.secret_ref.name;
    let made = || format!("ApiKey `{}` is made; its key is in Secret `{secret_name}`", options.name);
    let fields = secret::read(&access.client, &access.namespace, secret_name).await.with_context(made)?;
    let key = fields.text(SECRET_FIELD)?;
    eprintln!(
        "ApiKey `{}` opens {}; the key is also in Secret `{secret_name}`:",
        options.name,
        opens(options)
    );
    Ok(writeln!(io::stdout(), "{key}")?)
}

fn opens(options: &Create) -> String {
    match options.deployments.as_slice() {
        [] => "every Deployment of the Collective".into(),
        names => names.join(", "),
    }
}

fn only(collectives: &[Collective], namespace: &str) -> Result<String> {
    match collectives {
        [one] => Ok(one.name_any()),
        [] => bail!("{}", no_collective(namespace)),
        many => {
            let names: Vec<String> = many.iter().map(|one| one.name_any()).collect();
            bail!("namespace `{namespace}` has several; give --collective: {}", names.join(", "))
        }
    }
}

/// The ApiKey; its Secret is named after it.
fn build(options: &Create, collective: String) -> ApiKey {
    let spec = ApiKeySpec {
        collective_ref: LocalRef { name: collective },
        consumer: options.consumer.clone(),
        deployments: options.deployments.clone(),
        limits: KeyLimits {
            requests_per_minute: options.requests_per_minute,
            tokens_per_minute: options.tokens_per_minute,
        },
        budget: options.budget.clone().map(|amount| KeyBudget { amount }),
        expires_at: options.expires_at.clone(),
        revoked: false,
        secret_ref: LocalRef { name: format!("{}-key", options.name) },
    };
    ApiKey::new(&options.name, spec)
}

async fn revoke(access: &Access, name: &str) -> Result<()> {
    access.get::<ApiKey>(name).await?;
    let patch = Patch::Merge(json!({"spec": {"revoked": true}}));
    match access.api::<ApiKey>().patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) => bail!("{}", status.message),
        Err(error) => return Err(error).context("the API server does not answer"),
    }
    wait(access, name, condition::REVOKED).await?;
    Ok(writeln!(io::stdout(), "ApiKey `{name}` is revoked")?)
}

/// Waits until the key has the condition.
async fn wait(access: &Access, name: &str, wanted: &'static str) -> Result<()> {
    let says = await_condition(access.api::<ApiKey>(), name, has(wanted));
    match tokio::time::timeout(PATIENCE, says).await {
        Ok(seen) => {
            seen.context("the API server does not answer")?;
            Ok(())
        }
        Err(_) => bail!(
            "ApiKey `{name}` is not {wanted} after {} s; look: kubectl coop -n {} why apikey/{name}",
            PATIENCE.as_secs(),
            access.namespace
        ),
    }
}

fn has(wanted: &'static str) -> impl Condition<ApiKey> {
    move |object: Option<&ApiKey>| {
        let conditions = object.and_then(|object| object.status.as_ref()).map(|status| &status.conditions);
        conditions.into_iter().flatten().any(|found| found.type_ == wanted && found.status == "True")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Create {
        Create {
            name: "radio".into(),
            consumer: "a-radio".into(),
            collective: None,
            deployments: vec!["song".into()],
            budget: Some("10.00".into()),
            expires_at: None,
            requests_per_minute: Some(60),
            tokens_per_minute: None,
        }
    }

    #[test]
    fn a_key_is_what_was_asked_for() {
        let object = build(&options(), "band".into());
        insta::assert_json_snapshot!(object.spec, @r#"
        {
          "collectiveRef": {
            "name": "band"
          },
          "consumer": "a-radio",
          "deployments": [
            "song"
          ],
          "limits": {
            "requestsPerMinute": 60
          },
          "budget": {
            "amount": "10.00"
          },
          "revoked": false,
          "secretRef": {
            "name": "radio-key"
          }
        }
        "#);
    }

    #[test]
    fn the_only_collective_need_not_be_named() {
        let named = |name: &str| {
            let mut collective: Collective = serde_json::from_value(json!({
                "apiVersion": "cooperator.dev/v1alpha1", "kind": "Collective", "metadata": {},
                "spec": {
                    "members": [], "policy": {"baseModelLicenses": [], "contributionLicenses": []},
                    "treasury": {"currency": "EUR", "split": []},
                },
            }))
            .unwrap();
            collective.metadata.name = Some(name.into());
            collective
        };
        assert_eq!(only(&[named("band")], "music").unwrap(), "band");
        let error = only(&[named("band"), named("choir")], "music").unwrap_err().to_string();
        assert_eq!(error, "namespace `music` has several; give --collective: band, choir");
        assert!(only(&[], "music").is_err());
    }
}
