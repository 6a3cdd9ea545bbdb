//! Damage that is done on purpose: announced, told from real damage, and what came of it.

use veritail::store::database::drills::{
    CANARY, CANARY_PROJECT, Drill, DrillFilter, DrillId, Drills, Finding, NewDrill,
};
use veritail::store::database::{Basis, MismatchFilter, NewMismatch, Opened, Resolution};
use veritail::trace::{DataStore, Detection, Detector, Kind};

use super::mismatches::{mismatch, note};
use super::*;
use crate::support::postgres_server::TestDatabase;

/// A database, and the drills in it.
pub struct Both {
    database: Arc<dyn Database>,
    drills: Arc<dyn Drills>,
}

/// Runs every rule against what `$open` makes: a future of a guard and both.
macro_rules! drills_suite {
    ($name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, both) = $open.await;
                    super::$rule(&both).await;
                }
            )+
        }
    };
    ($name:ident, $open:expr) => {
        drills_suite!($name, $open;
            announced_damage_carries_its_drill_and_counts_nowhere,
            what_is_not_announced_counts,
            a_drill_speaks_for_its_chunk_until_it_is_healed,
            what_is_found_in_time_and_named_rightly_is_found,
            what_is_found_after_its_time_is_late,
            what_is_named_as_something_else_has_a_wrong_label,
            what_nobody_finds_is_missed_after_twice_the_time,
            what_was_missed_speaks_for_what_was_announced_alone,
            what_was_called_off_speaks_for_nothing,
            a_wrong_label_of_damage_that_nobody_knows_to_be_done_counts_for_nothing,
            only_an_announced_record_of_this_version_is_damaged,
            drills_are_listed_newest_first,
            of_many_that_settle_at_once_one_counts,
            what_the_canary_left_is_removed,
        );
    };
}

drills_suite!(on_sqlite, super::on_sqlite());
drills_suite!(on_postgres, super::on_postgres());
drills_suite!(on_the_model, super::on_the_model());
drills_suite!(behind_hooks, super::behind_hooks());

async fn on_sqlite() -> (tempfile::TempDir, Both) {
    let (folder, database) = sqlite::open().await;
    (folder, Both { database: Arc::new(database.clone()), drills: Arc::new(database) })
}

async fn on_postgres() -> (TestDatabase, Both) {
    let (guard, database) = postgres::open().await;
    (guard, Both { database: Arc::new(database.clone()), drills: Arc::new(database) })
}

async fn on_the_model() -> ((), Both) {
    let database = Arc::new(model());
    ((), Both { database: database.clone(), drills: database })
}

async fn behind_hooks() -> (tempfile::TempDir, Both) {
    let (folder, Both { database, drills }) = on_sqlite().await;
    let clock = Arc::new(ManualClock::at(NOW));
    let recorded: Arc<dyn Drills> = Arc::new(Hooked::new(drills, Arc::new(Recorder::default()), clock.clone()));
    (folder, Both { database, drills: Arc::new(Hooked::new(recorded, Arc::new(Faults::default()), clock)) })
}

/// When announced damage was done, and until when it has to be found.
const DAMAGED: Timestamp = Timestamp(1_100);
const DEADLINE: Timestamp = Timestamp(2_000);

impl Both {
    /// Damage of chunk 0, as [`mismatch`] names it, announced and done.
    async fn damage(&self, job: JobId) -> DrillId {
        let drill = self.drills.announce(&new(job)).await.unwrap();
        self.drills.note_damaged(drill, DAMAGED).await.unwrap();
        drill
    }

    async fn open(&self, mismatch: &NewMismatch) -> Opened {
        self.database.open_mismatch(mismatch, Basis::Nothing).await.unwrap()
    }

    async fn drill(&self, drill: DrillId) -> Drill {
        self.drills.drill(drill).await.unwrap().unwrap()
    }

    /// What settling at a moment ends, and as what.
    async fn settled(&self, at: i64) -> Vec<(DrillId, Option<Detection>)> {
        let settled = self.drills.settle_drills(Timestamp(at)).await.unwrap();
        for drill in &settled {
            assert_eq!((drill, drill.ended_at), (&self.drill(drill.id).await, Some(Timestamp(at))));
        }
        settled.iter().map(|drill| (drill.id, drill.result)).collect()
    }

