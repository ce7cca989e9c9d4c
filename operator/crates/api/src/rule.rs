//! CEL rules that several fields share. A message says what is wanted, its bound and, where words are not enough, an
//! example; the API server puts the path of the field before it. Unlike a `pattern` they need nobody who reads regular
//! expressions.

use cooperator_core::money::Price;
use kube::core::Rule;

/// A DNS label.
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/// What terminals, statements and model cards would show as something else: control characters, those that turn the
/// direction of writing, those that show nothing. The joiners of Persian, Indic scripts and emoji (U+200C, U+200D) stay.
const UNSEEN: &str = r"\p{Cc}\p{Co}\p{Zl}\p{Zp}\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff9}-\x{fffb}\x{e0000}-\x{e007f}";
/// Money to a pico-unit, in the range of `cooperator_core::money::Amount`.
const DECIMAL: &str = r"[0-9]{1,26}(\.[0-9]{1,12})?";
/// A TCP port.
const PORT: &str = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// The whole of `self` is this.
fn is(regex: &str, message: &str) -> Rule {
    Rule::new(format!("self.matches(r'^({regex})$')")).message(message)
}

/// A name within a Collective, such as a member's.
pub fn label() -> Rule {
    is(
        LABEL,
        "must be lowercase letters, digits and `-`, beginning and ending with a letter or digit, such as `ann-2`",
    )
}

/// The name of an object.
pub fn object_name() -> Rule {
    is(
        &format!(r"{LABEL}(\.{LABEL})*"),
        "must be the name of an object of this namespace, without the namespace: lowercase letters, digits, `-` and `.`",
    )
}

/// A reference to a Collective: what the names of those are bound to.
pub fn to_collective() -> Rule {
    Rule::new("self.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(
        "name must be the name of a Collective of this namespace: at most 40 lowercase letters, digits or `-`, starting with a letter",
    )
}

/// A reference to a member.
pub fn to_member() -> Rule {
    Rule::new(format!("self.name.matches(r'^{LABEL}$') && size(self.name) <= 63"))
        .message("name must be one of the Collective's spec.members[].name: at most 63 lowercase letters, digits and `-`")
}

/// A reference to an object whose name is bound to 40 characters, since others are named after it.
pub fn to_short_name() -> Rule {
    Rule::new("size(self.name) <= 40")
        .message("name must be at most 40 characters: no object of this kind has a longer one")
}

/// A text that people read, on one line.
pub fn text() -> Rule {
    Rule::new(format!("!self.matches(r'[{UNSEEN}]')")).message(
        "must hold no line breaks, control characters, characters that turn the direction of writing or that show nothing",
    )
}

/// A text of several lines.
pub fn lines() -> Rule {
    Rule::new(r"self.all(one, !one.matches(r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]'))")
        .message("must hold no control characters besides line breaks and tabs")
}

/// A licence: of what characters.
const SPDX: &str = "[A-Za-z0-9(][-A-Za-z0-9.+(): ]*";
const SPDX_MESSAGE: &str =
    "must be an SPDX licence expression, such as `CC-BY-4.0`, `MIT OR Apache-2.0` or `LicenseRef-ours`";

/// A licence. Whether the SPDX list has it is the operator's to say.
pub fn license() -> Rule {
    is(SPDX, SPDX_MESSAGE)
}

/// The same of each in a list.
pub fn licenses() -> Rule {
    Rule::new(format!("self.all(one, one.matches(r'^{SPDX}$'))")).message(SPDX_MESSAGE)
}

/// What [`Price`] reads: of tokens or of an hour.
pub fn price() -> Rule {
    let most = Price::MAX_UNITS;
    is(
        &format!(r"[0-9]{{1,9}}(\.[0-9]{{1,6}})?|{most}(\.0{{1,6}})?"),
        &format!("must be a decimal string from 0 to {most} with at most 6 decimals, such as `0.20`"),
    )
}

/// Money that may be spent.
pub fn budget() -> Rule {
    is(
        r"[0-9]{1,15}(\.[0-9]{1,6})?",
        "must be a decimal string of 0 or more, below 10^15, with at most 6 decimals, such as `250.00`",
    )
}

/// Money in a statement.
pub fn amount() -> Rule {
    is(
        DECIMAL,
        "must be a decimal string of 0 or more with at most 26 digits before and 12 after the point, such as `3.40`",
    )
}

/// The same where what is taken back may exceed what comes in.
pub fn net_amount() -> Rule {
    is(
        &format!("-?{DECIMAL}"),
        "must be a decimal string with at most 26 digits before and 12 after the point, such as `3.40`",
    )
}

/// Units of one currency for a unit of another.
pub fn rate() -> Rule {
    Rule::new(r"self.matches(r'^[0-9]{1,9}(\.[0-9]{1,6})?$') && self.matches('[1-9]')")
        .message("must be a decimal string above 0, below 10^9, with at most 6 decimals, such as `1.08`")
}

