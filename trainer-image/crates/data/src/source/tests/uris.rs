//! Addresses that lead where a member may not: by what they say, by what their name resolves to, by a redirect.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Name, Resolve as _};
use url::Url;

use super::*;
use crate::source::guard::Resolver;
use crate::source::http::{BACKOFF, Http};

const CLUSTER: &str = "a name of the cluster's own network";
const PRIVATE: &str = "a private, loopback or link-local address";
const SCHEME: &str = "the scheme is not read";
const CREDENTIALS: &str = "credentials do not belong in it";

/// Addresses, and a part of the line that refuses each before anybody is asked.
const REFUSED: &[(&str, &str)] = &[
    // The cloud's own, and the machine's.
    ("https://169.254.169.254/latest/meta-data", PRIVATE),
    ("https://168.63.129.16/machine", PRIVATE),
    ("https://192.0.0.192/opc", PRIVATE),
    ("https://100.100.100.200/latest", PRIVATE),
    ("https://metadata.google.internal/a", CLUSTER),
    ("https://127.0.0.1/a", PRIVATE),
    ("https://127.8.9.1:8443/a", PRIVATE),
    ("https://0.0.0.0/a", PRIVATE),
    ("https://localhost/a", CLUSTER),
    ("https://a.localhost/a", CLUSTER),
    // The cluster's.
    ("https://10.0.0.1/a", PRIVATE),
    ("https://172.16.0.1/a", PRIVATE),
    ("https://172.31.255.255/a", PRIVATE),
    ("https://192.168.0.1/a", PRIVATE),
    ("https://100.64.0.1/a", PRIVATE),
    ("https://100.127.255.255/a", PRIVATE),
    ("https://kubernetes/a", CLUSTER),
    ("https://gateway.presidents.svc/a", CLUSTER),
    ("https://kubernetes.default.svc.cluster.local/a", CLUSTER),
    ("https://kubernetes.default.svc.cluster.local./a", CLUSTER),
    ("https://kubernetes.default.svc.CLUSTER.LOCAL/a", CLUSTER),
    // Of other special ranges.
    ("https://198.18.0.1/a", PRIVATE),
    ("https://192.0.2.1/a", PRIVATE),
    ("https://192.88.99.1/a", PRIVATE),
    ("https://224.0.0.1/a", PRIVATE),
    ("https://255.255.255.255/a", PRIVATE),
    // The loopback address in other forms.
    ("https://2130706433/a", PRIVATE),
    ("https://0x7f000001/a", PRIVATE),
    ("https://0x7f.0.0.1/a", PRIVATE),
    ("https://0177.0.0.1/a", PRIVATE),
    ("https://127.1/a", PRIVATE),
    ("https://0/a", PRIVATE),
    ("https://127.0.0.1./a", PRIVATE),
    ("https://%31%32%37.0.0.1/a", PRIVATE),
    ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/a", PRIVATE),
    ("https://127\u{3002}0\u{3002}0\u{3002}1/a", PRIVATE),
    ("https://\u{24db}ocalhost/a", CLUSTER),
    ("https:///127.0.0.1/a", PRIVATE),
    // IPv6.
    ("https://[::1]/a", PRIVATE),
    ("https://[::]/a", PRIVATE),
    ("https://[fe80::1]/a", PRIVATE),
    ("https://[fc00::1]/a", PRIVATE),
    ("https://[fd00:ec2::254]/a", PRIVATE),
    ("https://[ff02::1]/a", PRIVATE),
    ("https://[::ffff:169.254.169.254]/a", PRIVATE),
    ("https://[::ffff:a9fe:a9fe]/a", PRIVATE),
    ("https://[::127.0.0.1]/a", PRIVATE),
    ("https://[64:ff9b::a00:1]/a", PRIVATE),
    ("https://[64:ff9b:1::a00:1]/a", PRIVATE),
    ("https://[2002:a00:1::]/a", PRIVATE),
    ("https://[2001:0:a00:1::1]/a", PRIVATE),
    ("https://[2001:db8::1]/a", PRIVATE),
    ("https://[3fff::1]/a", PRIVATE),
    ("https://[fe80::1%25eth0]/a", "not a URL"),
    // Who is asked is not what stands there.
    ("https://example.org@127.0.0.1/a", CREDENTIALS),
    ("https://user:hunter2@example.org/a", CREDENTIALS),
    ("https://:hunter2@example.org/a", CREDENTIALS),
    ("https://example.org\\@127.0.0.1/a", "a backslash is in it"),
    ("https:\\\\127.0.0.1\\a", "no scheme"),
    ("https:127.0.0.1/a", "no scheme"),
    ("//127.0.0.1/a", "no scheme"),
    ("https://example.org\t/a", "control characters"),
    ("https://exa mple.org/a", "not a URL"),
    ("https://", "not a URL"),
    ("https://?a", "not a URL"),
    ("https://example.org:99999/a", "not a URL"),
    ("https://1.2.3.4.5/a", "not a URL"),
    ("https://256.256.256.256/a", "not a URL"),
    ("https://xn--/a", "not a URL"),
    // Other schemes.
    ("http://example.org/a", "only https is asked"),
    ("HTTPS://example.org/a", SCHEME),
    ("file:///etc/passwd", SCHEME),
    ("gopher://127.0.0.1:6379/_FLUSHALL", SCHEME),
    ("ftp://example.org/a", SCHEME),
    ("data://text/plain,one", SCHEME),
    ("unix:///run/containerd/containerd.sock", SCHEME),
    ("javascript://example.org/%0aalert(1)", SCHEME),
];

