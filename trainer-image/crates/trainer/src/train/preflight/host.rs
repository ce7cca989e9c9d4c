//! Whether the machine can hold the base model: memory and disk.

use cooperator_contract::manifest::ModelManifest;
use cooperator_contract::outcome::FailureReason;
use sysinfo::{MemoryRefreshKind, System};

use crate::failure::Failure;
use crate::run::Context;

const MIB: u64 = 1 << 20;

/// What this machine has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    /// The pod's memory limit, or all memory where there is no limit.
    memory: u64,
    /// Free on the disk of the work folder.
    disk: u64,
}

/// Refuses a machine that cannot hold the base model.
///
/// # Errors
/// [`FailureReason::InsufficientMemory`], [`FailureReason::PreflightFailed`]
pub(super) fn check(context: &Context, base: &ModelManifest) -> Result<(), Failure> {
    enough(host(context)?, base)
}

fn host(context: &Context) -> Result<Host, Failure> {
    let mut system = System::new().map_err(Failure::internal)?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let memory = system.cgroup_limits().map_or_else(|| system.total_memory(), |limits| limits.total_memory);
    let disk = nix::sys::statvfs::statvfs(&context.work).map_err(Failure::internal)?;
    Ok(Host { memory, disk: disk.blocks_available().saturating_mul(disk.fragment_size()) })
}

/// Bounds from below: what is less cannot do it, what is more may still be too little.
fn enough(host: Host, base: &ModelManifest) -> Result<(), Failure> {
    let all = base.bytes();
    let weights = base.files.iter().filter(|file| file.name.ends_with(".safetensors"));
    let weights = weights.fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
    if host.memory < weights {
        let message = format!(
            "the weights of the base model alone take {} MiB, the memory limit is {} MiB: raise \
             spec.compute.resources.limits.memory, or take a smaller base model",
            weights.div_ceil(MIB),
            host.memory / MIB
        );
        return Err(Failure::new(FailureReason::InsufficientMemory, message));
    }
    if host.disk < all {
        let message = format!(
            "the base model takes {} MiB on disk, {} MiB are free on the node: free some, or choose another node by \
             spec.compute.nodeSelector",
            all.div_ceil(MIB),
            host.disk / MIB
        );
        return Err(Failure::new(FailureReason::PreflightFailed, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cooperator_contract::manifest::File;
    use cooperator_core::digest::Digest;

    use super::*;

    fn base(weights: u64) -> ModelManifest {
        let file = |name: &str, bytes| File { name: name.into(), digest: Digest::of(b""), bytes };
        ModelManifest {
            architecture: "llama".into(),
            parameters: 1,
            license: "Apache-2.0".into(),
            source_digest: Digest::of(b""),
            files: vec![file("config.json", MIB), file("model.safetensors", weights)],
        }
    }

    #[test]
    fn a_machine_that_can_hold_the_model_is_taken() {
        assert_eq!(enough(Host { memory: 8 * MIB, disk: 9 * MIB }, &base(8 * MIB)), Ok(()));
    }

    #[test]
    fn too_little_memory_and_too_little_disk_are_named_with_the_bound_and_the_way_out() {
        let short = enough(Host { memory: 7 * MIB, disk: 9 * MIB }, &base(8 * MIB)).unwrap_err();
        assert_eq!(short.reason, FailureReason::InsufficientMemory);
        for part in ["8 MiB", "7 MiB", "spec.compute.resources.limits.memory"] {
            assert!(short.message.contains(part), "{}", short.message);
        }
        let full = enough(Host { memory: 8 * MIB, disk: 8 * MIB }, &base(8 * MIB)).unwrap_err();
        assert_eq!(full.reason, FailureReason::PreflightFailed);
        assert!(full.message.contains("9 MiB on disk, 8 MiB are free"), "{}", full.message);
        assert!(full.reason.retriable() && !short.reason.retriable());
    }

    #[test]
    fn a_manifest_that_lies_about_sizes_does_not_overflow() {
        let mut lie = base(u64::MAX);
        lie.files.push(lie.files[1].clone());
        assert!(enough(Host { memory: 1, disk: 1 }, &lie).is_err());
    }
}
