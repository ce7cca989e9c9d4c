//! Which hosts may be asked: a source is written by a member, and must not reach what only the cluster may.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Set to `1` where sources on private addresses, and over plain HTTP, are wanted.
pub const ALLOW_PRIVATE: &str = "COOPERATOR_ALLOW_PRIVATE_SOURCES";

/// The one place that decides whether a host may be asked. It is asked for every URL, every redirect, and every
/// address a name resolves to, at the moment of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    allow_private: bool,
}

impl Guard {
    /// Only public addresses, only over TLS.
    pub const PUBLIC: Self = Self { allow_private: false };
    /// Everything, also plain HTTP: for tests and closed networks.
    pub const ANY: Self = Self { allow_private: true };

    /// [`Guard::ANY`] if `COOPERATOR_ALLOW_PRIVATE_SOURCES` is `1`, else [`Guard::PUBLIC`].
    pub fn from_env() -> Self {
        Self { allow_private: std::env::var(ALLOW_PRIVATE).is_ok_and(|value| value == "1") }
    }

    /// Why a URL may not be asked; none: it may, as far as the URL tells.
    pub fn refuses(self, url: &Url) -> Option<&'static str> {
        if self.allow_private {
            return (!matches!(url.scheme(), "http" | "https")).then_some("only http and https are asked");
        }
        if url.scheme() != "https" {
            return Some("only https is asked");
        }
        match url.host() {
            None => Some("no host"),
            Some(Host::Ipv4(address)) => self.refuses_address(address.into()),
            Some(Host::Ipv6(address)) => self.refuses_address(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let inside = ["localhost", "local", "internal", "svc"];
                let last = name.rsplit('.').next().unwrap_or_default();
                (inside.contains(&last) || !name.contains('.'))
                    .then_some("a name of the cluster's own network")
            }
        }
    }

    fn refuses_address(self, address: IpAddr) -> Option<&'static str> {
        (!self.allow_private && !is_public(address)).then_some("a private, loopback or link-local address")
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if let Some(refusal) = found.iter().find_map(|address| guard.refuses_address(address.ip())) {
                return Err(Refused(refusal).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A name that resolves to where nobody may go.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) &'static str);

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // 0.0.0.0/8, 100.64.0.0/10 (carriers, some clusters), 192.0.0.0/24, 198.18.0.0/15, 240.0.0.0/4
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // NAT64 and 6to4 carry an IPv4 address: what that one may not be reached by, this one may not.
    let embedded = match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        return is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    }
    // Only 2000::/3 is global unicast; 2001:db8::/32 is for documents.
    segments[0] & 0xe000 == 0x2000 && !(segments[0] == 0x2001 && segments[1] == 0xdb8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> bool {
        Guard::PUBLIC.refuses(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn addresses_inside_a_cluster_are_refused_however_they_are_written() {
        for url in [
            "http://example.org/a",
            "https://127.0.0.1/a",
            "https://2130706433/a",
            "https://0x7f000001/a",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/a",
            "https://100.64.0.1/a",
            "https://[::1]/a",
            "https://[::ffff:169.254.169.254]/a",
            "https://[fe80::1]/a",
            "https://[fd00::1]/a",
            "https://0/a",
            "https://[64:ff9b::a00:1]/a",
            "https://localhost/a",
            "https://kubernetes/a",
            "https://gateway.ns.svc/a",
            "https://kubernetes.default.svc.cluster.local/a",
            "https://metadata.google.internal/a",
        ] {
            assert!(refused(url), "{url}");
        }
    }

    #[test]
    fn public_hosts_are_asked() {
        for url in ["https://example.org/a", "https://93.184.216.34/a", "https://[2606:4700::1111]/a"] {
            assert!(!refused(url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused_when_connecting() {
        let name: Name = "localhost".parse().unwrap();
        assert!(Guard::PUBLIC.resolve(name).await.is_err());
    }
}
