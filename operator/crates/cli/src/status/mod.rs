//! `kubectl coop status`: the tree of what belongs to a Collective.

mod tree;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::access::{Access, no_collective};
use crate::output;
use crate::{items, kind::Kind};

pub use tree::{Node, rows, tree};

/// Options of `status`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The Collective; by default every one in the namespace
    pub name: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: output::Options,
}

/// Prints the tree of a Collective, or of each.
///
/// # Errors
/// When there is none of that name, or the cluster does not answer.
pub async fn status(access: &Access, options: &Options) -> Result<()> {
    let items = items::fetch(access).await?; // client
    let names: Vec<&str> =
        items.iter().filter(|item| item.kind == Kind::Collective).map(|item| item.name.as_str()).collect();
    if names.is_empty() {
        bail!("{}", no_collective(&access.namespace));
    }
    let wanted = options.name.as_deref().map_or_else(|| names.clone(), |name| vec![name]);
    let node = |name: &str| {
        let there = names.join(", ");
        tree(&items, name).with_context(|| {
            format!("no Collective `{name}` in namespace `{}`; it has {there}", access.namespace)
        })
    };
    let nodes: Vec<Node> = wanted.into_iter().map(node).collect::<Result<_>>()?;
    let now = Timestamp::now();
    let header = ["NAME", "READY", "REASON", "FOR", "DETAIL"];
    output::print(options.output, &nodes, || output::table(header, rows(&nodes, now)))
}
