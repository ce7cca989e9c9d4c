//! Contributions that are none; and the addresses of sources, which base models have too.

use serde_json::{Value, json};

use super::collective::{LABEL, OBJECT, SPDX};
use super::{Case, GONE, each};

pub const COLLECTIVE: &str =
    "name must be the name of a Collective of this namespace: at most 40 lowercase letters";
pub const DIGEST: &str = "must be `sha256:` and 64 lowercase hexadecimal digits";
const MEMBER: &str = "name must be one of the Collective's spec.members[].name";
const URI: &str = "/spec/source/storageUri";
const FORM: &str = "storageUri must be s3://bucket/key, https://host/file without user info, hf://owner/model[:revision] or pvc://claim/path";
const PATH: &str =
    "storageUri must not contain `..`, a backslash, or a part of its path that is `.` or empty";
const CHARACTERS: &str = "storageUri must be at most 1024 bytes, without line breaks, control characters";
const OUTSIDE: &str = "storageUri must name a host that is neither the reader's own machine nor link-local";

pub fn cases() -> Vec<Case> {
    [references(), addresses(), hosts(), paths(), digests(), consent(), shares()].concat()
}

fn references() -> Vec<Case> {
    let mut cases = vec![
        ("/spec/memberRef", GONE, "spec.memberRef: Required value"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef", json!("presidents"), "must be of type object"),
        ("/spec/collectiveRef/name", json!(""), "at least 1 chars long"),
        ("/spec/collectiveRef/name", json!("a".repeat(41)), COLLECTIVE),
        ("/spec/collectiveRef/name", json!("a.b"), COLLECTIVE),
        ("/spec/memberRef/name", json!("a".repeat(64)), MEMBER),
        ("/spec/memberRef/name", json!("a.b"), MEMBER),
        ("/spec/memberRef/kind", json!("Group"), "unknown field \"spec.memberRef.kind\""),
    ];
    cases.extend(each(
        "/spec/collectiveRef/name",
        OBJECT,
        [
            json!("elsewhere/presidents"),
            json!("../presidents"),
            json!("Presidents"),
            json!("pr\u{435}sidents"),
            json!("a\u{0}b"),
        ],
    ));
    cases.extend(each(
        "/spec/source/secretRef/name",
        OBJECT,
        [json!("kube-system/token"), json!("a..b"), json!("a.-b"), json!("../a"), json!("a b"), json!("a\n")],
    ));
    cases
}

fn addresses() -> Vec<Case> {
    let mut cases = vec![
        (URI, GONE, "spec.source.storageUri: Required value"),
        (URI, json!("hf://owner/data"), "must be s3://, https:// or pvc://"),
        (URI, json!("s3"), "at least 3 chars long"),
        (URI, json!(format!("s3://bucket/{}", "x".repeat(1024))), "may not be more than 1024"),
        (URI, json!(format!("s3://bucket/{}", "\u{1f3b8}".repeat(400))), CHARACTERS),
        (URI, json!(["s3://bucket/a"]), "must be of type string"),
    ];
    let wrong = [
        "file:///etc/passwd",
        "http://example.org/x",
        "ftp://example.org/x",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "javascript:alert(1)",
        "data:text/plain,one",
        "S3://bucket/a",
        "HTTPS://example.org/a",
        "//example.org/a",
        "example.org/a",
        " s3://bucket/a",
        "s3:///key",
        "s3://Bucket/key",
        "s3://b_u/key",
        "s3://user:pw@bucket/key",
        "https://user:pw@example.org/x",
        "https://example.org@127.0.0.1/x",
        "https://example.org",
        "https://example.org/",
        "https://example.org/folder/",
        "https://example.org/folder/?x",
        "https://exa mple.org/a",
        "https://example.org/a b",
        "https:///a",
        "https://example.org:99999/a",
        "https://example.org:/a",
        "pvc://claim",
        "pvc://Claim/a",
        "hf://owner/data/file",
    ];
    cases.extend(wrong.map(|uri| (URI, json!(uri), FORM)));
    cases
}

fn https(host: &str) -> Value {
    json!(format!("https://{host}/a"))
}

fn hosts() -> Vec<Case> {
    [
        each(
            URI,
            FORM,
            [
                https("2130706433"),
                https("0x7f000001"),
                https("0x7f.0.0.1"),
                https("0177.0.0.1"),
                https("127.1"),
                https("1.2.3.4.5"),
                https("256.1.1.1"),
                https("b\u{fc}cher.example"),
                https("ex\u{430}mple.org"),
                https("\u{ff11}\u{ff12}\u{ff17}.0.0.1"),
                https("%31%32%37.0.0.1"),
                https("-a.example"),
                https("a..example"),
                https("[fe80::1%25eth0]"),
            ],
        ),
        each(
            URI,
            OUTSIDE,
            [
                https("localhost"),
                https("LOCALHOST:8443"),
                https("a.localhost."),
                https("127.0.0.1"),
                https("127.8.9.1:8443"),
                https("0.0.0.0"),
                https("169.254.169.254"),
                https("[::1]"),
                https("[::]"),
                https("[fe80::1]"),
                https("[::ffff:169.254.169.254]"),
                https("[::FFFF:a9fe:a9fe]:443"),
            ],
        ),
    ]
    .concat()
}

fn paths() -> Vec<Case> {
    [
        each(
            URI,
            PATH,
            [
                json!("s3://bucket/../other"),
                json!("s3://bucket/a/./b"),
                json!("s3://bucket//a"),
                json!("s3://bucket/a//b/"),
                json!("s3://bucket/a\\..\\b"),
                json!("s3://bucket/%2e%2E/other"),
                json!("https://example.org/a/.%2e/b"),
                json!("https://example.org\\@127.0.0.1/a"),
                json!("pvc://claim//etc"),
                json!("pvc://other/../a"),
                json!("pvc://claim/."),
            ],
        ),
        each(
            URI,
            CHARACTERS,
            [
                json!("s3://bucket/a\nb"),
                json!("s3://bucket/a\tb"),
                json!("s3://bucket/a\u{0}b"),
                json!("s3://bucket/\u{1b}[2Ja"),
                json!("s3://bucket/\u{202e}txt.a"),
                json!("s3://bucket/a\u{200b}"),
                json!("pvc://claim/a\u{2028}b"),
            ],
        ),
    ]
    .concat()
}

fn digests() -> Vec<Case> {
    let hex = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    let mut cases = vec![("/spec/source/digest", json!(format!("sha256:{hex}0")), "may not be more than 71")];
    cases.extend(each(
        "/spec/source/digest",
        DIGEST,
        [
            json!("sha256:abc"),
            json!(hex),
            json!(format!("sha256:{}", hex.to_uppercase())),
            json!(format!("sha512:{hex}")),
            json!("latest"),
            json!(format!("sha256:{}\n", &hex[1..])),
            json!(""),
        ],
    ));
    cases
}

fn consent() -> Vec<Case> {
    let grant = |name: &str, allowed: Value| json!([{"use": name, "allowed": allowed}]);
    let mut cases = vec![
        ("/spec/license", GONE, "spec.license: Required value"),
        ("/spec/license", json!(""), "at least 1 chars"),
        ("/spec/license", json!("x".repeat(129)), "may not be more than 128"),
        ("/spec/modality", json!("Video"), "Unsupported value: \"Video\""),
        (
            "/spec/grants",
            json!([{"use": "Training", "allowed": true}, {"use": "Training", "allowed": false}]),
            "Duplicate value",
        ),
        ("/spec/grants", grant("Selling", json!(true)), "Unsupported value: \"Selling\""),
        ("/spec/grants", grant("Training", json!("yes")), "must be of type boolean"),
        ("/spec/grants", grant("Training", json!(1)), "must be of type boolean"),
        ("/spec/grants", json!([{"use": "Training"}]), "spec.grants[0].allowed: Required value"),
        ("/spec/grants", json!("Training"), "must be of type array"),
        ("/spec/revoked", json!("no"), "must be of type boolean"),
    ];
    cases.extend(each(
        "/spec/license",
        SPDX,
        [
            json!("CC0-1.0\n"),
            json!("MIT/Apache-2.0"),
            json!("\u{202e}TIM"),
            json!("CC\u{2010}BY-4.0"),
            json!("see LICENSE, please"),
            json!("https://license.example"),
        ],
    ));
    cases
}

fn shares() -> Vec<Case> {
    let sheet = "splitSheet[].basisPoints must add up to 10000";
    let share = |member: &str, points: i64| json!({"member": member, "basisPoints": points});
    let many: Vec<_> = (0..65).map(|n| share(&format!("m{n}"), 1)).collect();
    vec![
        ("/spec/splitSheet", json!([share("grant", 9999)]), sheet),
        ("/spec/splitSheet", json!([share("grant", 10000), share("lincoln", 1)]), sheet),
        ("/spec/splitSheet", json!([share("a", 5000), share("a", 5000)]), "Duplicate value"),
        ("/spec/splitSheet", json!([share("a", 12000), share("b", -2000)]), "greater than or equal to 1"),
        ("/spec/splitSheet", json!([share("a", 0), share("b", 10000)]), "greater than or equal to 1"),
        ("/spec/splitSheet", json!(many), "must have at most 64 items"),
        ("/spec/splitSheet", json!([share("", 10000)]), "at least 1 chars long"),
        ("/spec/splitSheet", json!([share(&"a".repeat(64), 10000)]), "may not be more than 63"),
        ("/spec/splitSheet", json!([share("elsewhere/ann", 10000)]), LABEL),
        ("/spec/splitSheet", json!([share("Ann B.", 10000)]), LABEL),
        ("/spec/splitSheet", json!([share("\u{430}nn", 10000)]), LABEL),
        ("/spec/splitSheet", json!([{"member": "a"}]), "spec.splitSheet[0].basisPoints: Required value"),
        ("/spec/splitSheet/0/basisPoints", json!(0.8), "must be of type integer"),
        ("/spec/splitSheet/0/basisPoints", json!("80 %"), "must be of type integer"),
    ]
}
