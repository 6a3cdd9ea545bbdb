//! Settings of the pipeline.

use super::settings::settings;
use super::value::Span;
use crate::pipeline;
use crate::trace::{ByteSize, ChunkSize};

settings! {
    /// How traces are treated. All nodes over the same stores should have the same.
    Pipeline, "pipeline." {
        /// Size of a chunk in bytes; fixed for each trace when its job is made.
        chunk_size: u32 = 131_072, range 1024..=ChunkSize::MAX, env "VERITAIL_CHUNK_SIZE";
        /// The longest trace in bytes; 0 = no limit. Fixed for each trace when its job is made.
        trace_limit: u64 = 100 * 1024 * 1024, env "VERITAIL_TRACE_LIMIT";
        /// How long a final PUT waits for the proof before it answers 202.
        finalize_wait: Span = Span::secs(2), range Span::ms(0)..=Span::secs(30), env "VERITAIL_FINALIZE_WAIT";
        /// How long a live copy stays after it was proven elsewhere.
        live_grace: Span = Span::secs(120), range Span::secs(0)..=Span::hours(24), env "VERITAIL_LIVE_GRACE";
        /// How often the runner of a finished job is asked to send bytes again.
        resend_attempts: u32 = 3, range 0..=100, env "VERITAIL_RESEND_ATTEMPTS";
        /// How long a finished job with missing bytes waits for its runner before it closes as corrupt.
        resend_window: Span = Span::secs(600), range Span::secs(1)..=Span::hours(24), env "VERITAIL_RESEND_WINDOW";
        /// Time between two sweeps of unfinished traces.
        sweep_interval: Span = Span::secs(15), range Span::ms(100)..=Span::hours(1), env "VERITAIL_SWEEP_INTERVAL";
        /// Jobs or chunks that a sweep takes up at the same time.
        sweep_concurrency: usize = 8, range 1..=256, env "VERITAIL_SWEEP_CONCURRENCY";
        /// Time between two sweeps of the live store's keys.
        live_sweep_interval: Span = Span::secs(600), range Span::ms(100)..=Span::hours(24),
            env "VERITAIL_LIVE_SWEEP_INTERVAL";
        /// How often acknowledged lengths are written to the database. The longer, the more can be lost unseen.
        contact_interval: Span = Span::secs(1), range Span::ms(50)..=Span::secs(10), env "VERITAIL_CONTACT_INTERVAL";
        /// Chunks that are migrated at the same time.
        migrate_workers: usize = 4, range 1..=256, env "VERITAIL_MIGRATE_WORKERS";
        /// How long a canceled job waits for its runner's final PUT.
        cancel_timeout: Span = Span::hours(1), range Span::secs(1)..=Span::hours(168), env "VERITAIL_CANCEL_TIMEOUT";
        /// How long a running job's runner may be silent before the job fails.
        runner_timeout: Span = Span::hours(1), range Span::secs(1)..=Span::hours(168), env "VERITAIL_RUNNER_TIMEOUT";
        /// How long after a read runners are told to send often.
        watch_time: Span = Span::secs(60), range Span::secs(0)..=Span::hours(1), env "VERITAIL_WATCH_TIME";
        /// How long appends go on while the database does not answer.
        database_patience: Span = Span::secs(10), range Span::secs(0)..=Span::secs(300),
            env "VERITAIL_DATABASE_PATIENCE";
        /// How long the object store may take to keep a chunk and give it back.
        object_patience: Span = Span::secs(30), range Span::ms(100)..=Span::secs(600), env "VERITAIL_OBJECT_PATIENCE";
        /// How long the object store may fail before sealed chunks go to the database.
        spill_after: Span = Span::secs(60), range Span::ms(0)..=Span::hours(24), env "VERITAIL_SPILL_AFTER";
        /// How many bytes of chunks the database takes while the object store does not; 0 = none.
        spill_max: u64 = 1024 * 1024 * 1024, env "VERITAIL_SPILL_MAX";
        /// How long a turn at the sweeps lasts unless it is renewed: a dead node's work is taken over after it.
        lease_time: Span = Span::secs(10), range Span::ms(300)..=Span::secs(300), env "VERITAIL_LEASE_TIME";
        /// What this node is called where it writes down what it found or healed; the machine's name if it is unset. Where
        /// several nodes run on one machine, each needs its own.
        node_name: Option<String> = None, env "VERITAIL_NODE_NAME";
    }
}

impl From<&Pipeline> for pipeline::Settings {
    fn from(config: &Pipeline) -> Self {
        Self {
            finalize_wait: config.finalize_wait.0,
            live_grace: config.live_grace.0,
            resend_attempts: config.resend_attempts,
            resend_window: config.resend_window.0,
            sweep_interval: config.sweep_interval.0,
            sweep_concurrency: config.sweep_concurrency,
            live_sweep_interval: config.live_sweep_interval.0,
            contact_interval: config.contact_interval.0,
            migrate_workers: config.migrate_workers,
            cancel_timeout: config.cancel_timeout.0,
            runner_timeout: config.runner_timeout.0,
            watch_time: config.watch_time.0,
            database_patience: config.database_patience.0,
            object_patience: config.object_patience.0,
            spill_after: config.spill_after.0,
            spill_max: ByteSize(config.spill_max),
            lease_time: config.lease_time.0,
            node_name: config.node_name.clone(),
            notify: false,
            drill_deadline: pipeline::Settings::default().drill_deadline,
        }
    }
}
