//! The live store in Redis: opened as configured, and watched for what only this store can do: lose its last writes, and
//! evict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::CannotStart;
use super::stores::cannot_open;
use crate::config::Live;
use crate::pipeline::Pipeline;
use crate::seams::Seams;
use crate::store::StoreError;
use crate::store::live::redis::{Options, RedisLive, RollbackKind};
use crate::telemetry::metrics::{self, RedisRollback};
use crate::trace::DataStore;

/// How often it is looked at. One small command a master.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Connects, where a URL is configured.
pub(super) async fn open(config: &Live, seams: &Seams) -> Result<Option<Arc<RedisLive>>, CannotStart> {
    let Some(url) = &config.redis_url else { return Ok(None) };
    let certificate = match (&config.redis_certificate, &config.redis_key) {
        (Some(certificate), Some(key)) => {
            Some((file(certificate, "live.redis_certificate")?, file(key, "live.redis_key")?))
        }
        (None, None) => None,
        _ => {
            let error = StoreError::unavailable(DataStore::Redis.as_str(), "a certificate and its key go together");
            return Err(cannot_open("the live store", "live.redis_certificate and live.redis_key")(error));
        }
    };
    let options = Options {
        url: url.reveal().to_owned(),
        allow_eviction: config.allow_eviction,
        authority: config.redis_ca.as_deref().map(|path| file(path, "live.redis_ca")).transpose()?,
        certificate,
        sentinel_user: config.redis_sentinel_user.as_ref().map(|user| user.reveal().to_owned()),
        sentinel_password: config.redis_sentinel_password.as_ref().map(|password| password.reveal().to_owned()),
    };
    // Not the URL itself: it may hold a password.
    let opened = RedisLive::open(options, seams.clock.clone(), seams.chance.clone()).await;
    opened.map(Arc::new).map(Some).map_err(cannot_open("the live store", "live.redis_url (VERITAIL_REDIS_URL)"))
}

fn file(path: &Path, setting: &'static str) -> Result<Vec<u8>, CannotStart> {
    let unreadable = |error| StoreError::unavailable(DataStore::Redis.as_str(), error);
    std::fs::read(path).map_err(unreadable).map_err(cannot_open(&path.display().to_string(), setting))
}

/// Looks every second until its node ends. What a master lost is looked for at once.
pub(super) async fn watch_for_ever(redis: Arc<RedisLive>, node: Pipeline) {
    let mut known: Vec<String> = Vec::new();
    loop {
        let rollbacks = redis.look_for_rollbacks().await;
        for rollback in &rollbacks {
            let kind = match rollback.kind {
                RollbackKind::Empty => RedisRollback::Empty,
                RollbackKind::Younger => RedisRollback::Younger,
            };
            metrics::redis_rolled_back(kind);
            tracing::warn!(
                master = rollback.master,
                kind = kind.as_str(),
                "Redis lost its last writes: {rollback}; what is missing of unfinished traces is looked for now"
            );
        }
        if !rollbacks.is_empty() {
            node.look_for_losses_now();
        }
        let (safe, evicting) = redis.evicting();
        metrics::redis_masters(safe, evicting.len());
        if !redis.allows_eviction() && evicting.iter().any(|master| !known.contains(master)) {
            let masters = evicting.join(", ");
            tracing::error!(
                masters,
                "Redis may drop log bytes that exist nowhere else: {masters}; set maxmemory-policy to noeviction"
            );
        }
        known = evicting;
        node.seams().clock.sleep(LOOK_INTERVAL).await;
    }
}