/// Addresses that are asked, at whatever port.
const ASKED: &[&str] = &[
    "https://example.org/a",
    "https://example.org./a",
    "https://example.org:22/a",
    "https://b\u{fc}cher.example/a",
    "https://93.184.216.34/a",
    "https://172.32.0.1/a",
    "https://100.128.0.1/a",
    "https://[2606:4700::1111]/a",
    "https://[64:ff9b::5db8:d822]/a",
];

fn works() -> StorageLocation {
    StorageLocation {
        endpoint: "http://127.0.0.1:1".to_owned(),
        region: "garage".to_owned(),
        bucket: "own".to_owned(),
        prefix: String::new(),
    }
}

#[tokio::test]
async fn an_address_that_leads_inside_is_refused_before_anybody_is_asked_and_repeats_no_secret() {
    assert!(REFUSED.len() >= 40, "{} cases", REFUSED.len());
    let reader = Reader::new(works(), Credentials::new("GKtest", "test-secret"), Guard::PUBLIC);
    let work = TempDir::new().unwrap();
    let mut wrong = Vec::new();
    for (uri, expected) in REFUSED {
        let error = reader.fetch(&source(uri), work.path(), |_| true).await.unwrap_err();
        let line = error.to_string();
        let reasons = [FailureReason::SourceForbidden, FailureReason::SourceUnreadable];
        if !line.contains(expected) || !reasons.contains(&error.reason()) || line.contains("hunter2") {
            wrong.push(format!("{uri}: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn public_addresses_are_asked() {
    for uri in ASKED {
        let Ok(Address::Web(url)) = uri.parse() else { panic!("{uri}") };
        assert_eq!(Guard::PUBLIC.refuses(&url), None, "{uri}");
    }
}

/// A resolver that gives these addresses for every name.
fn resolver(
    addresses: &'static [&'static str],
) -> impl Fn(Name) -> std::future::Ready<std::io::Result<Vec<SocketAddr>>> {
    let found = |address: &&str| SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
    move |_| std::future::ready(Ok(addresses.iter().map(found).collect()))
}

#[tokio::test]
async fn a_name_is_connected_to_only_if_every_address_of_it_is_public() {
    let cases: [(&'static [&'static str], bool); 8] = [
        (&["93.184.216.34"], true),
        (&["93.184.216.34", "2606:4700::1111"], true),
        (&["127.0.0.1"], false),
        (&["169.254.169.254"], false),
        (&["93.184.216.34", "10.0.0.1"], false),
        (&["10.0.0.1", "93.184.216.34"], false),
        (&["::ffff:10.0.0.1"], false),
        (&["2606:4700::1111", "fd00::1"], false),
    ];
    for (addresses, public) in cases {
        let name = "example.org".parse().unwrap();
        let found = Resolver::new(Guard::PUBLIC, resolver(addresses)).resolve(name).await;
        assert_eq!(found.is_ok(), public, "{addresses:?}");
    }
}

#[tokio::test]
async fn a_name_that_was_public_when_it_was_looked_at_and_is_private_when_connecting_is_refused() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let changing = move |_: Name| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { "93.184.216.34:0" } else { "127.0.0.1:0" };
        let found: std::io::Result<Vec<SocketAddr>> = Ok(vec![address.parse().unwrap()]);
        std::future::ready(found)
    };
    let resolver = Arc::new(Resolver::new(Guard::PUBLIC, changing));
    assert!(resolver.resolve("rebind.example".parse().unwrap()).await.is_ok());
    let http = Http::resolving(Guard::PUBLIC, None, BACKOFF, resolver).unwrap();
    let (work, url) = (TempDir::new().unwrap(), Url::parse("https://rebind.example/a.txt").unwrap());
    let error = http.file(&url, "a.txt", work.path()).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SourceForbidden, "{error}");
    assert!(error.to_string().contains(PRIVATE), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a refusal is final");
}

