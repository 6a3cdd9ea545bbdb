//! A run on its way: what it saw is written down every second, and whether somebody wants it to stop comes back.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::lock::Mutex;
use futures::{StreamExt as _, stream};

use crate::store::Result;
use crate::store::database::verifications::{NewRun, Run, RunId};
use crate::telemetry::verification as telemetry;
use crate::trace::{RunState, Schedule, Tally, Timestamp};

use super::Verifier;

/// How often progress is written down.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// A run that was not heard of for so long has lost its node. One look takes far less, even where a store is away.
const SILENT_MAX: Duration = Duration::from_secs(600);

/// A run that this node does.
pub struct Running {
    verifier: Verifier,
    run: Run,
    noted_at: Timestamp,
    stopped: bool,
}

impl Verifier {
    /// Begins a run.
    pub(super) async fn begin(&self, schedule: Schedule, scope: String, expected: Option<u64>) -> Result<Running> {
        let node = self.node.name().to_owned();
        let new = NewRun { schedule, scope, node, expected, at: self.now() };
        let run = self.verifications().begin_run(&new).await?;
        Ok(Running { verifier: self.clone(), noted_at: run.started_at, run, stopped: false })
    }

    /// Ends the runs that lost their node, and forgets the old ones.
    pub(super) async fn tidy_runs(&self) -> Result<()> {
        let now = self.now();
        let message = "its node went away";
        let lost = self.verifications().end_silent_runs(now.before(SILENT_MAX), message, now).await?;
        if lost > 0 {
            tracing::warn!("{lost} runs of the verifier had lost their node, and count as failed");
        }
        self.verifications().remove_runs(now.before(self.settings.runs_kept_for)).await?;
        Ok(())
    }
}

impl Running {
    /// Its number.
    pub fn id(&self) -> RunId {
        self.run.id
    }

    /// The run as it began.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Adds what was seen. False if the run is to stop.
    pub(super) async fn add(&mut self, seen: Tally) -> Result<bool> {
        self.run.tally += seen;
        let now = self.verifier.now();
        if now.since(self.noted_at) >= NOTE_EVERY {
            self.noted_at = now;
            telemetry::progressed(self.run.schedule, now);
            self.stopped |= !self.verifier.verifications().note_progress(self.run.id, &self.run.tally, now).await?;
        }
        Ok(!self.stopped)
    }

    /// A step that saw nothing, such as an empty page: whoever wants the run to stop is heard in long stretches of them too.
    /// False if it is to stop.
    pub(super) async fn goes_on(&mut self) -> Result<bool> {
        self.add(Tally::default()).await
    }

    /// Makes all these looks, so many at a time, and adds what each saw as it comes. `None` if the run is to stop.
    pub(super) async fn add_all<T: Send>(
        run: &Mutex<&mut Self>,
        looks: Vec<BoxFuture<'_, Result<T>>>,
        at_once: usize,
        seen: fn(&T) -> Tally,
    ) -> Result<Option<Vec<T>>> {
        if looks.is_empty() {
            return Ok(run.lock().await.goes_on().await?.then(Vec::new));
        }
        // Adding may wait for the database, so it is a part of each look: see `side_by_side`.
        let mut counted: Vec<BoxFuture<'_, Result<Option<T>>>> = Vec::with_capacity(looks.len());
        for look in looks {
            counted.push(Box::pin(async move {
                let look = look.await?;
                let goes_on = run.lock().await.add(seen(&look)).await?;
                Ok(goes_on.then_some(look))
            }));
        }
        let mut all = Vec::with_capacity(counted.len());
        let mut counted = stream::iter(counted).buffered(at_once.max(1));
        while let Some(look) = counted.next().await {
            match look? {
                Some(look) => all.push(look),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    /// Ends the run as `done` says: without an error as complete, unless it was stopped or something was out of reach.
    /// Answers how it ended.
    pub(super) async fn end(self, done: Result<()>) -> Result<RunState> {
        let Self { verifier, run, stopped, .. } = self;
        let (state, message) = match &done {
            Err(error) => (RunState::Failed, Some(error.to_string())),
            Ok(()) if stopped => (RunState::Stopped, None),
            Ok(()) if run.tally.unreachable > 0 => {
                (RunState::Partial, Some(format!("{} copies could not be reached", run.tally.unreachable)))
            }
            Ok(()) => (RunState::Complete, None),
        };
        let now = verifier.now();
        telemetry::run_ended(run.schedule, state, now.ms_since(run.started_at));
        verifier.verifications().end_run(run.id, state, message.as_deref(), &run.tally, now).await?;
        done.map(|()| state)
    }
}
