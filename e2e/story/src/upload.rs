//! Puts model and texts into the Collective's bucket, as a member would with any S3 client.

use anyhow::Result;
use cooperator_api::collective::Collective;
use cooperator_cli::storage;
use cooperator_cluster::progress::Progress;

use crate::cluster::Cluster;
use crate::inputs::{Inputs, MODEL_FILE};

/// Uploads what is not there with its full size yet.
///
/// # Errors
/// When the bucket cannot be written.
pub async fn upload(
    cluster: &Cluster,
    collective: &Collective,
    inputs: &Inputs,
    progress: &Progress,
) -> Result<()> {
    let step = progress.step("Uploading the model and the addresses", None);
    let bucket = storage::open(&cluster.client, collective).await?;
    let model = (MODEL_FILE.to_owned(), inputs.model.clone());
    for (name, path) in inputs.texts.iter().chain([&model]) {
        let key = format!("incoming/{name}");
        let size = std::fs::metadata(path)?.len();
        if bucket.store.head(&key).await? != Some(size) {
            bucket.store.put_file(&key, path).await?;
        }
    }
    step.done();
    Ok(())
}
