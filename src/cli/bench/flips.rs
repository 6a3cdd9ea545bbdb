//! When rows come to name persistent copies, to the microsecond, and at no cost: to ask again and again would take the
//! processor from what is measured.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::clock::{self, Instant};
use crate::pipeline::points;
use crate::seams::FailPoints;

/// Told by the pipeline of a Veritail of our own, which moves one chunk at a time.
#[derive(Debug, Default)]
pub(super) struct Flips {
    flipped: Mutex<Option<Instant>>,
    /// The same, once the live copy is released too: until then the chunk's work is not over.
    done: watch::Sender<Option<Instant>>,
}

#[async_trait]
impl FailPoints for Flips {
    async fn reached(&self, point: &'static str) {
        let mut flipped = self.flipped.lock().unwrap_or_else(PoisonError::into_inner);
        match point {
            points::FLIPPED => *flipped = Some(clock::now()),
            points::RELEASED => drop(self.done.send_replace(flipped.take())),
            _ => {}
        }
    }
}

impl Flips {
    /// Those from now on.
    pub(super) fn follow(&self) -> Following {
        Following(self.done.subscribe())
    }
}

/// The flips since it was made.
pub(super) struct Following(watch::Receiver<Option<Instant>>);

impl Following {
    /// When the next one was, or the last of several.
    pub(super) async fn next(&mut self) -> Option<Instant> {
        self.0.changed().await.ok()?;
        *self.0.borrow_and_update()
    }
}
