//! What a run came to: a table of what is not as recorded, and the totals.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::place::Run;
use crate::cli::table;
use crate::trace::RunState;

/// Prints it for people, or as JSON lines.
pub(super) fn print(run: &Run, found: &[Value], json: bool) {
    if json {
        for mismatch in found {
            println!("{}", json!({ "mismatch": mismatch }));
        }
        println!("{}", json!({ "run": run.document }));
        return;
    }
    if !found.is_empty() {
        table::print(
            &["job", "chunk", "kind", "store", "expected", "found", "state"],
            &found.iter().map(row).collect::<Vec<_>>(),
        );
    }
    println!("{}", totals(run, found.len() as u64));
}

fn row(mismatch: &Value) -> Vec<String> {
    let chunk = &mismatch["chunk_index"];
    // How it was resolved says more than that it was.
    let state = [&mismatch["resolution"], &mismatch["state"]].into_iter().find(|value| !value.is_null());
    vec![
        table::cell(&mismatch["job_id"]),
        if chunk.is_null() { "whole".to_owned() } else { table::cell(chunk) },
        table::cell(&mismatch["kind"]),
        table::cell(&mismatch["store"]),
        content(&mismatch["expected"]),
        content(&mismatch["found"]),
        state.map(table::cell).unwrap_or_default(),
    ]
}

/// Size and checksum, as far as they are known.
fn content(of: &Value) -> String {
    let size = of["size"].as_u64().map(|size| format!("{size} bytes"));
    let crc32 = of["crc32"].as_str().map(|crc32| format!("crc32 {crc32}"));
    let parts: Vec<String> = size.into_iter().chain(crc32).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// One sentence; `found` is how many mismatches were seen.
fn totals(run: &Run, found: u64) -> String {
    let tally = &run.tally;
    let mut line = format!(
        "run {} over {}: {}; {} chunks, {} copies, {} bytes: {} as recorded, {} differ",
        run.id, run.scope, run.state, tally.chunks, tally.looks, tally.bytes.0, tally.sound, tally.differs
    );
    let mut more = |count: u64, what: &str| {
        if count > 0 {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {count} {what}");
        }
    };
    more(tally.repaired, "healed");
    more(tally.moved, "changed meanwhile");
    more(tally.unreachable, "could not be reached");
    more(tally.differs.saturating_sub(found), "known, and taken note of");
    if let Some(message) = run.message.as_ref().filter(|_| run.state != RunState::Complete) {
        let _ = write!(line, "; {message}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_say_what_there_is_to_say() {
        let run = |tally: Value, state: &str, message: Value| {
            let document = json!({"id": 3, "scope": "all", "state": state, "tally": tally, "expected": null,
                "started_at": "2026-01-01T00:00:00Z", "ended_at": null, "message": message});
            Run::of(document).expect("a run")
        };
        let sound = run(json!({"chunks": 2, "looks": 3, "sound": 3, "bytes": 9}), "complete", Value::Null);
        assert_eq!(totals(&sound, 0), "run 3 over all: complete; 2 chunks, 3 copies, 9 bytes: 3 as recorded, 0 differ");
        let tally = json!({"chunks": 2, "looks": 3, "sound": 1, "differs": 2, "repaired": 1, "unreachable": 1});
        let rest = "1 as recorded, 2 differ, 1 healed, 1 could not be reached, 1 known, and taken note of; x";
        let said = totals(&run(tally, "partial", json!("x")), 1);
        assert_eq!(said, format!("run 3 over all: partial; 2 chunks, 3 copies, 0 bytes: {rest}"));
    }

    #[test]
    fn a_row_shows_what_was_promised_and_what_was_there() {
        let mismatch = json!({"job_id": 7, "chunk_index": 0, "kind": "missing", "store": "object_store",
            "expected": {"size": 4, "crc32": "ed82cd11"}, "found": {}, "state": "open", "resolution": null});
        let expected = ["7", "0", "missing", "object_store", "4 bytes, crc32 ed82cd11", "-", "open"];
        assert_eq!(row(&mismatch), expected);
        let healed = json!({"job_id": 7, "state": "resolved", "resolution": "repaired"});
        assert_eq!((row(&healed)[1].as_str(), row(&healed)[6].as_str()), ("whole", "repaired"));
    }
}
