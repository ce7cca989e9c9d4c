//! The script for a vendor that takes less than all of it: a first stage with this machine's values, which fetches the rest.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cooperator_core::digest::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use url::Url;

use super::{Error, Rest, UserData, quote};

/// Characters of a line of the values.
const LINE: usize = 76;

impl UserData {
    /// A script of at most `most` bytes that makes [`UserData::render`]'s of its own values and of what it fetches from below
    /// `base`, checks that, and runs it. The same values give the same text.
    ///
    /// # Errors
    /// When a value is not what it has to be, or the script is longer than `most` even so.
    pub fn staged(&self, base: &Url, most: usize) -> Result<String, Error> {
        let head = self.head()?;
        let rest = self.rest().render()?;
        let name = Rest::name(&rest);
        let url = format!("{}/{name}", base.as_str().trim_end_matches('/'));
        let (url, sha256) = (quote("the rest's URL", &url)?, Digest::of(rest.as_bytes()).hex());
        let packed =
            STANDARD.encode(gzip(head.as_bytes()).map_err(|error| Error::Packing(error.to_string()))?);
        let lines: Vec<String> =
            packed.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let script = format!(
            r#"#!/bin/bash
# Fetches what is the same for all machines, checks it, and runs it with the values of this one. Written by Cooperator.
set -euo pipefail
umask 077
D=$(mktemp -d)
trap 'rm -rf "$D"' EXIT
curl -fsSL --globoff --proto '=http,https' --retry 8 --retry-delay 2 --retry-connrefused --connect-timeout 15 \
  --max-time 300 -o "$D/rest" --url {url}
echo "{sha256}  $D/rest" | sha256sum -c --status || {{
  echo "cooperator: what came is not the script with sha256 {sha256}; this machine is no node" >&2
  exit 1
}}
base64 -d << 'END' | gunzip > "$D/join"
{lines}
END
cat "$D/rest" >> "$D/join"
bash "$D/join"
"#,
            lines = lines.join("\n"),
        );
        if script.len() > most {
            return Err(Error::StageTooLong { bytes: script.len(), most });
        }
        Ok(script)
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    packed.finish()
}
