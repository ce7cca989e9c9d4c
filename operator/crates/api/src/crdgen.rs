//! `crdgen`: prints the definitions as a stream of YAML documents. `cargo xtask codegen` writes them to files.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for crd in cooperator_api::crds() {
        let text = serde_yaml::to_string(&crd).map_err(io::Error::other)?;
        write!(out, "---\n{text}")?;
    }
    out.flush()
}
