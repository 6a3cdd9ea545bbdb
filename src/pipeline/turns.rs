//! Turns: what one node at a time does for all, by leases in the database.
//!
//! Every node asks every few seconds whether a turn is due, so that a dead node's is taken over within [`lease_time`].
//! Nothing is guarded by it: a node that was paused may still be at work when another has begun, and every step is one
//! that two nodes may take at once. It saves every node from doing the same.
//!
//! [`lease_time`]: super::Settings::lease_time

use std::time::Duration;

use futures::future::{Either, select};

use crate::seams::within;
use crate::store::Result;
use crate::store::database::leases::{Generation, When};
use crate::telemetry::metrics::{self, Task};

use super::Pipeline;
use super::sweep::SweepReport;

/// A node leaves turns to others for so many times [`lease_time`](super::Settings::lease_time) at most: it may be the only one
/// that is left.
const LEFT_FOR: u32 = 4;

impl Pipeline {
    /// Does `work` whenever its turn is due and no other node is at it; `every` is the time from one begin to the next.
    /// The first look of a node does not wait until the turn is due: its last life may have left something behind.
    ///
    /// After a turn that did not end well this node leaves the next one to others: it may be the only one that does not reach
    /// a store, and would take turn after turn from those that do. One that could not be done at all is due again soon.
    pub(super) async fn take_turns<F>(&self, task: Task, every: Duration, work: impl Fn(Self) -> F)
    where
        F: Future<Output = Result<SweepReport>> + Send,
    {
        let mut when = When::Early;
        while !self.work.is_draining() {
            let mut pause = every.min(self.settings().lease_time / 2);
            match self.take_turn(task, when).await {
                Ok(Some(turn)) => {
                    when = When::Due;
                    if !self.run(task, turn, every, work(self.clone())).await {
                        pause = (every + pause).min(self.settings().lease_time * LEFT_FOR);
                    }
                }
                Ok(None) => when = When::Due,
                Err(error) => tracing::warn!(%error, "{task}: could not ask whether its turn is due"),
            }
            if self.wait_for_turn(task, pause).await {
                when = When::Early;
            }
        }
    }

    /// Waits; true if it ended early, because a loss is to be looked for.
    async fn wait_for_turn(&self, task: Task, time: Duration) -> bool {
        let clock = self.seams().clock.as_ref();
        if task == Task::Sweep {
            return within(clock, time, self.sweep_soon.notified()).await.is_some();
        }
        clock.sleep(time).await;
        false
    }

    async fn take_turn(&self, task: Task, when: When) -> Result<Option<Generation>> {
        self.stores().leases.take(task.as_str(), &self.name, self.settings().lease_time, when).await
    }

    /// True if it ended well.
    async fn run(
        &self,
        task: Task,
        turn: Generation,
        every: Duration,
        work: impl Future<Output = Result<SweepReport>> + Send,
    ) -> bool {
        let started = self.now();
        let is_fine = |done: &Result<SweepReport>| matches!(done, Ok(report) if report.errors == 0);
        let soon = (every / 2).min(self.settings().lease_time);
        let next_in = |done: &Result<_>| if done.is_ok() { every } else { soon };
        let done = self.hold(&[(task.as_str().to_owned(), turn)], next_in, work).await;
        let fine = is_fine(&done);
        metrics::task_ran(task, fine, self.now().ms_since(started), self.now());
        if let Err(error) = done {
            tracing::warn!(%error, "{task}: it could not be done");
        }
        fine
    }

    /// Does `work` while nobody else does what goes by this name, if its turn is due and free; `None`: it is not. `every`
    /// is the time from one begin to the next.
    pub async fn in_turn<T>(
        &self,
        name: &str,
        when: When,
        every: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Result<Option<T>> {
        let taken = self.stores().leases.take(name, &self.name, self.settings().lease_time, when).await?;
        let Some(turn) = taken else { return Ok(None) };
        Ok(Some(self.hold(&[(name.to_owned(), turn)], |_| every, work).await))
    }

    /// Those of the turns of these names that are due and free, as this node's.
    pub async fn take_turns_of(&self, names: Vec<String>) -> Result<Vec<(String, Generation)>> {
        let mut taken = Vec::new();
        for name in names {
            let turn = self.stores().leases.take(&name, &self.name, self.settings().lease_time, When::Due).await?;
            taken.extend(turn.map(|turn| (name, turn)));
        }
        Ok(taken)
    }

    /// Does `work` and makes the turns longer meanwhile, then ends them; the next ones are due so long after this began as
    /// `every` says of what it came to.
    pub async fn hold<T>(
        &self,
        turns: &[(String, Generation)],
        every: impl FnOnce(&T) -> Duration + Send,
        work: impl Future<Output = T> + Send,
    ) -> T {
        let started = self.now();
        let done = {
            let (work, renewals) = (std::pin::pin!(work), std::pin::pin!(self.renew_for_ever(turns)));
            match select(work, renewals).await {
                Either::Left((done, _)) => done,
                Either::Right((never, _)) => match never {},
            }
        };
        // The renewals are gone by now: one that stood still in the middle would hold a connection that the end needs.
        let next_in = every(&done).saturating_sub(self.now().since(started));
        for (name, turn) in turns {
            if let Err(error) = self.stores().leases.finish(name, *turn, next_in).await {
                tracing::warn!(%error, "{name}: the end of its turn could not be written down; it ends by itself");
            }
        }
        done
    }

    async fn renew_for_ever(&self, turns: &[(String, Generation)]) -> std::convert::Infallible {
        let time = self.settings().lease_time;
        loop {
            self.seams().clock.sleep(time / 3).await;
            for (name, turn) in turns {
                match self.stores().leases.renew(name, *turn, time).await {
                    Ok(true) => {}
                    Ok(false) => tracing::debug!("{name}: its turn has ended while it was under way"),
                    Err(error) => tracing::warn!(%error, "{name}: its turn could not be made longer"),
                }
            }
        }
    }
}
