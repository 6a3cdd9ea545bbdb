//! Time, chance, tasks and fail points, as arguments.
//!
//! Nothing below `app` takes them from the machine: a seeded, single-threaded simulation can then drive several nodes
//! through years in seconds and replay any run. `clippy.toml` bans the other ways. The real ones are in [`real`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use crate::trace::Timestamp;

pub mod abort;
pub mod real;

/// A future that can be handed to [`Spawn`].
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What time it is, and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// What has passed since some moment, finer than [`now`](Self::now) where the machine knows, and never less than
    /// before: for measuring.
    fn passed(&self) -> Duration {
        Duration::from_millis(self.now().ms_since(Timestamp(0)))
    }

    /// Returns after `time`.
    async fn sleep(&self, time: Duration);
}

/// Random numbers for keys, tokens and jitter.
pub trait Chance: Send + Sync {
    /// The next 64 random bits.
    fn bits(&self) -> u64;

    /// 128 random bits as 32 hex digits: a name that is never used twice.
    fn name(&self) -> String {
        format!("{:016x}{:016x}", self.bits(), self.bits())
    }
}

/// Starts tasks that go on by themselves.
pub trait Spawn: Send + Sync {
    /// Starts `task`; `name` is for logs and metrics.
    fn spawn(&self, name: &'static str, task: Task);
}

/// Told at every named point between two durable steps. In production nothing happens; tests die there.
#[async_trait]
pub trait FailPoints: Send + Sync {
    /// The named point is reached.
    async fn reached(&self, point: &'static str);
}

/// All of them, as handed in.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub chance: Arc<dyn Chance>,
    /// Tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Fail points.
    pub points: Arc<dyn FailPoints>,
}

/// Runs `work` for at most `limit`; `None` if it took longer. The work is dropped then, at whatever it awaits.
pub async fn within<T>(clock: &dyn Clock, limit: Duration, work: impl Future<Output = T> + Send) -> Option<T> {
    let mut work = std::pin::pin!(work);
    // Most work is done when it is first asked about: a timer is made only for what has to be waited for.
    let mut limit_passed = None;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        limit_passed.get_or_insert_with(|| clock.sleep(limit)).as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// What `work` comes to; what `is_held` says is to be held back, no sooner than `least` after the beginning.
pub async fn no_sooner<T>(
    clock: &dyn Clock,
    least: Duration,
    work: impl Future<Output = T> + Send,
    is_held: impl FnOnce(&T) -> bool,
) -> T {
    let work = std::pin::pin!(work);
    // The clock is asked first, so that the moment depends on the beginning alone.
    match futures::future::select(clock.sleep(least), work).await {
        futures::future::Either::Left((_, work)) => work.await,
        futures::future::Either::Right((done, least)) => {
            if is_held(&done) {
                least.await;
            }
            done
        }
    }
}
