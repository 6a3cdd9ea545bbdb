//! The verifier, on its way over everything that was written.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::Failed;
use crate::cli::bench::clock;
use crate::cli::bench::process::{self, Cpu};
use crate::pipeline::Pipeline;
use crate::trace::{ByteSize, JobId, Tally};
use crate::verify::{Budgeted, Scope, Settings, Verifier};

/// Bytes of logs that something was done with, and what it took.
pub(super) struct Spent {
    pub(super) took: Duration,
    /// Processor time of whoever did it.
    pub(super) cpu: Duration,
    pub(super) bytes: u64,
}

impl Spent {
    pub(super) fn per_second(&self) -> f64 {
        rate(self.bytes, self.took)
    }

    pub(super) fn per_cpu_second(&self) -> f64 {
        rate(self.bytes, self.cpu)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "seconds": self.took.as_secs_f64(), "cpu_seconds": self.cpu.as_secs_f64(), "bytes": self.bytes,
            "bytes_per_second": self.per_second(), "bytes_per_cpu_second": self.per_cpu_second(),
        })
    }
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64().max(1e-9)
}

/// What one pass of the verifier took.
pub(super) struct Pass {
    pub(super) spent: Spent,
    pub(super) tally: Tally,
    /// By how much memory grew beyond what was resident before; `None` where the kernel does not tell.
    pub(super) grew: Option<u64>,
}

/// A verifier beside the server's own, with a budget of its own.
pub(super) fn verifier(node: &Pipeline, bytes_per_second: u64, concurrency: usize) -> Verifier {
    let budget = Budgeted { bytes_per_second: ByteSize(bytes_per_second), requests_per_second: 0, concurrency };
    Verifier::new(node.clone(), Settings { full: budget, ..Settings::default() })
}

impl Pass {
    /// Looks at these jobs, which have `bytes` bytes together, all of it persistent and nothing else.
    pub(super) async fn over(verifier: &Verifier, jobs: &[JobId], bytes: u64) -> Result<Self, Failed> {
        let is_watched = process::forget_peak();
        let (resident, cpu, began) = (process::memory("self", "VmRSS")?, Cpu::so_far()?, clock::now());
        let tally = verifier.verify(Scope::Jobs(jobs.to_vec()), "bench".to_owned(), |_| ()).await;
        let (took, cpu) = (began.elapsed(), Cpu::so_far()?.since(cpu).own);
        let peak = process::memory("self", "VmHWM")?;
        let tally = tally.map_err(Failed::because)?;
        if tally.sound != tally.looks || tally.looks == 0 {
            return Err(Failed(format!("{} of {} copies are as recorded", tally.sound, tally.looks)));
        }
        Ok(Self { spent: Spent { took, cpu, bytes }, tally, grew: is_watched.then(|| peak.saturating_sub(resident)) })
    }

    pub(super) fn json(&self) -> Value {
        let mut document = self.spent.json();
        document["chunks"] = self.tally.chunks.into();
        document["looks"] = self.tally.looks.into();
        document["memory_grew"] = self.grew.into();
        document
    }
}
