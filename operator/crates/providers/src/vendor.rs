//! The vendors there are, and how one is connected.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cooperator_core::time::Clock;
use url::Url;

use crate::driver::Driver;
use crate::error::Error;
use crate::hetzner::{self, Hetzner};
use crate::http::Key;
use crate::lambda::{self, Lambda};
use crate::runpod::{self, RunPod};
use crate::vast::{self, Vast};

/// A vendor with an API and an account. (Machines of [`crate::Ssh`] have neither.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// Vast.ai
    Vast,
    /// RunPod
    RunPod,
    /// Lambda Cloud
    Lambda,
    /// Hetzner Cloud
    Hetzner,
}

/// What is known of a vendor beforehand: the one place to set it right.
struct Facts {
    /// As specs write it.
    word: &'static str,
    /// As people call it.
    name: &'static str,
    base_url: &'static str,
    currency: &'static str,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vast, Self::RunPod, Self::Lambda, Self::Hetzner];

    const fn facts(self) -> Facts {
        let (word, name, base_url, currency) = match self {
            Self::Vast => ("Vast", vast::VENDOR, "https://console.vast.ai", "USD"),
            Self::RunPod => ("RunPod", runpod::VENDOR, "https://api.runpod.io/v2", "USD"),
            Self::Lambda => ("Lambda", lambda::VENDOR, "https://cloud.lambda.ai/api/v1", "USD"),
            Self::Hetzner => ("Hetzner", hetzner::VENDOR, "https://api.hetzner.cloud/v1", "EUR"),
        };
        Facts { word, name, base_url, currency }
    }

    /// What people call it: `Vast.ai`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Where its API is: paths of calls go below this.
    pub const fn base_url(self) -> &'static str {
        self.facts().base_url
    }

    /// In what it bills, unless a contract says otherwise.
    pub const fn currency(self) -> &'static str {
        self.facts().currency
    }
}

impl fmt::Display for Vendor {
    /// The word by which specs name it: `Vast`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.facts().word)
    }
}

/// A word that names no vendor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no vendor with an API; there are Vast, RunPod, Lambda and Hetzner")]
pub struct UnknownVendor(pub String);

impl FromStr for Vendor {
    type Err = UnknownVendor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|vendor| vendor.facts().word == text);
        named.ok_or_else(|| UnknownVendor(crate::http::shown(text)))
    }
}

/// A driver of a vendor's account, at its own API or at another base URL. Nothing is sent yet. Keep it for as long as the
/// key is the same: it remembers when it called, and so holds the vendor's least intervals.
///
/// # Errors
/// [`Error::Refused`]: the base URL is not http or https. [`Error::Unauthorized`]: the key is empty, or cannot be one.
pub fn connect(
    vendor: Vendor,
    base_url: Option<Url>,
    key: Key,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Driver>, Error> {
    let base = match base_url {
        Some(base) => base,
        None => Url::parse(vendor.base_url())
            .map_err(|error| Error::Refused { vendor: vendor.name(), message: error.to_string() })?,
    };
    Ok(match vendor {
        Vendor::Vast => Arc::new(Vast::new(base, key, clock)?),
        Vendor::RunPod => Arc::new(RunPod::new(base, key, clock)?),
        Vendor::Lambda => Arc::new(Lambda::new(base, key, clock)?),
        Vendor::Hetzner => Arc::new(Hetzner::new(base, key, clock)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stub::{KEY, clock};

    #[test]
    fn each_vendor_is_connected_by_its_word_and_shows_no_key() {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        for vendor in Vendor::ALL {
            assert_eq!(vendor.to_string().parse(), Ok(vendor));
            let driver = connect(vendor, None, Key::new(KEY), Arc::new(clock())).unwrap();
            assert_eq!(driver.vendor(), vendor.name());
            let shown = format!("{driver:?}");
            assert!(shown.contains(vendor.base_url()) && !shown.contains(KEY), "{shown}");
        }
        assert!("vast".parse::<Vendor>().is_err());
    }

    #[test]
    fn a_key_that_cannot_be_one_is_refused_before_anything_is_sent() {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        for key in ["", " \n", "two words", "ключ"] {
            let error = connect(Vendor::Lambda, None, Key::new(key), Arc::new(clock())).unwrap_err();
            assert_eq!(error.kind(), "Unauthorized", "{key}");
        }
        connect(Vendor::Lambda, None, Key::new("abc\n"), Arc::new(clock())).unwrap();
    }

    #[test]
    fn an_endpoint_that_is_not_http_is_refused() {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        for url in ["file:///etc", "mailto:a@example.com"] {
            let url = Some(url.parse().unwrap());
            let error = connect(Vendor::Vast, url, Key::new(KEY), Arc::new(clock())).unwrap_err();
            assert_eq!(error.kind(), "Refused");
        }
    }
}
