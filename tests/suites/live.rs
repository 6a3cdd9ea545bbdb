//! The live store's contract: one test per rule, passed by every implementation and by the wrappers.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use veritail::seams::real::SystemClock;
use veritail::store::hooked::Hooked;
use veritail::store::live::LiveStore;
use veritail::store::live::embedded::EmbeddedLive;
use veritail::store::live::redis::RedisLive;
use veritail::trace::Timestamp;

use crate::support::clock::ManualClock;
use crate::support::hooks::Recorder;
use crate::support::model::live::ModelLive;
use crate::support::redis_server::{Durability, Product, RedisServer};

mod earlier;
mod embedded_alone;
mod faults;
mod redis_alone;
mod redis_shapes;
mod redis_tls;
mod rules;
mod steps;

/// A store on trial, and the time it goes by.
struct Rig {
    store: Arc<dyn LiveStore>,
    time: Time,
    /// What the store stands on: a folder, a server.
    _ground: Box<dyn Any + Send + Sync>,
}

/// Whose time decides what has expired.
enum Time {
    /// The test's own.
    Manual(Arc<ManualClock>),
    /// A server's: the test has to wait.
    Real,
}

impl Rig {
    /// Lets time pass.
    #[allow(clippy::disallowed_methods, reason = "a server's expiry goes by the machine's own time")]
    async fn pass(&self, time: Duration) {
        match &self.time {
            Time::Manual(clock) => clock.pass(time),
            Time::Real => tokio::time::sleep(time).await,
        }
    }
}

fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)))
}

async fn model() -> Rig {
    let clock = manual_clock();
    Rig { store: Arc::new(ModelLive::new(clock.clone())), time: Time::Manual(clock), _ground: Box::new(()) }
}

async fn embedded() -> Rig {
    let (clock, folder) = (manual_clock(), tempfile::tempdir().expect("a folder"));
    let store = EmbeddedLive::open(folder.path(), clock.clone()).expect("a new folder opens");
    Rig { store: Arc::new(store), time: Time::Manual(clock), _ground: Box::new(folder) }
}

async fn redis() -> Rig {
    let server = RedisServer::start(Durability::Nothing);
    let store = RedisLive::connect(&server.url(), false).await.expect("the server answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(server) }
}

async fn valkey() -> Rig {
    let server = RedisServer::start_with(Product::Valkey, Durability::Nothing, &[]);
    let store = RedisLive::connect(&server.url(), false).await.expect("the server answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(server) }
}

async fn tls() -> Rig {
    let server = redis_tls::Server::start(false);
    let store = redis_tls::open(server.options()).await.expect("the server answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(server) }
}

async fn cluster() -> Rig {
    let ground = redis_shapes::cluster().await;
    let store = RedisLive::connect(&ground.url(), false).await.expect("the Cluster answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(ground) }
}

async fn valkey_cluster() -> Rig {
    let ground = redis_shapes::valkey_cluster().await;
    let store = RedisLive::connect(&ground.url(), false).await.expect("the Cluster answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(ground) }
}

async fn sentinel() -> Rig {
    let ground = redis_shapes::sentinel().await;
    let store = RedisLive::connect(&ground.url(), false).await.expect("the master answers");
    Rig { store: Arc::new(store), time: Time::Real, _ground: Box::new(ground) }
}

async fn hooked() -> Rig {
    let rig = embedded().await;
    let store = Hooked::new(rig.store, Arc::new(Recorder::default()), Arc::new(SystemClock));
    Rig { store: Arc::new(store), ..rig }
}

/// Files every rule under each implementation.
macro_rules! live_suite {
    ($($implementation:ident),+ => $rules:tt) => { $(live_suite!(@one $implementation $rules);)+ };
    (@one $implementation:ident [$($rule:ident,)+]) => {
        mod $implementation {
            $(#[tokio::test]
            async fn $rule() {
                super::rules::$rule(super::$implementation().await).await;
            })+
        }
    };
}

live_suite!(model, embedded, redis, valkey, tls, cluster, valkey_cluster, sentinel, hooked => [
    load_of_an_unknown_job_is_none,
    open_makes_a_key_that_load_reads_back,
    open_of_a_key_that_exists_is_refused_with_what_is_there,
    append_stores_bytes_and_entry_together,
    present_names_the_copies_that_are_there,
    append_without_a_trace_key_is_refused_and_creates_nothing,
    append_in_another_epoch_is_refused_with_the_present_one,
    append_from_an_older_entry_is_refused_with_the_present_one,
    append_to_a_copy_of_another_size_is_refused,
    many_first_bytes_are_stored_or_refused_like_few,
    append_to_a_vanished_copy_is_refused_and_creates_nothing,
    append_names_a_changed_entry_before_a_wrong_size,
    append_keeps_bytes_of_every_value,
    append_that_seals_keeps_every_byte,
    one_of_many_appends_from_the_same_entry_gets_in,
    replace_takes_only_the_expected_entry,
    replace_of_a_missing_key_is_absent_and_creates_nothing,
    replace_sets_status_keeps_watchers_and_touches_no_chunk,
    tombstone_goes_by_itself_and_a_new_key_can_be_made,
    tombstone_without_expiry_stays,
    live_entry_in_place_of_a_tombstone_stays,
    live_entry_never_expires,
    entry_of_an_unknown_format_is_unreadable_and_can_be_replaced,
    unreadable_entry_is_never_written,
    status_is_set_on_live_entries_only,
    watch_keeps_the_later_time_and_makes_no_key,
    released_copy_goes_after_its_grace,
    release_without_grace_removes_at_once,
    first_release_counts,
    release_of_a_missing_copy_is_no_error,
    append_to_a_released_copy_makes_it_stay,
    copy_that_went_begins_anew_without_old_bytes,
    copies_of_other_epochs_and_jobs_are_others,
    scan_of_an_empty_store_is_empty,
    scan_meets_everything_in_pages,
    usage_counts_what_is_there,
    ping_is_answered,
]);
