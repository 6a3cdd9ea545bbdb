//! Whether what was written is there: the server's verdict on every job, and every byte read back and compared.

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::clock;
use super::runner::Runner;
use super::wire::Taken;
use crate::cli::Failed;

/// How it came out.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) verified: usize,
    pub(super) wrong: Vec<String>,
}

/// Jobs that are read at the same time.
const READING: usize = 8;
/// Tries of a read that the server asks to make later.
const TRIES: usize = 20;
/// Jobs that are named.
const NAMED: usize = 10;

impl Proof {
    /// Looks at every job.
    pub(super) async fn of(runners: &[Runner]) -> Self {
        let looks = futures::stream::iter(runners).map(|runner| async move {
            let looked = look(runner).await;
            looked.map_err(|why| format!("job {}: {why}", runner.job.id))
        });
        let looks: Vec<Result<(), String>> = looks.buffer_unordered(READING).collect().await;
        let verified = looks.iter().filter(|look| look.is_ok()).count();
        Self { verified, wrong: looks.into_iter().filter_map(Result::err).collect() }
    }

    /// The jobs that never got so far are not proven either.
    pub(super) fn and_failures(mut self, failures: &[String]) -> Self {
        self.wrong.extend_from_slice(failures);
        self
    }

    pub(super) fn holds(&self) -> bool {
        self.wrong.is_empty() && self.verified > 0
    }

    pub(super) fn json(&self) -> Value {
        let named: Vec<_> = self.wrong.iter().take(NAMED).collect();
        json!({ "holds": self.holds(), "verified": self.verified, "wrong": self.wrong.len(), "first": named })
    }

    /// For people, on standard error where it does not hold.
    pub(super) fn tell(&self) {
        if self.holds() {
            println!(
                "\nproven: {} jobs are `verified`, and read back they are byte for byte what was sent",
                self.verified
            );
            return;
        }
        self.complain();
    }

    pub(super) fn complain(&self) {
        for wrong in self.wrong.iter().take(NAMED) {
            eprintln!("veritail: {wrong}");
        }
        eprintln!("veritail: not proven: {} wrong, {} verified", self.wrong.len(), self.verified);
    }
}

async fn look(runner: &Runner) -> Result<(), String> {
    let report = runner.wire.integrity(runner.job.id).await.map_err(|Failed(why)| why)?;
    if report["verdict"] != "verified" || report["size"] != runner.said {
        return Err(format!("verdict {} of {} bytes, {} were sent", report["verdict"], report["size"], runner.said));
    }
    let taken = patient(runner).await;
    if let Some(broken) = taken.broken {
        return Err(format!("reading it broke off after {} bytes: {broken}", taken.bytes));
    }
    let expected = runner.content.sha256(runner.number, runner.said);
    if taken.status != 200 || taken.bytes != runner.said || taken.sha256 != expected {
        let (found, expected) = (hex::encode(taken.sha256), hex::encode(expected));
        return Err(format!(
            "read {} bytes with status {} and SHA-256 {found}; {} bytes with {expected} were sent",
            taken.bytes, taken.status, runner.said
        ));
    }
    Ok(())
}

/// Reads it all; where the server asks to come later, later.
async fn patient(runner: &Runner) -> Taken {
    let mut taken = runner.wire.read(&runner.job, None).await;
    for _ in 1..TRIES {
        let Some(after) = taken.after.filter(|_| matches!(taken.status, 429 | 503)) else { break };
        clock::sleep(after).await;
        taken = runner.wire.read(&runner.job, None).await;
    }
    taken
}
