//! A stored byte that turned into another, and the reader who meets it.

use std::path::Path;
use std::time::Duration;

use super::runner::Runner;
use super::screen::{Screen, grouped};
use super::service::{Report, Service};
use crate::cli::Failed;
use crate::seams::real::SystemClock;
use crate::seams::{Clock as _, within};

/// The chunk that is damaged.
const CHUNK: usize = 7;

/// Flips one byte of one object, and reads the log.
pub(super) async fn flip_a_byte(
    screen: &mut Screen,
    service: &Service,
    folder: &Path,
    runner: &Runner,
) -> Result<(), Failed> {
    let (name, job, log) = (runner.name, runner.job, &runner.log);
    let report = without_live_copy(service, job).await?;
    let start: usize = report.chunks.iter().take(CHUNK).map(|chunk| chunk.size).sum();
    let end = start + report.chunks.get(CHUNK).map_or(0, |chunk| chunk.size);
    let key = report.chunks.get(CHUNK).and_then(|chunk| chunk.copies.first()?.key.clone());
    let key = key.ok_or_else(|| Failed(format!("{name} has no object for chunk {CHUNK}")))?;
    let object = folder.join("objects").join(&key);
    let at = flip(&object)?;
    screen.detail(format_args!("the demo flips a bit of byte {} of chunk {CHUNK}'s object,", grouped(at)));
    screen.detail(object.display());

    let read = service.read(job, "", None).await?;
    let good = log.starts_with(&read.bytes);
    let claim = format!("{name}: the connection breaks at the damage; {} bytes before are good", grouped(start));
    let seen = format!("broken off: {}, {} bytes, good: {good}", read.broken, read.bytes.len());
    screen.check(claim, format!("broken off: true, {start} bytes, good: true"), seen);

    let report = service.integrity(job).await?;
    let found: Vec<String> = report
        .mismatches
        .iter()
        .map(|mismatch| {
            let chunk = mismatch.chunk_index.map_or_else(|| "whole".to_owned(), |index| index.to_string());
            let (kind, store, detector) = (&mismatch.kind, &mismatch.store, &mismatch.detector);
            format!("chunk {chunk}: {kind} in {store}, found by {detector}, {}", mismatch.state)
        })
        .collect();
    let expected = format!("chunk {CHUNK}: checksum in object_store, found by read, open");
    screen.check(format_args!("it is named: {}", found.join("; ")), expected, found.join("; "));

    let behind = service.read(job, "", Some(&format!("bytes={end}-"))).await?;
    let seen = format!("{}, same: {}", behind.status.as_u16(), behind.bytes == log[end..]);
    screen.check("everything behind the damage is still served, verified", "206, same: true".to_owned(), seen);

    let raw = service.read(job, "?unverified=1", None).await?;
    let outside = raw.bytes.len() == log.len() && raw.bytes[..start] == log[..start] && raw.bytes[end..] == log[end..];
    let seen = format!("{}, {} bytes, the rest good: {outside}", raw.status.as_u16(), raw.bytes.len());
    let claim = format!("?unverified=1 shows what is there: {} bytes, the bad chunk as it is", grouped(log.len()));
    screen.check(claim, format!("200, {} bytes, the rest good: true", log.len()), seen);

    let counted = service.series("veritail_integrity_mismatches_total").await?.join("; ");
    let series = r#"veritail_integrity_mismatches_total{kind="checksum",store="object_store",detector="read"} 1"#;
    screen.check("it is counted once, though two readers met it", series.to_owned(), counted.clone());
    screen.detail(counted);
    Ok(())
}

/// Waits until the live copy of the chunk is gone: before that a reader would be served from it.
async fn without_live_copy(service: &Service, job: i64) -> Result<Report, Failed> {
    let gone = async {
        loop {
            let report = service.integrity(job).await?;
            let copies = report.chunks.get(CHUNK).map(|chunk| chunk.copies.as_slice()).unwrap_or_default();
            if copies.iter().all(|copy| copy.store == "object_store") {
                return Ok(report);
            }
            SystemClock.sleep(Duration::from_millis(100)).await;
        }
    };
    within(&SystemClock, Duration::from_secs(15), gone)
        .await
        .unwrap_or_else(|| Err(Failed(format!("job {job}: the live copy of chunk {CHUNK} does not go"))))
}

/// Flips the byte in the middle of a file; answers where.
fn flip(file: &Path) -> Result<usize, Failed> {
    let because = |error| Failed(format!("{}: {error}", file.display()));
    let mut bytes = std::fs::read(file).map_err(because)?;
    let at = bytes.len() / 2;
    let byte = bytes.get_mut(at).ok_or_else(|| Failed(format!("{} is empty", file.display())))?;
    *byte ^= 1;
    std::fs::write(file, bytes).map_err(because)?;
    Ok(at)
}
