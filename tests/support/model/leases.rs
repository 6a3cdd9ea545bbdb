//! Leases in memory, by a clock of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use veritail::seams::Clock;
use veritail::store::Result;
use veritail::store::database::leases::{Generation, Leases, When};
use veritail::trace::Timestamp;

/// See the module.
pub struct ModelLeases {
    clock: Arc<dyn Clock>,
    leases: Mutex<BTreeMap<String, Lease>>,
}

struct Lease {
    generation: i64,
    expires_at: Timestamp,
    due_at: Timestamp,
}

impl ModelLeases {
    /// Leases that nobody holds.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, leases: Mutex::default() }
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<String, Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Leases for ModelLeases {
    async fn take(&self, name: &str, _holder: &str, time: Duration, when: When) -> Result<Option<Generation>> {
        let (mut leases, now) = (self.leases(), self.clock.now());
        let new = Lease { generation: 0, expires_at: now, due_at: now };
        let lease = leases.entry(name.to_owned()).or_insert(new);
        if lease.expires_at > now || (when == When::Due && lease.due_at > now) {
            return Ok(None);
        }
        lease.generation += 1;
        lease.expires_at = now.after(time);
        Ok(Some(Generation(lease.generation)))
    }

    async fn renew(&self, name: &str, turn: Generation, time: Duration) -> Result<bool> {
        let (mut leases, now) = (self.leases(), self.clock.now());
        let lease = leases.get_mut(name).filter(|lease| lease.generation == turn.0 && lease.expires_at > now);
        Ok(lease.map(|lease| lease.expires_at = now.after(time)).is_some())
    }

    async fn finish(&self, name: &str, turn: Generation, next_in: Duration) -> Result<()> {
        let (mut leases, now) = (self.leases(), self.clock.now());
        if let Some(lease) = leases.get_mut(name).filter(|lease| lease.generation == turn.0) {
            lease.expires_at = now;
            lease.due_at = now.after(next_in);
        }
        Ok(())
    }
}
