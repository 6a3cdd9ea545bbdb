//! A gate at a fail point: whatever reaches it waits there until it is opened.

use async_trait::async_trait;
use tokio::sync::watch;
use veritail::seams::FailPoints;

/// Closed when it is made.
pub struct Gate {
    point: Option<&'static str>,
    is_open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// A closed gate at this point; `None`: at none.
    pub fn at(point: Option<&'static str>) -> Self {
        Self { point, is_open: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// Returns once so many have come.
    pub async fn until_waiting(&self, count: usize) {
        self.waiting.subscribe().wait_for(|waiting| *waiting >= count).await.expect("the gate is there");
    }
}

#[async_trait]
impl FailPoints for Gate {
    async fn reached(&self, point: &'static str) {
        if self.point == Some(point) {
            self.waiting.send_modify(|waiting| *waiting += 1);
            self.is_open.subscribe().wait_for(|is_open| *is_open).await.expect("the gate is there");
        }
    }
}
