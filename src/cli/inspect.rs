//! `veritail inspect JOB`: the integrity report of one job, for people.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::Failed;
use super::client::Connection;

/// Show what was promised of a job's log, where every copy of it is, and what is wrong with it.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Inspect {
    /// The job's number.
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(1..))]
    job: i64,
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
    /// Show the key of every object, and not only of those with an open mismatch.
    #[arg(long)]
    keys: bool,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  the log is verified, pending, unclaimed or erased, and nothing is wrong with it
  1  it is corrupt, disagrees with its runner, or has an open mismatch
  2  it could not be looked at";

/// Something is wrong with the log.
const WRONG: u8 = 1;
/// Nothing is known of the log. Wrong arguments end with the same.
const NOT_LOOKED: u8 = 2;

impl Inspect {
    pub(super) async fn run(self) -> ExitCode {
        match self.look().await {
            Ok(report) if report.is_well() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::from(WRONG),
            Err(failed) => failed.tell(ExitCode::from(NOT_LOOKED)),
        }
    }

    async fn look(&self) -> Result<Report, Failed> {
        let path = format!("/api/v1/jobs/{}/integrity", self.job);
        let client = self.connection.client()?;
        let document: Value = client.get(&path, &format!("job {}", self.job)).await?;
        let shown = self.json.then(|| format!("{document:#}\n"));
        let report: Report = serde_json::from_value(document).map_err(|error| {
            Failed(format!("{} answered something else than a report: {error}", self.connection.url))
        })?;
        let page = shown.unwrap_or_else(|| render(&report, self.keys));
        // Whoever does not read on need not: the exit code is the same.
        let _ = std::io::stdout().write_all(page.as_bytes());
        Ok(report)
    }
}

/// The document of the API as a page for people.
pub(super) fn page_of(document: Value) -> Result<String, Failed> {
    let report: Report = serde_json::from_value(document).map_err(Failed::because)?;
    Ok(render(&report, false))
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

impl Report {
    fn is_well(&self) -> bool {
        let known_good = ["verified", "pending", "unclaimed", "erased"].contains(&self.verdict.as_str());
        known_good && !self.mismatches.iter().any(Mismatch::is_open)
    }

    /// Whether something is wrong with a chunk, or with the whole.
    fn is_damaged(&self, chunk: u32) -> bool {
        self.mismatches.iter().any(|mismatch| mismatch.is_open() && mismatch.chunk_index.is_none_or(|of| of == chunk))
    }
}

impl Mismatch {
    fn is_open(&self) -> bool {
        self.state == "open"
    }
}

/// The report as a page of text, in lines that fit a terminal; `keys` for those of all objects.
fn render(report: &Report, keys: bool) -> String {
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
            let copies: Vec<String> =
                chunk.copies.iter().map(|copy| format!("{}: {}", copy.store, copy.state)).collect();
            vec![
                chunk.index.to_string(),
                chunk.epoch.to_string(),
                chunk.size.to_string(),
                chunk.crc32.clone().unwrap_or_else(absent),
                chunk.sha256.as_ref().map_or_else(absent, |sha256| sha256.chars().take(16).collect()),
                if copies.is_empty() { "no copy".to_owned() } else { copies.join(", ") },
            ]
        })
        .collect();
    table(&["chunk", "epoch", "bytes", "crc32", "sha256 (begins)", "copies"], &chunks).for_each(&mut line);
    let shown = report.chunks.iter().filter(|chunk| keys || report.is_damaged(chunk.index));
    let objects: Vec<Vec<String>> = shown
        .flat_map(|chunk| chunk.copies.iter().filter_map(|copy| Some((chunk.index, copy.key.clone()?))))
        .map(|(index, key)| vec![index.to_string(), key])
        .collect();
    if !objects.is_empty() {
        table(&["chunk", "object"], &objects).for_each(&mut line);
    }
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
        let report: Report = serde_json::from_str(report).expect("a report");
        let page = render(&report, true);
        let expected = "\
job 7: corrupt
  kept     262161 bytes, crc32 d4777540
  claimed  262161 bytes, crc32 d4777540

chunk  epoch  bytes   crc32     sha256 (begins)   copies
0      1      131072  ca975130  0011223344556677  object_store: verified, embedded: missing
1      2      0       -         -                 no copy

chunk  object
0      traces/x

chunk  mismatch  store     found by  first seen            state
1      missing   embedded  migrate   2026-01-01T00:00:00Z  open
";
        assert_eq!(page, expected);
        // The key of a sound object only on request.
        assert!(!render(&report, false).contains("traces/x"));
        assert!(!report.is_well());
    }

    #[test]
    fn a_report_is_well_unless_something_is_wrong_now() {
        let mismatch = |state: &str| {
            format!(
                r#"{{"chunk_index": 0, "kind": "checksum", "store": "object_store", "detector": "read",
                "first_seen": "2026-01-01T00:00:00Z", "state": "{state}", "resolution": null}}"#
            )
        };
        let report = |verdict: &str, mismatches: &str| -> Report {
            let text = format!(
                r#"{{"job_id": 1, "size": 4, "verdict": "{verdict}", "mismatches": [{mismatches}], "chunks": [{{"index": 0,
                "size": 4, "epoch": 1, "copies": [{{"store": "object_store", "state": "differs", "key": "traces/x"}}]}}]}}"#
            );
            serde_json::from_str(&text).expect("a report")
        };
        for verdict in ["verified", "pending", "unclaimed", "erased"] {
            assert!(report(verdict, "").is_well(), "{verdict}");
            assert!(report(verdict, &mismatch("resolved")).is_well(), "{verdict}");
            assert!(!report(verdict, &mismatch("open")).is_well(), "{verdict}");
        }
        for verdict in ["corrupt", "runner_disagrees", "what a later version says"] {
            assert!(!report(verdict, "").is_well(), "{verdict}");
        }
        assert!(render(&report("verified", &mismatch("open")), false).contains("0      traces/x"));
    }
}
