//! The settings of a node's pipeline.

use std::time::Duration;

use crate::trace::ByteSize;

/// How a node treats traces. All nodes over the same stores should have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a final PUT waits for the proof before it answers 202.
    pub finalize_wait: Duration,
    /// How long a live copy stays after it was proven elsewhere.
    pub live_grace: Duration,
    /// How often the runner of a finished job is asked to send bytes again.
    pub resend_attempts: u32,
    /// How long a finished job with missing bytes waits for its runner before it closes as corrupt.
    pub resend_window: Duration,
    /// Time between two sweeps.
    pub sweep_interval: Duration,
    /// Jobs or chunks that a sweep takes up at the same time.
    pub sweep_concurrency: usize,
    /// Time between two sweeps of the live store's keys.
    pub live_sweep_interval: Duration,
    /// How often acknowledged lengths are written to the database.
    pub contact_interval: Duration,
    /// Chunks that are migrated at the same time.
    pub migrate_workers: usize,
    /// How long a canceled job waits for its runner's final PUT.
    pub cancel_timeout: Duration,
    /// How long a running job's runner may be silent before the job fails.
    pub runner_timeout: Duration,
    /// How long after a read runners are told to send often.
    pub watch_time: Duration,
    /// How long appends go on while the database does not answer.
    pub database_patience: Duration,
    /// How long the object store may take to keep a chunk and give it back.
    pub object_patience: Duration,
    /// How long the object store may fail before chunks go to the database.
    pub spill_after: Duration,
    /// How much of chunks the database takes; 0 = nothing.
    pub spill_max: ByteSize,
    /// What this node is called in what it writes down; `None` for a name by chance. No other node should have it.
    pub node_name: Option<String>,
    /// Whether somebody is to be told of every mismatch that is found: [`Pipeline::start_notifying`] does.
    ///
    /// [`Pipeline::start_notifying`]: super::Pipeline::start_notifying
    pub notify: bool,
    /// Until when damage that a person does on purpose has to be found: the promised cycle of the verifier.
    pub drill_deadline: Duration,
    /// How long a turn lasts that is not renewed: a dead node's work is taken over after it.
    pub lease_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            finalize_wait: Duration::from_secs(2),
            live_grace: Duration::from_secs(120),
            resend_attempts: 3,
            resend_window: Duration::from_secs(600),
            sweep_interval: Duration::from_secs(15),
            sweep_concurrency: 8,
            live_sweep_interval: Duration::from_secs(600),
            contact_interval: Duration::from_secs(1),
            migrate_workers: 4,
            cancel_timeout: Duration::from_secs(3600),
            runner_timeout: Duration::from_secs(3600),
            watch_time: Duration::from_secs(60),
            database_patience: Duration::from_secs(10),
            object_patience: Duration::from_secs(30),
            spill_after: Duration::from_secs(60),
            spill_max: ByteSize(1024 * 1024 * 1024),
            node_name: None,
            notify: false,
            drill_deadline: Duration::from_secs(7 * 24 * 3600),
            lease_time: Duration::from_secs(10),
        }
    }
}
