//! `cooperator-mirror`: what rented machines fetch at their first start, served from this host as a vendor's mirror is.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use cooperator_cluster::file_server::{FileServer, node_files};
use cooperator_cluster::files;
use cooperator_cluster::images::Image;

/// Serves the programs that make a machine a node of the local cluster, and images
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The archive of an image that is served too; may be repeated
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// The file that says, once it is served, what is: name, kind, URL and sha256 of each file, JSON
    #[arg(long, value_name = "FILE")]
    list: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let images: Vec<Image> =
        args.image.into_iter().map(|archive| Image { reference: String::new(), archive }).collect();
    let server = FileServer::start(args.listen, &node_files(&images))?;
    let text = serde_json::to_string_pretty(&server.files).context("the list of what is served")?;
    files::write(&args.list, text)?;
    loop {
        std::thread::park();
    }
}
