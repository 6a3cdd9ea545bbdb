//! The proof of a finished log: read back, and held against checksums of the demo's own.

use sha2::{Digest as _, Sha256};

use super::runner::Runner;
use super::screen::{Screen, grouped, shortened};
use super::service::{Chunk, Report, Service};
use crate::cli::Failed;

/// Reads a log back and compares it and everything recorded of it with what was sent.
pub(super) async fn show(screen: &mut Screen, service: &Service, runner: &Runner) -> Result<(), Failed> {
    let report = service.integrity(runner.job).await?;
    let name = runner.name;
    same(screen, service, runner).await?;
    let (chunks, verdict) = (report.chunks.len(), &report.verdict);
    let claim = format!("{name}: {chunks} chunks with CRC-32 and SHA-256 of what was sent; {verdict}");
    screen.check(claim, expected(&runner.log), recorded(&report, &runner.log));
    Ok(())
}

/// A reader gets exactly what the runner sent.
pub(super) async fn same(screen: &mut Screen, service: &Service, runner: &Runner) -> Result<(), Failed> {
    let read = service.read(runner.job, "", None).await?;
    let claim = format!("{}: {} bytes read back, byte for byte", runner.name, grouped(runner.log.len()));
    let seen = match (read.bytes == runner.log, read.broken) {
        (true, false) => runner.log.len().to_string(),
        (_, broken) => format!("{} other bytes, {}, broken off: {broken}", read.bytes.len(), read.status),
    };
    screen.check(claim, runner.log.len().to_string(), seen);
    Ok(())
}

/// A few rows of the integrity document.
pub(super) async fn show_chunks(screen: &mut Screen, service: &Service, runner: &Runner) -> Result<(), Failed> {
    const SHOWN: usize = 3;
    let report = service.integrity(runner.job).await?;
    screen.detail(format_args!("from /api/v1/jobs/{}/integrity of {}:", runner.job, runner.name));
    screen.detail("chunk   bytes   crc32     sha256             copy");
    for chunk in report.chunks.iter().take(SHOWN) {
        let Chunk { index, size, crc32, sha256, copies, .. } = chunk;
        let crc32 = crc32.as_deref().unwrap_or("-");
        let sha256 = shortened(sha256.as_deref().unwrap_or("-"), 16);
        let key = copies.iter().find_map(|copy| copy.key.as_deref()).unwrap_or("-");
        screen.detail(format_args!("{index:>5} {size:>7}   {crc32}  {sha256}  {}", shortened(key, 28)));
    }
    let left = report.chunks.len().saturating_sub(SHOWN);
    let crc32 = report.crc32.unwrap_or_default();
    screen.detail(format_args!("… {left} more; the whole: {} bytes, crc32 {crc32}", grouped(report.size)));
    Ok(())
}

/// What must be recorded of a log that is proven: computed here, from the runner's bytes.
pub(super) fn expected(log: &[u8]) -> String {
    format!("verified, crc32 {:08x}, all chunks in place", crc32fast::hash(log))
}

/// What is recorded of it.
pub(super) fn recorded(report: &Report, log: &[u8]) -> String {
    let crc32 = report.crc32.as_deref().unwrap_or("none");
    let chunks = match first_wrong(report, log) {
        None => "all chunks in place".to_owned(),
        Some(what) => what,
    };
    format!("{}, crc32 {crc32}, {chunks}", report.verdict)
}

/// The first chunk that is not as it must be.
fn first_wrong(report: &Report, log: &[u8]) -> Option<String> {
    let mut start = 0;
    for chunk in &report.chunks {
        let Some(bytes) = log.get(start..start + chunk.size) else {
            return Some(format!("chunk {} reaches beyond the log", chunk.index));
        };
        let crc32 = format!("{:08x}", crc32fast::hash(bytes));
        let sha256 = hex::encode(Sha256::digest(bytes));
        let stored = chunk.copies.iter().any(|copy| copy.store == "object_store" && copy.state == "verified");
        if chunk.crc32.as_ref() != Some(&crc32) || chunk.sha256.as_ref() != Some(&sha256) || !stored {
            return Some(format!("chunk {} is another one", chunk.index));
        }
        start += chunk.size;
    }
    (start != log.len()).then(|| format!("the chunks end at {start}"))
}