    async fn corrupt(&self) -> usize {
        self.database.corrupt_traces().await.unwrap().by_kind.len()
    }
}

fn new(job: JobId) -> NewDrill {
    NewDrill {
        job,
        chunk: ChunkIndex(0),
        kind: Kind::Checksum,
        store: DataStore::Redis,
        by: CANARY.to_owned(),
        at: NOW,
        must_be_found_by: DEADLINE,
    }
}

async fn announced_damage_carries_its_drill_and_counts_nowhere(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    let found = mismatch(job, Some(0));
    let Opened::Announced { mismatch: id, drill: of, is_new: true } = both.open(&found).await else {
        panic!("it counts")
    };
    assert_eq!(of, drill);
    assert_eq!(both.open(&found).await, Opened::Announced { mismatch: id, drill, is_new: false });
    let known = both.database.mismatch(id).await.unwrap().unwrap();
    assert_eq!((known.drill, known.times_seen, known.what.notify_at), (Some(drill), 2, None));
    assert_eq!(both.database.due_notifications(Timestamp(9_000), 10).await.unwrap(), []);
    assert_eq!(both.corrupt().await, 0);
}

async fn what_is_not_announced_counts(both: &Both) {
    let (job, other) = (running(both.database.as_ref()).await, running(both.database.as_ref()).await);
    both.damage(job).await;
    for real in [mismatch(job, Some(1)), mismatch(job, None), mismatch(other, Some(0))] {
        assert!(matches!(both.open(&real).await, Opened::New(_)), "{real:?}");
        assert_eq!(both.open(&real).await, Opened::Known);
    }
    assert_eq!(both.database.due_notifications(NOW, 10).await.unwrap().len(), 3);
    assert_eq!(both.database.corrupt_traces().await.unwrap().by_kind, [(Kind::Checksum, DataStore::Redis, 2)]);
}

async fn a_drill_speaks_for_its_chunk_until_it_is_healed(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    both.open(&mismatch(job, Some(0))).await;
    both.settled(1_500).await;
    // Its damage may be found in other ways too, also after it was found.
    let other = NewMismatch { kind: Kind::Missing, ..mismatch(job, Some(0)) };
    assert!(matches!(both.open(&other).await, Opened::Announced { drill: of, .. } if of == drill));
    let (healed, at) = (note("repaired"), Timestamp(1_600));
    both.database.resolve_mismatches(job, Some(ChunkIndex(0)), Resolution::Repaired, &healed, at).await.unwrap();
    assert!(matches!(both.open(&mismatch(job, Some(0))).await, Opened::New(_)), "what comes after it is real");
    // The next drill of the chunk speaks for itself.
    both.database.resolve_mismatches(job, Some(ChunkIndex(0)), Resolution::Repaired, &healed, at).await.unwrap();
    let next = both.damage(job).await;
    assert!(matches!(both.open(&mismatch(job, Some(0))).await, Opened::Announced { drill: of, .. } if of == next));
}

async fn what_is_found_in_time_and_named_rightly_is_found(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    assert_eq!(both.settled(1_500).await, []);
    both.open(&NewMismatch { at: DEADLINE, detector: Detector::Hot, ..mismatch(job, Some(0)) }).await;
    // By when it was found, not by when that is looked at.
    assert_eq!(both.settled(9_000).await, [(drill, Some(Detection::Found))]);
    assert_eq!(both.settled(9_001).await, [], "only once");
    let found = Finding { at: DEADLINE, kind: Kind::Checksum, store: DataStore::Redis, detector: Detector::Hot };
    assert_eq!(
        both.drill(drill).await,
        Drill {
            id: drill,
            what: new(job),
            damaged_at: Some(DAMAGED),
            found: Some(found),
            result: Some(Detection::Found),
            ended_at: Some(Timestamp(9_000)),
        }
    );
}

async fn what_is_found_after_its_time_is_late(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    assert_eq!(both.settled(2_500).await, []);
    both.open(&NewMismatch { at: Timestamp(2_600), ..mismatch(job, Some(0)) }).await;
    assert_eq!(both.settled(2_700).await, [(drill, Some(Detection::Late))]);
}

