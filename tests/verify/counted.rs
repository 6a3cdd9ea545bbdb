//! One damage is counted once: also if everybody finds it at once, and after somebody took note of it.

use std::sync::Arc;

use futures::future::join_all;
use veritail::store::database::{Note, Resolution};
use veritail::trace::{ChunkIndex, DataStore, JobId, Kind, Schedule};

use crate::case::{Case, Walk};
use crate::cells::Moment;
use crate::damage::Damage;
use crate::ground::{CHUNK_SIZE, Ground, Place, Side};
use crate::matrix::{Staged, mismatches, stage};
use crate::support::production::Production;
use crate::support::runner::Runner;
use crate::support::server::{Send as _, log};

/// Jobs, each with one damaged chunk: a race that is lost now and then is lost in some of them.
const JOBS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_first_counts_in_the_embedded_stores() {
    run(Side::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_first_counts_in_redis_postgresql_and_s3() {
    let _servers = Production::hold();
    run(Side::Production).await;
}

/// Each chunk is damaged once it is in the live store, before anybody takes it up. Then its node records and migrates it, two
/// other nodes run *hot*, a reader reads it, and its runner goes on, all at once.
async fn run(side: Side) {
    let ground = Ground::start(side).await;
    let site = ground.at(Place::PausesOnceTaken);
    let log = Arc::new(log(2 * CHUNK_SIZE + 100));
    let jobs = join_all((0..JOBS).map(|_| site.client.make_job_with_reset(true))).await;
    let runners = jobs.iter().map(|job| {
        let (mut runner, log) = (Runner::new(&site.client, job).with_patches_of(CHUNK_SIZE), log.clone());
        tokio::spawn(async move { runner.finish(&log).await })
    });
    let runners: Vec<_> = runners.collect();
    site.gate.until_waiting(JOBS).await;
    let case = Case {
        kind: Kind::Checksum,
        store: side.live(),
        moment: Moment::Sealed,
        damage: Damage::Copy,
        resends: true,
        walk: Walk::Hot,
        live: side.live(),
    };
    join_all(jobs.iter().map(|job| case.damage.apply(&ground, &case, JobId(job.id)))).await;

    let (one, other) = (ground.verifier(), ground.verifier());
    let readers = jobs.iter().map(|job| site.client.trace_request(job).try_answer());
    site.gate.open();
    let (ended, read, by_one, by_other) =
        tokio::join!(join_all(runners), join_all(readers), one.tick(Schedule::Hot), other.tick(Schedule::Hot));
    by_one.expect("the stores are there");
    by_other.expect("the stores are there");
    for answer in read.into_iter().flatten().filter(|answer| answer.status == 200) {
        assert!(log.starts_with(&answer.body), "a reader got other bytes than were sent");
    }
    let mut finders = Vec::new();
    for (job, ended) in jobs.iter().zip(ended) {
        assert_eq!(ended.expect("the runner ends").state(), (200, "success"));
        let found = mismatches(&ground, job).await;
        let [found] = found.as_slice() else { panic!("job {} is counted {} times: {found:#?}", job.id, found.len()) };
        assert_eq!(
            (found.what.chunk, found.what.kind, found.what.store),
            (Some(ChunkIndex(0)), Kind::Checksum, side.live())
        );
        assert_eq!(found.resolved.map(|resolved| resolved.0), Some(Resolution::Resent));
        assert!(site.client.trace(job).await == *log, "job {} came back otherwise", job.id);
        finders.push((found.what.detector, found.times_seen));
    }
    println!("found by: {finders:?}");
    ground.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_took_note_of_is_opened_again_only_once_it_changes() {
    let ground = Ground::start(Side::Embedded).await;
    let case = Case {
        kind: Kind::Checksum,
        store: DataStore::ObjectStore,
        moment: Moment::Closed,
        damage: Damage::Copy,
        resends: false,
        walk: Walk::Hot,
        live: DataStore::Embedded,
    };
    let Staged { case, job } = stage(&ground, case).await;
    case.damage.apply(&ground, &case, JobId(job.id)).await;
    ground.verifier().tick(Schedule::Hot).await.expect("the stores are there");
    let found = mismatches(&ground, &job).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    let note = Note { by: "somebody".to_owned(), comment: "known".to_owned() };
    let at = found[0].last_seen;
    let (database, taken) = (&ground.stores.database, Resolution::Acknowledged);
    assert!(database.resolve_mismatch(found[0].id, taken, &note, at).await.expect("a database").is_some());

    ground.verifier().tick(Schedule::Hot).await.expect("the stores are there");
    assert_eq!(mismatches(&ground, &job).await.len(), 1, "it was opened again");

    let gone = Case { kind: Kind::Missing, ..case };
    gone.damage.apply(&ground, &gone, JobId(job.id)).await;
    ground.verifier().tick(Schedule::Hot).await.expect("the stores are there");
    let kinds: Vec<Kind> = mismatches(&ground, &job).await.iter().map(|found| found.what.kind).collect();
    assert_eq!(kinds, [Kind::Checksum, Kind::Missing]);
    ground.stop().await;
}