/// A span of time as Kubernetes writes it.
pub fn duration(least: &str, most: &str) -> Rule {
    Rule::new(format!(
        "self.matches('^([0-9]{{1,4}}h)?([0-9]{{1,6}}m)?([0-9]{{1,7}}s)?$') && self != '' && \
         duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    ))
    .message(format!("must be hours, minutes and seconds from {least} to {most}, such as `1h30m`").as_str())
}

/// A currency code.
pub fn currency() -> Rule {
    is(
        "[A-Z][A-Z0-9]{2,9}",
        "must be 3 to 10 capital letters or digits, beginning with a letter, such as `EUR` or `USDC`",
    )
}

/// A bucket of object storage.
pub fn bucket() -> Rule {
    is(
        &format!(r"{LABEL}(\.{LABEL})*"),
        "must be 3 to 63 lowercase letters, digits, `-` and `.`, each part between points beginning and ending with a letter or digit",
    )
}

/// A sha256, as everything content-addressed is named.
pub fn digest() -> Rule {
    is("sha256:[0-9a-f]{64}", "must be `sha256:` and 64 lowercase hexadecimal digits")
}

/// An instant, not one that no calendar has.
pub fn instant() -> Rule {
    let date = "2[01][0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
    let time = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[-+](0[0-9]|1[0-4]):[0-5][0-9])";
    Rule::new(format!(
        "self.matches(r'^{date}T{time}$') && timestamp(self) >= timestamp('2020-01-01T00:00:00Z')"
    ))
    .message(
        "must be an RFC 3339 instant from 2020 to 2199 that the calendar has, such as `2027-01-31T00:00:00Z`",
    )
}

/// A host in a URL.
const HOST: &str = r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*\.?|\[[0-9A-Fa-f:.]+\])";

/// The base URL of a vendor's API.
pub fn base_url() -> Rule {
    is(
        &format!(r"https?://{HOST}(:{PORT})?(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?"),
        "must be http:// or https://, a host, and at most a port and a path, such as `https://api.example.org/v1`: without user info or query",
    )
}

/// A host by its name or address.
pub fn host() -> Rule {
    is(
        r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}",
        "must be a host name or an IP address, without a port, such as `gpu-1.example.org` or `192.0.2.7`",
    )
}

/// The URL of an S3 endpoint.
pub fn endpoint() -> Rule {
    is(
        &format!(r"https?://{HOST}(:{PORT})?/?"),
        "must be http:// or https://, a host and at most a port, such as `https://s3.example.org`: without user info, path or query",
    )
}

/// The rules of a source's address; what the host resolves to is looked at when it is asked.
pub mod uri {
    use super::{LABEL, PORT, Rule, UNSEEN};

    /// Scheme and form.
    pub fn form() -> Rule {
        let name = "[A-Za-z0-9_-][A-Za-z0-9._-]*";
        // The last label begins with a letter: else it is a number, and how that is read differs from program to program.
        let domain = r"([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\.)*[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?\.?";
        let octet = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        let host = format!(r"({domain}|{octet}(\.{octet}){{3}}|\[[0-9A-Fa-f:.]+\])");
        // A file, not a folder, and what may follow it.
        let file = r#"[!-"$->@-\[\]-~]*[!-"$-.0->@-\[\]-~]([?#][!-\[\]-~]*)?"#;
        let forms = [
            r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?".to_owned(),
            format!("https://{host}(:{PORT})?/{file}"),
            format!("hf://{name}/{name}(:{name}(/{name})*)?"),
            format!(r"pvc://{LABEL}(\.{LABEL})*/.+"),
        ];
        Rule::new(format!("self.storageUri.matches(r'^({})$')", forms.join("|"))).message(
            "storageUri must be s3://bucket/key, https://host/file without user info, hf://owner/model[:revision] or pvc://claim/path",
        )
    }

    /// A path leads where it says.
    pub fn path() -> Rule {
        Rule::new(
            r"!self.storageUri.matches(r'(?i)(\.|%2e)(\.|%2e)|^(s3|hf|pvc)://.*(//|/\.(/|$))|\\')",
        )
        .message("storageUri must not contain `..`, a backslash, or a part of its path that is `.` or empty: name the path itself")
    }

    /// What is seen is what is read.
    pub fn characters() -> Rule {
        Rule::new(format!(
            "!self.storageUri.matches(r'[{UNSEEN}]') && size(bytes(self.storageUri)) <= 1024"
        ))
        .message("storageUri must be at most 1024 bytes, without line breaks, control characters or characters that show nothing")
    }

    /// A pod's own machine holds nobody's works.
    pub fn outside() -> Rule {
        let hosts = [
            r"([^/:]*\.)?localhost\.?",
            r"(0|127|169\.254)\.[0-9.]+",
            r"\[(::1?|fe[89ab][0-9a-f]:.*|::ffff:.*)\]",
        ];
        Rule::new(format!("!self.storageUri.matches(r'(?i)^https://({})(:|/)')", hosts.join("|")))
            .message("storageUri must name a host that is neither the reader's own machine nor link-local")
    }
}
