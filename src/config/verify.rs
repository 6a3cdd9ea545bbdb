//! Settings of the verifier.

use super::cron::Cron;
use super::settings::settings;
use super::value::{ExternalUrl, Secret, Span};
use crate::trace::ByteSize;
use crate::trace::state::names;
use crate::verify::{self, CanaryDamage};

names! {
    /// What the verifier does about what it finds.
    Mode {
        /// It heals what a good copy or the runner can heal.
        Repair = "repair",
        /// It only writes it down.
        ReportOnly = "report-only",
    }
}

names! {
    /// What the inventory does about stored bytes that no row names.
    Orphans {
        /// It removes those that nobody can miss, and writes down the others.
        Remove = "remove",
        /// It writes down all of them.
        Report = "report",
    }
}

settings! {
    /// How what is stored is verified. All nodes over the same stores should have the same; the budgets are each node's.
    /// A schedule is a cron expression with seconds, in UTC, or `off`.
    Verify, "verify." {
        /// Whether what is found is healed where that is possible (`repair`) or only written down (`report-only`).
        mode: Mode = Mode::Repair, env "VERITAIL_VERIFY_MODE";
        /// A run begins by chance up to so much later, so that not all nodes begin at once.
        jitter: Span = Span::secs(5), range Span::ms(0)..=Span::hours(1), env "VERITAIL_VERIFY_JITTER";
        /// When everything that is live or was proven since the last time is looked at.
        hot: Cron = "0 * * * * *".into(), env "VERITAIL_VERIFY_HOT";
        /// Bytes that *hot* reads in a second at most; 0 = no limit.
        hot_bytes_per_second: u64 = 64 * 1024 * 1024, env "VERITAIL_VERIFY_HOT_BYTES_PER_SECOND";
        /// Chunks that *hot* looks at in a second at most; 0 = no limit.
        hot_requests_per_second: u64 = 1000, env "VERITAIL_VERIFY_HOT_REQUESTS_PER_SECOND";
        /// Chunks that *hot* looks at at the same time.
        hot_concurrency: usize = 8, range 1..=1024, env "VERITAIL_VERIFY_HOT_CONCURRENCY";
        /// How long the live bytes of a chunk that still grows are left alone after a look.
        open_interval: Span = Span::secs(300), range Span::secs(1)..=Span::hours(24), env "VERITAIL_VERIFY_OPEN_INTERVAL";
        /// When the walk through everything that is kept goes on. It does what is due by then, and no more.
        full: Cron = "30 * * * * *".into(), env "VERITAIL_VERIFY_FULL";
        /// How long one step of the walk takes at most; less than the time between two.
        full_slice: Span = Span::secs(50), range Span::ms(100)..=Span::hours(1), env "VERITAIL_VERIFY_FULL_SLICE";
        /// Every kept chunk of a job younger than `verify.fresh_for` is looked at once in this time.
        full_cycle: Span = Span::hours(7 * 24), range Span::secs(1)..=Span::hours(365 * 24), env "VERITAIL_VERIFY_FULL_CYCLE";
        /// And every one of an older job in this.
        full_cycle_old: Span = Span::hours(90 * 24), range Span::secs(1)..=Span::hours(5 * 365 * 24),
            env "VERITAIL_VERIFY_FULL_CYCLE_OLD";
        /// How long a job counts as fresh.
        fresh_for: Span = Span::hours(90 * 24), range Span::secs(1)..=Span::hours(5 * 365 * 24), env "VERITAIL_VERIFY_FRESH_FOR";
        /// Bytes that the walk, and runs that people ask for, read in a second at most; 0 = no limit.
        full_bytes_per_second: u64 = 64 * 1024 * 1024, env "VERITAIL_VERIFY_FULL_BYTES_PER_SECOND";
        /// Chunks that they look at in a second at most; 0 = no limit.
        full_requests_per_second: u64 = 500, env "VERITAIL_VERIFY_FULL_REQUESTS_PER_SECOND";
        /// Chunks that they look at at the same time. With 32, a store that takes 60 ms for an answer is asked as often as the limit
        /// before this one allows.
        full_concurrency: usize = 32, range 1..=1024, env "VERITAIL_VERIFY_FULL_CONCURRENCY";
        /// When the canary writes a trace of its own through the API and reads it back. `off` in all set-ups over the same
        /// stores but one.
        canary: Cron = "15 */5 * * * *".into(), env "VERITAIL_VERIFY_CANARY";
        /// Where the canary finds the API, such as `https://ci.example`. Unset: at this node's own address.
        canary_url: Option<ExternalUrl> = None, env "VERITAIL_VERIFY_CANARY_URL";
        /// Whether the canary damages copies of its own traces, one in each run and in each kind of store in turn, announced before, to
        /// see that this is found: `auto`, `on` or `off`. `auto` spares objects where the bucket keeps all their versions, for each
        /// damaged one would stay.
        canary_damage: CanaryDamage = CanaryDamage::Auto, env "VERITAIL_VERIFY_CANARY_DAMAGE";
        /// How soon that damage has to be found. What is found later counts as `late`, after twice the time as `missed`.
        canary_deadline: Span = Span::secs(600), range Span::secs(1)..=Span::hours(24), env "VERITAIL_VERIFY_CANARY_DEADLINE";
        /// When what the stores list is compared with what the database names.
        inventory: Cron = "0 15 3 * * *".into(), env "VERITAIL_VERIFY_INVENTORY";
        /// Requests that this makes in a second at most, to all stores together; 0 = no limit.
        inventory_requests_per_second: u64 = 100, env "VERITAIL_VERIFY_INVENTORY_REQUESTS_PER_SECOND";
        /// Stored bytes that no row names are left alone until they are so old by the store's clock.
        orphan_grace: Span = Span::hours(24), range Span::hours(1)..=Span::hours(365 * 24), env "VERITAIL_VERIFY_ORPHAN_GRACE";
        /// What is done about them then. `remove`: those of an erased trace, and those of a chunk whose own copy was read
        /// just now and is sound, are removed; all others are mismatches and stay, for they may be all there is. `report`:
        /// all are mismatches.
        orphans: Orphans = Orphans::Remove, env "VERITAIL_VERIFY_ORPHANS";
        /// How long bad copies that were replaced are kept in `quarantine/`; 0 = for ever.
        quarantine_kept_for: Span = Span::hours(30 * 24), range Span::ms(0)..=Span::hours(5 * 365 * 24),
            env "VERITAIL_VERIFY_QUARANTINE_KEPT_FOR";
        /// How long it is remembered what a run did.
        runs_kept_for: Span = Span::hours(30 * 24), range Span::hours(1)..=Span::hours(5 * 365 * 24),
            env "VERITAIL_VERIFY_RUNS_KEPT_FOR";
        /// Where every new mismatch is sent, as a POST with JSON, until it is taken: an `http` or `https` URL. Unset: nowhere.
        webhook_url: Option<Secret> = None, env "VERITAIL_WEBHOOK_URL";
        /// The key that those messages are signed with, in the form of Standard Webhooks: `whsec_` and the base64 of 24 to
        /// 64 bytes. Unset: they are not signed.
        webhook_secret: Option<Secret> = None, env "VERITAIL_WEBHOOK_SECRET";
    }
}

