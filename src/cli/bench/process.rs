//! What a process takes of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use crate::cli::Failed;

/// Ticks of `/proc/PID/stat` in a second: what every Linux shows, whatever it counts in (`proc_pid_stat(5)`).
const TICKS: u64 = 100;

/// Processor time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// Of this process.
    pub(super) own: Duration,
    /// Of children that have ended.
    pub(super) children: Duration,
}

impl Cpu {
    /// So far. Steps of 10 ms.
    pub(super) fn so_far() -> Result<Self, Failed> {
        let path = "/proc/self/stat";
        let stat = fs::read_to_string(path).map_err(|error| Failed(format!("{path}: {error}")))?;
        // The name of the program, in brackets, may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|field| field.parse::<u64>().ok());
        let sum = |one: usize, other: usize| {
            let ticks = ticks(one).zip(ticks(other)).map(|(one, other)| one + other);
            let ticks = ticks.ok_or_else(|| Failed(format!("{path} does not say how much time was used")))?;
            Ok(Duration::from_millis(ticks * 1000 / TICKS))
        };
        Ok(Self { own: sum(14, 15)?, children: sum(16, 17)? })
    }

    /// Since an earlier moment.
    pub(super) fn since(self, before: Self) -> Self {
        Self { own: self.own.saturating_sub(before.own), children: self.children.saturating_sub(before.children) }
    }
}

/// A size that `/proc/PID/status` tells of a process, such as `VmRSS`; `self` is this one. In bytes.
pub(super) fn memory(process: &str, of: &str) -> Result<u64, Failed> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).map_err(|error| Failed(format!("{path}: {error}")))?;
    let line = status.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failed(format!("{path} has no {of}")))
}

/// Has the kernel forget the highest `VmHWM` of this process. False where it cannot.
pub(super) fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let before = Cpu::so_far().unwrap();
        let mut sum = 0u64;
        while Cpu::so_far().unwrap().since(before).own < Duration::from_millis(20) {
            sum = (0..100_000u64).fold(sum, u64::wrapping_add);
        }
        assert!(memory("self", "VmRSS").unwrap() > 0, "{sum}");
        assert!(memory("self", "VmNothing").is_err());
    }
}
