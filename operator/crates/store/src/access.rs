//! What lets a call through: the key that the client signs with, or a URL that a broker grants for this one call. It is
//! the only difference between the two kinds of [`Store`]: how calls are made, retried, read and verified is the same.

use std::future::Future;
use std::sync::Arc;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use cooperator_contract::broker::{Grant, Request};

use crate::broker::Broker;
use crate::{Credentials, Error, Result, Store};

/// How a store is opened.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// With a key: the client signs every call.
    Key(Credentials),
    /// Without: every call goes to a URL of its own.
    Broker(Arc<Broker>),
}

/// Lets one call through. With a grant, the call goes where the grant says, and with its headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permit {
    grant: Option<Grant>,
    /// Whether the grant was used before: then it may have run out meanwhile.
    pub is_reused: bool,
}

impl Permit {
    /// For a call of a store without a key.
    pub(crate) const fn new(grant: Grant, is_reused: bool) -> Self {
        Self { grant: Some(grant), is_reused }
    }
}

impl Intercept for Permit {
    fn name(&self) -> &'static str {
        "Permit"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let Some(grant) = &self.grant else { return Ok(()) };
        let request = context.request_mut();
        let headers = request.headers_mut();
        // Storage refuses a header of its protocol that the URL does not sign, such as the client's own name.
        let unsigned = |name: &&str| name.starts_with("x-amz-");
        let names: Vec<String> =
            headers.iter().map(|(name, _)| name).filter(unsigned).map(str::to_owned).collect();
        for name in names {
            headers.remove(name);
        }
        // No error repeats what was granted: it is a secret.
        for (name, value) in &grant.headers {
            headers.try_insert(name.clone(), value.clone()).map_err(|_| "a granted header is none")?;
        }
        request.set_uri(grant.url.as_str()).map_err(|_| "the granted URL is none")?;
        Ok(())
    }
}

impl Store {
    /// Runs `call` as [`Store::retried`] does, each time with what lets it through. `request` says what it will do; it is
    /// asked only where there is a broker. A URL that was good before and is refused now has run out: it is renewed once.
    pub(crate) async fn permitted<T, F>(
        &self,
        what: &str,
        request: impl Fn() -> Request,
        call: impl Fn(Permit) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.retried(async || {
            let Access::Broker(broker) = &self.access else { return call(Permit::default()).await };
            let request = request();
            let permit = broker.permit(&request, what).await?;
            let is_reused = permit.is_reused;
            match call(permit).await {
                // AWS answers 403 to a URL that has run out, Garage 400.
                Err(Error::Forbidden { .. } | Error::Refused { .. }) if is_reused => {
                    broker.forget(&request);
                    call(broker.permit(&request, what).await?).await
                }
                done => done,
            }
        })
        .await
    }
}
