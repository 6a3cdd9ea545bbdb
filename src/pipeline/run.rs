//! A node at work: what runs by itself beside the requests, and how it comes to rest.

use std::time::Duration;

use crate::seams::within;
use crate::telemetry::metrics::{self, Task};
use crate::trace::Detector;

use super::Pipeline;
use super::work::Item;

/// How often what failed uploads may have left is removed.
const LOST_ATTEMPTS_EVERY: Duration = Duration::from_secs(30);
/// How often a node that comes to rest looks whether everything is done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

impl Pipeline {
    /// Starts the workers and the sweeps. Once per node.
    pub fn start(&self) {
        for _ in 0..self.settings().migrate_workers.max(1) {
            self.spawn_loop("work", |node| async move { node.work_on().await });
        }
        self.spawn_loop("lost_attempts", |node| async move { node.remove_lost_attempts_for_ever().await });
        self.spawn_loop("contacts", |node| async move { node.write_contacts_for_ever().await });
        self.spawn_loop("sweep", |node| async move {
            let every = node.settings().sweep_interval;
            node.take_turns(Task::Sweep, every, |node| async move { node.sweep().await }).await;
        });
        self.spawn_loop("live_sweep", |node| async move {
            let every = node.settings().live_sweep_interval;
            node.take_turns(Task::LiveSweep, every, |node| async move { node.sweep_live().await }).await;
        });
    }

    /// Comes to rest: finishes what is under way, and writes down what was acknowledged. True if all of it was done
    /// within `limit`; what was not is taken up by the next sweep of any node. The caller has stopped taking requests.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.work.drain();
        let settled = within(self.seams().clock.as_ref(), limit, async {
            while !self.work.is_idle() {
                self.seams().clock.sleep(DRAIN_POLL).await;
            }
        });
        let settled = settled.await.is_some();
        match self.write_contacts().await {
            Ok(()) => settled,
            Err(error) => {
                tracing::error!(%error, "acknowledged lengths could not be written before stopping");
                false
            }
        }
    }

    pub(super) fn spawn_loop<F>(&self, name: &'static str, run: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.seams().spawn.spawn(name, Box::pin(run(self.clone())));
    }

    async fn work_on(&self) {
        while let Some(item) = self.work.next().await {
            if self.work.is_draining() {
                return;
            }
            let _under_way = self.work.begin();
            let (job, done) = match item {
                Item::Migrate(job, index) => (job, self.migrate_or_rewind(job, index, Detector::Migrate).await),
                Item::Evaluate(job) => (job, self.evaluate_alone(job).await.map(drop)),
            };
            if let Err(error) = done {
                tracing::warn!(job_id = job.0, %error, "job {job}: not done yet, the next sweep tries again");
            }
        }
    }

    /// Every node knows its own.
    async fn remove_lost_attempts_for_ever(&self) {
        while !self.work.is_draining() {
            self.seams().clock.sleep(LOST_ATTEMPTS_EVERY).await;
            if let Err(error) = self.stores().objects.remove_lost_attempts().await {
                tracing::warn!(%error, "objects of failed uploads could not be removed yet");
            }
        }
    }

    async fn write_contacts_for_ever(&self) {
        while !self.work.is_draining() {
            self.seams().clock.sleep(self.settings().contact_interval).await;
            let started = self.now();
            let written = self.write_contacts().await;
            metrics::task_ran(Task::Contacts, written.is_ok(), self.now().ms_since(started), self.now());
            if let Err(error) = written {
                tracing::warn!(%error, "acknowledged lengths could not be written down yet");
            }
        }
    }

    /// The live store lost something: a sweep begins now, or when the present one is over, and looks for what.
    pub fn look_for_losses_now(&self) {
        self.sweep_soon.notify_one();
    }
}
