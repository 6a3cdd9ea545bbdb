//! Watching a run to its end, and what it came to.

use std::process::ExitCode;
use std::time::Duration;

use super::findings;
use super::place::{Place, Run};
use super::progress::Progress;
use super::which::Which;
use crate::cli::signals::Signals;
use crate::cli::{Failed, exit};
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;
use crate::trace::RunState;

/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(250);

/// What Ctrl-C does the first time; the second time, this command ends at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// It stops the run.
    Stops,
    /// It ends the watching only.
    Leaves,
}

/// Waits for the end of a run, and says what it came to.
pub(super) async fn watch(
    place: &Place,
    run: Run,
    interrupt: Interrupt,
    which: &Which,
    json: bool,
) -> Result<ExitCode, Failed> {
    let id = run.id;
    let goes_on = |failed: Failed| match place {
        Place::Server(_) => Failed(format!("{failed}; run {id} may go on: see `veritail verify watch {id}`")),
        Place::Stores(_) => failed,
    };
    let progress = Progress::of(&run);
    let ended = until_end(place, run, interrupt, &progress).await;
    progress.ends();
    let run = ended.map_err(goes_on)?;
    let found = place.mismatches(which, &run).await?;
    findings::print(&run, &found, json);
    Ok(exit::code(code_of(&run)))
}

async fn until_end(place: &Place, mut run: Run, interrupt: Interrupt, progress: &Progress) -> Result<Run, Failed> {
    let mut signals = Signals::listen().map_err(Failed::because)?;
    let mut asked_to_stop = false;
    while run.state == RunState::Running {
        progress.show(&run);
        let interrupted = tokio::select! {
            () = SystemClock.sleep(POLL) => false,
            _ = signals.next() => true,
        };
        if interrupted && (asked_to_stop || interrupt == Interrupt::Leaves) {
            return Err(Failed("interrupted".to_owned()));
        }
        if interrupted {
            place.stop(run.id).await?;
            asked_to_stop = true;
        }
        run = place.run(run.id).await?;
    }
    Ok(run)
}

/// What differs counts, even where something else could not be looked at.
fn code_of(run: &Run) -> u8 {
    match run.state {
        _ if run.tally.differs > 0 => exit::MISMATCHES,
        // What changed with every look was not compared with anything.
        RunState::Complete if run.tally.moved == 0 => 0,
        _ => exit::NOT_CHECKED,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_code_says_whether_everything_was_looked_at() {
        for (state, differs, moved, code) in [
            ("complete", 0, 0, 0),
            ("complete", 0, 1, exit::NOT_CHECKED),
            ("partial", 0, 0, exit::NOT_CHECKED),
            ("complete", 1, 1, exit::MISMATCHES),
            ("failed", 1, 0, exit::MISMATCHES),
        ] {
            let tally = json!({"chunks": 2, "looks": 3, "sound": 2, "differs": differs, "moved": moved});
            let document = json!({"id": 3, "scope": "all", "state": state, "tally": tally, "expected": null,
                "started_at": "2026-01-01T00:00:00Z", "ended_at": null, "message": null});
            assert_eq!(code_of(&Run::of(document).expect("a run")), code, "{state} {differs} {moved}");
        }
    }
}