async fn what_is_named_as_something_else_has_a_wrong_label(both: &Both) {
    let wrong = |job| {
        [
            NewMismatch { kind: Kind::Missing, ..mismatch(job, Some(0)) },
            NewMismatch { store: DataStore::ObjectStore, ..mismatch(job, Some(0)) },
        ]
    };
    for which in 0..2 {
        let job = running(both.database.as_ref()).await;
        let drill = both.damage(job).await;
        both.open(&wrong(job)[which]).await;
        // The first word counts.
        both.open(&mismatch(job, Some(0))).await;
        assert_eq!(both.settled(1_500).await, [(drill, Some(Detection::WrongLabel))]);
    }
}

async fn what_nobody_finds_is_missed_after_twice_the_time(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let (drill, undone) = (both.damage(job).await, both.drills.announce(&new(job)).await.unwrap());
    assert_eq!(both.settled(2_999).await, []);
    let mut settled = both.settled(3_000).await;
    settled.sort_by_key(|(id, _)| *id);
    assert_eq!(settled, [(drill, Some(Detection::Missed)), (undone, None)], "of the second nothing is known");
    // Found at last, it still is nobody's alarm.
    assert!(matches!(both.open(&mismatch(job, Some(0))).await, Opened::Announced { drill: of, .. } if of == drill));
    assert_eq!(both.settled(3_001).await, []);
}

async fn what_was_missed_speaks_for_what_was_announced_alone(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    let another = NewMismatch { store: DataStore::ObjectStore, ..mismatch(job, Some(0)) };
    let cut = NewMismatch { kind: Kind::Size, ..mismatch(job, Some(0)) };
    both.settled(3_000).await;
    for real in [another, cut] {
        assert!(matches!(both.open(&real).await, Opened::New(_)), "{real:?}");
    }
    assert!(matches!(both.open(&mismatch(job, Some(0))).await, Opened::Announced { drill: of, .. } if of == drill));
}

async fn what_was_called_off_speaks_for_nothing(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.drills.announce(&new(job)).await.unwrap();
    both.drills.call_off(drill, Timestamp(1_050)).await.unwrap();
    both.drills.call_off(drill, Timestamp(1_060)).await.unwrap();
    let off = both.drill(drill).await;
    assert_eq!((off.damaged_at, off.result, off.ended_at), (None, None, Some(Timestamp(1_050))));
    assert!(matches!(both.open(&mismatch(job, Some(0))).await, Opened::New(_)));
    assert_eq!(both.settled(9_000).await, []);
}

async fn a_wrong_label_of_damage_that_nobody_knows_to_be_done_counts_for_nothing(both: &Both) {
    let (job, other) = (running(both.database.as_ref()).await, running(both.database.as_ref()).await);
    let (torn, done) =
        (both.drills.announce(&new(job)).await.unwrap(), both.drills.announce(&new(other)).await.unwrap());
    // Who did it died in between: the copy was released, and not begun again.
    both.open(&NewMismatch { kind: Kind::Missing, ..mismatch(job, Some(0)) }).await;
    both.open(&mismatch(other, Some(0))).await;
    assert_eq!(both.settled(1_500).await, [(done, Some(Detection::Found))], "a right label tells that it was done");
    assert_eq!(both.settled(3_000).await, [(torn, None)]);
    assert_eq!(both.drill(torn).await.found, None);
}

async fn only_an_announced_record_of_this_version_is_damaged(both: &Both) {
    let db = both.database.as_ref();
    let job = running(db).await;
    let sealed = seal(db, job, 0, &bytes("12345678"), NOW).await;
    let wrong = Sha256::of(b"wrong");
    let damage = async |drill, version| both.drills.damage_record(drill, version, wrong).await.unwrap();
    let of_a_copy = both.damage(job).await;
    assert!(!damage(of_a_copy, sealed.version).await, "another kind was announced");
    let record = NewDrill { kind: Kind::Record, store: DataStore::Database, ..new(job) };
    let drill = both.drills.announce(&record).await.unwrap();
    assert!(!damage(drill, veritail::trace::Version(sealed.version.0 + 1)).await);
    let off = both.drills.announce(&record).await.unwrap();
    both.drills.call_off(off, NOW).await.unwrap();
    assert!(!damage(off, sealed.version).await, "it was called off");
    assert_eq!(row(db, job, 0).await.as_ref(), Some(&sealed));
    assert!(damage(drill, sealed.version).await);
    let damaged = row(db, job, 0).await.unwrap();
    let promised = *sealed.record().unwrap();
    assert_eq!(damaged.record(), Some(&Record { sha256: wrong, ..promised }));
    assert_ne!(damaged.version, sealed.version, "who looked at it before looks again");
    assert!(!damage(drill, sealed.version).await, "only once");
    let nowhere = NewDrill { chunk: ChunkIndex(7), ..record };
    let nowhere = both.drills.announce(&nowhere).await.unwrap();
    assert!(!damage(nowhere, sealed.version).await);
}

