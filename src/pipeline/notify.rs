//! Telling somebody outside of every mismatch that is found, at least once.
//!
//! That somebody is to be told is written down with the mismatch itself, so that no crash loses it, and taken back only
//! after they were. One node at a time does it, by turn; two at once would tell the same twice, which its id lets the
//! other side see.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::seams::within;
use crate::store::database::Mismatch;
use crate::store::{Result, StoreError};
use crate::telemetry::metrics::{self, Delivery, Task};
use crate::trace::Timestamp;

use super::sweep::SweepReport;
use super::{MismatchReport, Pipeline};

/// How often it is looked for what to tell.
pub const NOTIFY_INTERVAL: Duration = Duration::from_secs(5);
/// How long the other side may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What failed waits as long again as the mismatch is old, at least and at most so long.
const AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);
/// Mismatches that are read at a time.
const BATCH: u32 = 100;

/// Where mismatches are told.
#[async_trait]
pub trait Webhook: Send + Sync {
    /// Delivers a message. It is taken only when this says so.
    async fn deliver(&self, message: &Message) -> std::result::Result<(), NotDelivered>;
}

/// A message to the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it, the same however often it is sent.
    pub id: String,
    /// Now.
    pub at: Timestamp,
    /// A JSON document.
    pub body: Bytes,
}

/// Why a message was not delivered. Neither says where to: the address may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// The other side answered, and did not take it.
    #[error("it answered {0}")]
    Refused(u16),
    /// There was no answer.
    #[error("it does not answer: {0}")]
    Unreachable(String),
}

/// The document that is sent of a mismatch.
#[derive(Serialize)]
struct Document {
    r#type: &'static str,
    /// When it was found, RFC 3339.
    timestamp: String,
    data: MismatchReport,
}

impl Pipeline {
    /// Starts telling of mismatches; [`Settings::notify`](super::Settings::notify) says that they are to be told. Once per
    /// node.
    pub fn start_notifying(&self, webhook: Arc<dyn Webhook>) {
        self.spawn_loop("notify", |node| async move {
            let tell = |node: Self| {
                let webhook = webhook.clone();
                async move { node.notify(webhook.as_ref()).await }
            };
            node.take_turns(Task::Notify, NOTIFY_INTERVAL, tell).await;
        });
    }

    /// Tells of what is due, longest due first. The first failure ends it: what failed goes to the back, so that neither
    /// one mismatch that is never taken, nor another side that is away, holds up the others for long.
    async fn notify(&self, webhook: &dyn Webhook) -> Result<SweepReport> {
        let mut report = SweepReport::default();
        loop {
            let due = self.stores().database.due_notifications(self.now(), BATCH).await?;
            if due.is_empty() {
                return Ok(report);
            }
            for mismatch in &due {
                if self.work.is_draining() {
                    return Ok(report);
                }
                if !self.tell(webhook, mismatch).await? {
                    report.errors += 1;
                    return Ok(report);
                }
            }
        }
    }

    /// True if the other side took it.
    async fn tell(&self, webhook: &dyn Webhook, mismatch: &Mismatch) -> Result<bool> {
        let message = self.message(mismatch)?;
        let delivered = within(self.seams().clock.as_ref(), PATIENCE, webhook.deliver(&message)).await;
        let delivered = delivered
            .unwrap_or_else(|| Err(NotDelivered::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))));
        metrics::webhook_delivery(match &delivered {
            Ok(()) => Delivery::Delivered,
            Err(NotDelivered::Refused(_)) => Delivery::Refused,
            Err(NotDelivered::Unreachable(_)) => Delivery::Unreachable,
        });
        let (id, job, now) = (mismatch.id, mismatch.what.job, self.now());
        let again = now.since(mismatch.what.at).clamp(*AGAIN.start(), *AGAIN.end());
        let next = delivered.is_err().then(|| now.after(again));
        if let Err(error) = &delivered {
            tracing::warn!(
                mismatch_id = id,
                job_id = job.0,
                %error,
                again_in_s = again.as_secs(),
                "mismatch {id}: the webhook was not told: {error}"
            );
        }
        self.stores().database.set_notification(id, next).await?;
        Ok(delivered.is_ok())
    }

    fn message(&self, mismatch: &Mismatch) -> Result<Message> {
        let document = Document {
            r#type: "mismatch.opened",
            timestamp: mismatch.what.at.to_rfc3339(),
            data: MismatchReport::from(mismatch),
        };
        let body = serde_json::to_vec(&document).map_err(|error| StoreError::unreadable("database", error))?;
        Ok(Message { id: format!("mismatch_{}", mismatch.id), at: self.now(), body: body.into() })
    }
}