impl From<&Verify> for verify::Settings {
    fn from(config: &Verify) -> Self {
        Self {
            repairs: config.mode == Mode::Repair,
            hot: verify::Budgeted {
                bytes_per_second: ByteSize(config.hot_bytes_per_second),
                requests_per_second: config.hot_requests_per_second,
                concurrency: config.hot_concurrency,
            },
            hot_interval: config.hot.interval(),
            open_interval: config.open_interval.0,
            full: verify::Budgeted {
                bytes_per_second: ByteSize(config.full_bytes_per_second),
                requests_per_second: config.full_requests_per_second,
                concurrency: config.full_concurrency,
            },
            full_slice: config.full_slice.0,
            fresh_cycle: config.full_cycle.0,
            old_cycle: config.full_cycle_old.0,
            fresh_for: config.fresh_for.0,
            inventory: verify::Budgeted {
                bytes_per_second: ByteSize::ZERO,
                requests_per_second: config.inventory_requests_per_second,
                concurrency: 1,
            },
            inventory_interval: config.inventory.interval(),
            orphan_grace: config.orphan_grace.0,
            removes_orphans: config.orphans == Orphans::Remove,
            quarantine_kept_for: config.quarantine_kept_for.0,
            runs_kept_for: config.runs_kept_for.0,
            canary_interval: config.canary.interval(),
            canary_deadline: config.canary_deadline.0,
            canary_damage: config.canary_damage,
        }
    }
}
