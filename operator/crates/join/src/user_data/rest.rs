//! What of the script is the same for every machine of an installation. It holds no secret, so a machine may fetch it.

use cooperator_core::digest::Digest;
use serde_json::{Value, json};

use super::{Artifact, BODY, Error, POWER_OFF, quote};

/// The values that machines share. See the fields of [`UserData`](super::UserData).
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// The API server.
    pub api_server: &'a str,
    /// Its authority, PEM.
    pub ca_pem: &'a str,
    /// What is fetched.
    pub artifacts: &'a [Artifact],
    /// The image that holds a pod's namespaces.
    pub sandbox_image: &'a str,
    /// The addresses of a machine's pods.
    pub pod_subnet: &'a str,
    /// Tables of containerd's configuration.
    pub containerd: &'a str,
    /// Server and authority of the tunnel.
    pub tunnel: Option<(&'a str, &'a str)>,
}

impl Rest<'_> {
    /// Its text: assignments, and what is done with them. The same values give the same text.
    ///
    /// # Errors
    /// When a value has a NUL.
    pub fn render(&self) -> Result<String, Error> {
        let mut script = String::new();
        for (name, value) in [
            ("API_SERVER", self.api_server.to_owned()),
            ("SANDBOX_IMAGE", self.sandbox_image.to_owned()),
            ("AUTHORITY", format!("{}\n", self.ca_pem.trim())),
            ("CONTAINERD", self.containerd.to_owned()),
            ("NETWORK", self.network().to_string()),
            ("POWER_OFF", POWER_OFF.to_owned()),
        ] {
            script.push_str(&format!("{name}={}\n", quote(name, &value)?));
        }
        if let Some((server, authority)) = self.tunnel {
            let authority = quote("the tunnel's authority", &format!("{}\n", authority.trim()))?;
            let server = quote("the tunnel's server", server)?;
            script.push_str(&format!("TUNNEL={server} TUNNEL_AUTHORITY={authority}\n"));
        }
        script.push_str("ARTIFACTS=(\n");
        for Artifact { name, url, sha256, form } in self.artifacts {
            let words = [form.word(), name, &sha256.hex(), url.as_str()];
            let quoted: Result<Vec<String>, Error> =
                words.into_iter().map(|word| quote(name, word)).collect();
            script.push_str(&format!("  {}\n", quoted?.join(" ")));
        }
        script.push_str(")\n");
        Ok(script + BODY)
    }

    /// Name of the file that this is to be found as: what it is, and nothing else, has this name.
    #[must_use]
    pub fn name(text: &str) -> String {
        format!("{}.sh", Digest::of(text.as_bytes()).hex())
    }

    /// Each pod has a cable to the machine, which hides it behind its own address: pods go out, nothing comes in.
    fn network(&self) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": "cooperator", "plugins": [{
                "type": "ptp", "ipMasq": true,
                "ipam": {
                    "type": "host-local", "dataDir": "/var/lib/cooperator/network",
                    "ranges": [[{"subnet": self.pod_subnet}]], "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
    }
}
