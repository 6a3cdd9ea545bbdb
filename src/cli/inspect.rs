//! `veritail inspect JOB`: the integrity report of one job, for people.

use std::fmt::Write as _;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Failed;
use super::client::Connection;

/// Show what was promised of a job's log, where every copy of it is, and what is wrong with it.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The job's number.
    job: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let path = format!("/api/v1/jobs/{}/integrity", self.job);
        let client = self.connection.client()?;
        let document: Value = client.get(&path, &format!("job {}", self.job)).await?;
        if self.json {
            println!("{document:#}");
            return Ok(());
        }
        let report: Report = serde_json::from_value(document).map_err(|error| {
            Failed(format!("{} answered something else than a report: {error}", self.connection.url))
        })?;
        print!("{}", render(&report));
        Ok(())
    }
}

/// The document of the API, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Report {
    job_id: i64,
    size: u64,
    crc32: Option<String>,
    claim: Option<Claim>,
    verdict: String,
    chunks: Vec<Chunk>,
    mismatches: Vec<Mismatch>,
}

#[derive(Debug, Deserialize)]
struct Claim {
    crc32: String,
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Chunk {
    index: u32,
    size: u64,
    crc32: Option<String>,
    sha256: Option<String>,
    epoch: u32,
    copies: Vec<Copy>,
}

#[derive(Debug, Deserialize)]
struct Copy {
    store: String,
    state: String,
    key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Mismatch {
    chunk_index: Option<u32>,
    kind: String,
    store: String,
    detector: String,
    first_seen: String,
    state: String,
    resolution: Option<String>,
}

/// The report as a page of text.
fn render(report: &Report) -> String {
    let absent = || "-".to_owned();
    let mut page = String::new();
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{}", text.trim_end());
    };
    line(format!("job {}: {}", report.job_id, report.verdict));
    line(format!("  kept     {} bytes, crc32 {}", report.size, report.crc32.clone().unwrap_or_else(absent)));
    if let Some(claim) = &report.claim {
        let size = claim.size.map_or_else(absent, |size| size.to_string());
        line(format!("  claimed  {size} bytes, crc32 {}", claim.crc32));
    }
    let chunks: Vec<Vec<String>> = report
        .chunks
        .iter()
        .map(|chunk| {
            let copies = chunk.copies.iter().map(|copy| match &copy.key {
                Some(key) => format!("{}: {} ({key})", copy.store, copy.state),
                None => format!("{}: {}", copy.store, copy.state),
            });
            let copies = copies.collect::<Vec<_>>().join(", ");
            vec![
                chunk.index.to_string(),
                chunk.epoch.to_string(),
                chunk.size.to_string(),
                chunk.crc32.clone().unwrap_or_else(absent),
                chunk.sha256.as_ref().map_or_else(absent, |sha256| sha256.chars().take(16).collect()),
                if copies.is_empty() { "no copy".to_owned() } else { copies },
            ]
        })
        .collect();
    table(&["chunk", "epoch", "bytes", "crc32", "sha256 (begins)", "copies"], &chunks).for_each(&mut line);
    let mismatches: Vec<Vec<String>> = report
        .mismatches
        .iter()
        .map(|mismatch| {
            vec![
                mismatch.chunk_index.map_or_else(|| "whole".to_owned(), |index| index.to_string()),
                mismatch.kind.clone(),
                mismatch.store.clone(),
                mismatch.detector.clone(),
                mismatch.first_seen.clone(),
                mismatch.resolution.clone().unwrap_or_else(|| mismatch.state.clone()),
            ]
        })
        .collect();
    if mismatches.is_empty() {
        line("\nno mismatches".to_owned());
    } else {
        table(&["chunk", "mismatch", "store", "found by", "first seen", "state"], &mismatches).for_each(&mut line);
    }
    page
}

/// Lines with columns as wide as their widest cell, an empty line before them.
pub(super) fn table<'a>(head: &'a [&'a str], rows: &'a [Vec<String>]) -> impl Iterator<Item = String> + 'a {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = std::iter::once(head).chain(rows.iter().cloned()).map(move |row: Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ")
    });
    std::iter::once(String::new()).chain(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_page_with_every_copy_and_every_mismatch() {
        let report = r#"{
            "job_id": 7, "size": 262161, "crc32": "d4777540", "verdict": "corrupt",
            "claim": {"crc32": "d4777540", "size": 262161},
            "chunks": [
                {"index": 0, "size": 131072, "crc32": "ca975130", "sha256": "0011223344556677aa", "epoch": 1,
                 "data_store": "object_store",
                 "copies": [{"store": "object_store", "state": "verified", "key": "traces/x"},
                            {"store": "embedded", "state": "missing"}]},
                {"index": 1, "size": 0, "epoch": 2, "copies": []}
            ],
            "mismatches": [{"id": 1, "chunk_index": 1, "epoch": 2, "kind": "missing", "store": "embedded",
                "detector": "migrate", "expected": {}, "found": {}, "first_seen": "2026-01-01T00:00:00Z",
                "last_seen": "2026-01-01T00:00:00Z", "state": "open", "resolution": null, "resolved_at": null}]
        }"#;
        let page = render(&serde_json::from_str(report).expect("a report"));
        let expected = "\
job 7: corrupt
  kept     262161 bytes, crc32 d4777540
  claimed  262161 bytes, crc32 d4777540

chunk  epoch  bytes   crc32     sha256 (begins)   copies
0      1      131072  ca975130  0011223344556677  object_store: verified (traces/x), embedded: missing
1      2      0       -         -                 no copy

chunk  mismatch  store     found by  first seen            state
1      missing   embedded  migrate   2026-01-01T00:00:00Z  open
";
        assert_eq!(page, expected);
    }
}
