//! The machine, its load, and what a process of it holds.

use std::fs;

use anyhow::{Context, Result};
use jiff::Zoned;

/// Date, processor, memory and load, in one line: figures mean nothing without.
pub fn described() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = field(&cpu, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let bytes = field(&memory, "MemTotal").and_then(kibibytes).unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {cores} cores of {model}, {} GB, Linux {}, load average at the end {}.",
        Zoned::now().date(),
        bytes >> 30,
        kernel.trim(),
        load(),
    )
}

/// Load averages over 1, 5 and 15 minutes: above the number of cores, others took part.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now, bytes.
    pub now: u64,
    /// The most it ever was, bytes.
    pub peak: u64,
}

impl Memory {
    /// Of a running process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn of(pid: i32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
        let bytes = |name: &str| field(&status, name).and_then(kibibytes);
        let (now, peak) = bytes("VmRSS").zip(bytes("VmHWM")).context("the process has ended")?;
        Ok(Self { now, peak })
    }
}

/// Megabytes of 10^6 bytes.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let of_line = |line: &'a str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    };
    text.lines().find_map(of_line)
}

/// Bytes of `1234 kB`.
fn kibibytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|number| number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_tells_it() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(field(status, "VmRSS").and_then(kibibytes), Some(1 << 20));
        let own = Memory::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.now > 1 << 20 && own.peak >= own.now, "{own:?}");
    }

    #[test]
    fn a_process_that_is_gone_has_no_memory() {
        assert!(Memory::of(i32::MAX).is_err());
    }
}
