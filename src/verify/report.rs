//! A run as people are shown it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::database::verifications::{Run, RunId};
use crate::trace::{RunState, Schedule, Tally, Timestamp};

/// A run of the verifier.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunReport {
    /// Its number.
    pub id: RunId,
    /// What it is for.
    pub schedule: Schedule,
    /// What it looks at, for people: `all`, `job 42`, `fresh/03`.
    pub scope: String,
    /// The node that does it; for a cycle of the full run, the one that began it.
    pub node: String,
    /// How far it is.
    pub state: RunState,
    /// What it saw so far.
    pub tally: Tally,
    /// How many chunks it expects to look at; null where that is not known.
    #[schema(required)]
    pub expected: Option<u64>,
    /// How much of that it looked at, 0 to 1; null where it is not known.
    #[schema(required)]
    pub progress: Option<f64>,
    /// When it began, RFC 3339.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it was last heard of.
    #[schema(format = DateTime)]
    pub heard_at: String,
    /// When it ended; null while it is under way.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
    /// Why it ended as it did, where there is more to say.
    #[schema(required)]
    pub message: Option<String>,
    /// Who asked it to stop: `admin`, or a token.
    #[schema(required)]
    pub stop_asked_by: Option<String>,
}

impl From<&Run> for RunReport {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id,
            schedule: run.schedule,
            scope: run.scope.clone(),
            node: run.node.clone(),
            state: run.state,
            tally: run.tally,
            expected: run.expected,
            progress: progress(run),
            started_at: run.started_at.to_rfc3339(),
            heard_at: run.heard_at.to_rfc3339(),
            ended_at: run.ended_at.map(Timestamp::to_rfc3339),
            message: run.message.clone(),
            stop_asked_by: run.stop_asked_by.clone(),
        }
    }
}

/// What is expected is an estimate: only a run that is complete is at its end.
#[allow(clippy::cast_precision_loss, reason = "a share")]
fn progress(run: &Run) -> Option<f64> {
    if run.state == RunState::Complete {
        return Some(1.0);
    }
    let expected = run.expected.filter(|expected| *expected > 0)?;
    Some((run.tally.chunks as f64 / expected as f64).min(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_share_of_what_is_expected_and_whole_only_at_the_end() {
        let run = |chunks, expected, state| Run {
            id: RunId(1),
            schedule: Schedule::Manual,
            scope: "all".to_owned(),
            node: "one".to_owned(),
            expected,
            state,
            tally: Tally { chunks, ..Tally::default() },
            started_at: Timestamp(0),
            heard_at: Timestamp(0),
            ended_at: None,
            message: None,
            stop_asked_by: None,
        };
        for (chunks, expected, state, share) in [
            (5, Some(10), RunState::Running, Some(0.5)),
            (50, Some(10), RunState::Running, Some(0.99)),
            (5, Some(0), RunState::Running, None),
            (5, None, RunState::Stopped, None),
            (5, None, RunState::Complete, Some(1.0)),
        ] {
            assert_eq!(RunReport::from(&run(chunks, expected, state)).progress, share, "{chunks} of {expected:?}");
        }
    }
}