#[test]
fn where_a_redirect_leads_is_looked_at_as_the_address_itself_is() {
    // The redirects of the client ask this very guard; a server that redirects cannot be public here.
    let mut wrong = Vec::new();
    for (uri, _) in REFUSED {
        let Ok(url) = Url::parse("https://example.org/a").and_then(|base| base.join(uri)) else { continue };
        // What an address says by itself and what a redirect from example.org makes of it may differ.
        if url.host_str() != Some("example.org") && Guard::PUBLIC.refuses(&url).is_none() {
            wrong.push(uri);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    let plain = Url::parse("http://example.org/a").unwrap();
    assert_eq!(Guard::PUBLIC.refuses(&plain), Some("only https is asked"));
}

/// Answers `/to?<address>` with a redirect there, and counts the hops of `/loop` and `/hops`.
fn redirecting() -> Router {
    let hop = |UrlPath(left): UrlPath<u32>| async move {
        if left == 0 {
            "one".into_response()
        } else {
            Redirect::temporary(&format!("/hops/{}", left - 1)).into_response()
        }
    };
    let to = |request: Request| async move {
        let target = request.uri().query().unwrap_or_default().to_owned();
        (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
    };
    Router::new()
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/hops/{left}", get(hop))
        .route("/to", get(to))
        .route(
            "/seen",
            get(|headers: HeaderMap| async move { format!("{:?}", headers.get(header::REFERER)) }),
        )
}

#[tokio::test]
async fn redirects_end_and_never_lead_to_another_scheme_or_carry_a_signature_on() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    let (url, reader) = (serve(redirecting()).await, reader(&server));
    let fetch = async |path: &str| {
        let fetched = reader.fetch(&source(&format!("{url}/{path}")), work.path(), |_| true).await?;
        Ok::<_, SourceError>(std::fs::read_to_string(&fetched.files[0].path).unwrap())
    };
    assert_eq!(fetch("hops/10").await.unwrap(), "one");
    assert_eq!(fetch("to?/seen").await.unwrap(), "None", "the address before is not told");
    for (path, expected) in [
        ("loop", "more than 10 redirects; name the address they end at"),
        ("hops/11", "more than 10 redirects; name the address they end at"),
        ("to?gopher://127.0.0.1:6379/_FLUSHALL", "only http and https are asked"),
        ("to?ftp://127.0.0.1/a", "only http and https are asked"),
        ("to?http://user:hunter2@127.0.0.1/a", "credentials stand in the address"),
        ("to?file:///etc/passwd", "e"),
        ("to?http://", "302 Found"),
    ] {
        let error = fetch(path).await.unwrap_err();
        let reasons = [FailureReason::SourceForbidden, FailureReason::SourceUnreadable];
        assert!(reasons.contains(&error.reason()), "{path}: {error}");
        assert!(error.to_string().contains(expected), "{path}: {error}");
    }
}

#[tokio::test]
async fn the_endpoint_that_a_collective_names_is_asked_wherever_it_lies() {
    let (server, work) = (Server::start().await, TempDir::new().unwrap());
    server.set_object("works", "a.txt", "one");
    let mut reader = reader(&server);
    reader.guard = Guard::PUBLIC;
    assert!(server.endpoint().starts_with("http://127.0.0.1:"));
    let fetched = reader.fetch(&source("s3://works/a.txt"), work.path(), |_| true).await.unwrap();
    assert_eq!(names(&fetched), ["a.txt"]);
}