async fn drills_are_listed_newest_first(both: &Both) {
    let (job, other) = (running(both.database.as_ref()).await, running(both.database.as_ref()).await);
    let one = both.damage(job).await;
    let two = both.drills.announce(&NewDrill { by: "admin".to_owned(), ..new(other) }).await.unwrap();
    let three = both.damage(job).await;
    both.drills.call_off(two, NOW).await.unwrap();
    let list = async |filter: DrillFilter| {
        let listed = both.drills.drills(&filter).await.unwrap();
        listed.into_iter().map(|drill| drill.id).collect::<Vec<_>>()
    };
    let all = DrillFilter::default;
    assert_eq!(list(all()).await, [three, two, one]);
    assert_eq!(list(DrillFilter { job: Some(job), ..all() }).await, [three, one]);
    assert_eq!(list(DrillFilter { by: Some(CANARY.to_owned()), limit: 1, ..all() }).await, [three]);
    assert_eq!(list(DrillFilter { under_way: Some(true), ..all() }).await, [three, one]);
    assert_eq!(list(DrillFilter { under_way: Some(false), ..all() }).await, [two]);
    assert_eq!(list(DrillFilter { before: Some(two), ..all() }).await, [one]);
    assert_eq!(both.drills.drill(DrillId(three.0 + 1)).await.unwrap(), None);
}

async fn of_many_that_settle_at_once_one_counts(both: &Both) {
    let job = running(both.database.as_ref()).await;
    let drill = both.damage(job).await;
    both.open(&mismatch(job, Some(0))).await;
    let settling = (0..8).map(|_| both.drills.settle_drills(Timestamp(1_500)));
    let settled: Vec<Drill> =
        futures::future::join_all(settling).await.into_iter().flat_map(|settled| settled.unwrap()).collect();
    assert_eq!(settled.iter().map(|drill| drill.id).collect::<Vec<_>>(), [drill]);
}

async fn what_the_canary_left_is_removed(both: &Both) {
    let db = both.database.as_ref();
    let canary = async || {
        let new = NewJob { project_path: CANARY_PROJECT.to_owned(), ..new_job(JobStatus::Running) };
        db.create_job(new).await.unwrap().id
    };
    let (old, kept, real) = (canary().await, canary().await, running(db).await);
    for job in [old, kept, real] {
        both.damage(job).await;
        both.open(&mismatch(job, Some(0))).await;
        endings::close(db, job).await;
    }
    both.settled(1_500).await;
    let jobs =
        async || -> Vec<JobId> { both.drills.canary_jobs(10).await.unwrap().into_iter().map(|job| job.id).collect() };
    assert_eq!(jobs().await, [old, kept]);
    db.erase(old, CANARY, Timestamp(2_000), Timestamp(2_000)).await.unwrap();
    db.erase(real, "admin", Timestamp(2_000), Timestamp(2_000)).await.unwrap();
    assert_eq!(jobs().await, [kept]);
    let remove = async |before| both.drills.remove_canary_jobs(Timestamp(before)).await.unwrap();
    assert_eq!(remove(3_000).await, 0, "its objects are still to be deleted");
    for deletion in db.due_deletions(Timestamp(3_000), 10).await.unwrap() {
        db.deletion_done(deletion.id).await.unwrap();
    }
    assert_eq!(remove(2_000).await, 0, "it was erased too lately");
    assert_eq!(remove(3_000).await, 1);
    assert_eq!(db.job(old).await.unwrap(), None);
    let left = db.mismatches(MismatchFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|left| left.what.job).collect::<Vec<_>>(), [kept, real]);
    let left = both.drills.drills(&DrillFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|left| left.what.job).collect::<Vec<_>>(), [real, kept]);
    assert!(canary().await > real, "no number is used again");
}
