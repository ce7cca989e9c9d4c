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
        if !url.username().is_empty() || url.password().is_some() {
            return Some("credentials stand in the address");
        }
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

/// Resolves names for the HTTP client. The client connects to what it is handed here and to nothing else, so a name
/// that has changed since its URL was looked at gains nothing by it.
pub(super) struct Resolver<L> {
    guard: Guard,
    lookup: L,
}

impl<L> Resolver<L> {
    /// One that asks `lookup` and hands out no address of a name that has one which may not be asked.
    pub(super) const fn new(guard: Guard, lookup: L) -> Self {
        Self { guard, lookup }
    }
}

impl<L, F> Resolve for Resolver<L>
where
    L: Fn(Name) -> F + Send + Sync,
    F: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, found) = (self.guard, (self.lookup)(name));
        Box::pin(async move {
            let found = found.await?;
            if let Some(cause) = found.iter().find_map(|address| guard.refuses_address(address.ip())) {
                return Err(Refused::Guard(cause).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The system's own way from names to addresses.
pub(super) async fn system(name: Name) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect())
}

/// Why the HTTP client was stopped on its way.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It would have asked where nobody may.
    #[error("{0}")]
    Guard(&'static str),
    /// It was sent on too often.
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
}

/// Most redirects of one call.
pub(super) const MAX_REDIRECTS: usize = 10;

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
        // A public address that every machine of one cloud reaches its own host's agent by.
        || address == Ipv4Addr::new(168, 63, 129, 16)
        // 0.0.0.0/8, 100.64.0.0/10 (carriers, some clusters), 192.0.0.0/24, 192.88.99.0/24 (relays to IPv6),
        // 198.18.0.0/15, 240.0.0.0/4
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
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
    // Only 2000::/3 is global unicast. In it 2001::/23 is for protocols (Teredo carries an IPv4 address too), and
    // 2001:db8::/32 and 3fff::/20 are for documents.
    let (first, second) = (segments[0], segments[1]);
    let special =
        (first == 0x2001 && (second < 0x200 || second == 0xdb8)) || (first == 0x3fff && second < 0x1000);
    first & 0xe000 == 0x2000 && !special
}
