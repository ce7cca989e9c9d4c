//! What is looked at before anything is fetched or computed: a machine that cannot do the run costs seconds, not an hour.
//!
//! What is measured is told to the operator, and judged where the run file has floors. It is no input of the training: nothing
//! that is published speaks of it.

mod cpu;
mod disk;
mod host;
mod judge;
mod rate;
mod storage;

use cooperator_contract::manifest::ModelManifest;
use cooperator_contract::outcome::FailureReason;
use cooperator_contract::preflight::Measured;

use crate::failure::Failure;
use crate::run::Context;

/// Refuses a machine that cannot hold the base model or is below its floors, and storage that does not take what this attempt
/// will write.
///
/// # Errors
/// [`FailureReason::InsufficientMemory`], [`FailureReason::PreflightFailed`], or as the storage says.
pub(super) async fn check(context: &Context, base: &ModelManifest) -> Result<(), Failure> {
    context.reporter.phase("preflight", 0);
    host::check(context, base)?;
    let measured = context.unless_stopped(measure(context, base)).await?;
    let Measured {
        gflops,
        disk_mib_per_second,
        download_mbit_per_second,
        upload_mbit_per_second,
        model_download_seconds,
    } = measured;
    tracing::info!(
        gflops,
        disk_mib_per_second,
        download_mbit_per_second,
        upload_mbit_per_second,
        model_download_seconds,
        "the machine was measured"
    );
    context.reporter.update(|progress| progress.preflight = Some(measured));
    let Some(floors) = &context.floors else { return Ok(()) };
    let shortfalls = judge::shortfalls(measured, *floors);
    if shortfalls.is_empty() {
        return Ok(());
    }
    let message = format!("the machine is not fit for the run: {}", shortfalls.join("; "));
    Err(Failure::new(FailureReason::PreflightFailed, message))
}

/// One after the other, so that none slows down another.
async fn measure(context: &Context, base: &ModelManifest) -> Result<Measured, Failure> {
    let cpu = blocking(cpu::speed).await?.map_err(Failure::internal)?;
    let folder = context.work.clone();
    let disk = blocking(move || disk::speed(&folder)).await?.map_err(|error| {
        let message = format!("the disk of the work folder does not keep what is written to it: {error}");
        Failure::new(FailureReason::PreflightFailed, message)
    })?;
    let storage::Speed { upload, download } = storage::speed(context).await?;
    Ok(Measured {
        gflops: cpu.giga(),
        disk_mib_per_second: disk.mebi(),
        download_mbit_per_second: download.megabit(),
        upload_mbit_per_second: upload.megabit(),
        model_download_seconds: download.seconds(base.bytes()),
    })
}

/// Off the threads on which progress is reported.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
}
