//! What readers list.

use veritail::store::database::listing::{
    COUNTED_MAX, JobFilter, Listed, Listing, Page, PageStart, ProjectFilter, ProjectName,
};
use veritail::store::database::{Database, NewJob};
use veritail::trace::ProjectId;

use super::*;
use crate::support::postgres_server::TestDatabase;

/// A database, and the lists out of it.
pub struct Both {
    database: Arc<dyn Database>,
    listing: Arc<dyn Listing>,
}

/// Runs every rule against what `$open` makes: a future of a guard and both.
macro_rules! listing_suite {
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
        listing_suite!($name, $open;
            a_project_is_found_by_number_and_by_path,
            projects_are_listed_by_page_by_number_and_by_what_may_be_seen,
            jobs_of_a_project_are_listed_newest_first,
            jobs_are_listed_by_status,
            pages_behind_a_number_neither_repeat_nor_leave_out,
        );
    };
}

listing_suite!(on_sqlite, super::on_sqlite());
listing_suite!(on_postgres, super::on_postgres());
listing_suite!(on_the_model, super::on_the_model());
listing_suite!(behind_hooks, super::behind_hooks());

async fn on_sqlite() -> (tempfile::TempDir, Both) {
    let (folder, database) = sqlite::open().await;
    (folder, Both { database: Arc::new(database.clone()), listing: Arc::new(database) })
}

async fn on_postgres() -> (TestDatabase, Both) {
    let (guard, database) = postgres::open().await;
    (guard, Both { database: Arc::new(database.clone()), listing: Arc::new(database) })
}

async fn on_the_model() -> ((), Both) {
    let database = Arc::new(model());
    ((), Both { database: database.clone(), listing: database })
}

async fn behind_hooks() -> (tempfile::TempDir, Both) {
    let (folder, Both { database, listing }) = on_sqlite().await;
    let recorded: Hooked<dyn Listing> =
        Hooked::new(listing, Arc::new(Recorder::default()), Arc::new(ManualClock::at(NOW)));
    let hooked: Hooked<dyn Listing> =
        Hooked::new(Arc::new(recorded), Arc::new(Faults::default()), Arc::new(ManualClock::at(NOW)));
    (folder, Both { database, listing: Arc::new(hooked) })
}

async fn job_in(db: &Both, path: &str, status: JobStatus, at: i64) -> Job {
    let new = NewJob { project_path: path.to_owned(), at: Timestamp(at), ..new_job(status) };
    db.database.create_job(new).await.unwrap()
}

fn skip(skipped: u64, size: u32) -> Page {
    Page { start: PageStart::Skip(skipped), size, newest_first: true }
}

fn behind(number: Option<i64>, size: u32, newest_first: bool) -> Page {
    Page { start: PageStart::Behind(number), size, newest_first }
}

fn ids(listed: &Listed<Job>) -> Vec<i64> {
    listed.items.iter().map(|job| job.id.0).collect()
}

async fn a_project_is_found_by_number_and_by_path(db: &Both) {
    let first = job_in(db, "group/demo", JobStatus::Running, 5).await;
    job_in(db, "group/other", JobStatus::Running, 6).await;
    let last = job_in(db, "group/demo", JobStatus::Running, 9).await;
    let by_path = db.listing.project(&ProjectName::Path("group/demo".to_owned())).await.unwrap().unwrap();
    assert_eq!((by_path.id, by_path.path.as_str()), (first.project, "group/demo"));
    assert_eq!((by_path.first_job_at, by_path.last_job_at), (Some(first.created_at), Some(last.created_at)));
    assert_eq!(db.listing.project(&ProjectName::Id(first.project)).await.unwrap(), Some(by_path));
    for unknown in ["group", "group/dem", "GROUP/demo", "1", ""] {
        assert_eq!(db.listing.project(&ProjectName::Path(unknown.to_owned())).await.unwrap(), None, "{unknown}");
    }
    for unknown in [0, -1, 99, i64::MAX] {
        assert_eq!(db.listing.project(&ProjectName::Id(ProjectId(unknown))).await.unwrap(), None, "{unknown}");
    }
}

async fn projects_are_listed_by_page_by_number_and_by_what_may_be_seen(db: &Both) {
    let none = db.listing.projects(&ProjectFilter::default(), skip(0, 10)).await.unwrap();
    assert_eq!((none.items.len(), none.more, none.total), (0, false, Some(0)));
    for path in ["a/one", "b/two", "c/Three", "b/four"] {
        job_in(db, path, JobStatus::Running, 1).await;
    }
    let list = async |filter: &ProjectFilter, page| {
        let listed = db.listing.projects(filter, page).await.unwrap();
        let paths: Vec<String> = listed.items.into_iter().map(|project| project.path).collect();
        (paths.join(" "), listed.more, listed.total)
    };
    let all = ProjectFilter::default();
    assert_eq!(list(&all, skip(0, 3)).await, ("b/four c/Three b/two".to_owned(), true, Some(4)));
    assert_eq!(list(&all, skip(3, 3)).await, ("a/one".to_owned(), false, Some(4)));
    assert_eq!(list(&all, skip(u64::MAX, 3)).await, (String::new(), false, Some(4)));
    assert_eq!(list(&all, behind(None, 2, false)).await, ("a/one b/two".to_owned(), true, None));
    assert_eq!(list(&all, behind(Some(2), 2, false)).await, ("c/Three b/four".to_owned(), false, None));
    assert_eq!(list(&all, behind(Some(2), 2, true)).await, ("a/one".to_owned(), false, None));
    let search = |text: &str| ProjectFilter { search: Some(text.to_owned()), ..ProjectFilter::default() };
    assert_eq!(list(&search("B/"), skip(0, 9)).await, ("b/four b/two".to_owned(), false, Some(2)));
    assert_eq!(list(&search("three"), skip(0, 9)).await, ("c/Three".to_owned(), false, Some(1)));
    assert_eq!(list(&search("%"), skip(0, 9)).await, (String::new(), false, Some(0)));
    let among = |ids: &[i64]| ProjectFilter {
        among: Some(ids.iter().copied().map(ProjectId).collect()),
        ..ProjectFilter::default()
    };
    assert_eq!(list(&among(&[1, 3, 77]), skip(0, 9)).await, ("c/Three a/one".to_owned(), false, Some(2)));
    assert_eq!(list(&among(&[]), skip(0, 9)).await, (String::new(), false, Some(0)));
}

async fn jobs_of_a_project_are_listed_newest_first(db: &Both) {
    let mut mine = Vec::new();
    for number in 0..7 {
        mine.push(job_in(db, "group/demo", JobStatus::Running, number).await);
        job_in(db, "group/other", JobStatus::Running, number).await;
    }
    mine.reverse();
    let filter = JobFilter { project: mine[0].project, statuses: None };
    let first = db.listing.jobs(&filter, skip(0, 3)).await.unwrap();
    assert_eq!((first.items.as_slice(), first.more, first.total), (&mine[..3], true, Some(7)));
    let last = db.listing.jobs(&filter, skip(6, 3)).await.unwrap();
    assert_eq!((last.items.as_slice(), last.more, last.total), (&mine[6..], false, Some(7)));
    // A full page is not followed by an empty one.
    assert!(!db.listing.jobs(&filter, skip(4, 3)).await.unwrap().more);
    assert_eq!(ids(&db.listing.jobs(&filter, skip(70, 3)).await.unwrap()), [] as [i64; 0]);
    let unknown = JobFilter { project: ProjectId(99), statuses: None };
    let none = db.listing.jobs(&unknown, skip(0, 3)).await.unwrap();
    assert_eq!((none.items.len(), none.more, none.total), (0, false, Some(0)));
}

async fn jobs_are_listed_by_status(db: &Both) {
    let running = job_in(db, "group/demo", JobStatus::Running, 1).await;
    let pending = job_in(db, "group/demo", JobStatus::Pending, 2).await;
    let canceled = job_in(db, "group/demo", JobStatus::Pending, 3).await;
    db.database.cancel(canceled.id, NOW).await.unwrap();
    let list = async |statuses: Option<&[JobStatus]>| {
        let filter = JobFilter { project: running.project, statuses: statuses.map(<[_]>::to_vec) };
        let listed = db.listing.jobs(&filter, skip(0, 9)).await.unwrap();
        assert_eq!(listed.total, Some(listed.items.len() as u64));
        ids(&listed)
    };
    let (running, pending, canceled) = (running.id.0, pending.id.0, canceled.id.0);
    assert_eq!(list(None).await, [canceled, pending, running]);
    assert_eq!(list(Some(&[JobStatus::Running])).await, [running]);
    assert_eq!(list(Some(&[JobStatus::Running, JobStatus::Canceled])).await, [canceled, running]);
    assert_eq!(list(Some(&[JobStatus::Failed])).await, [] as [i64; 0]);
    assert_eq!(list(Some(&[])).await, [] as [i64; 0]);
}

/// Pages that go on behind a number show everything exactly once, also while new jobs are made in between.
async fn pages_behind_a_number_neither_repeat_nor_leave_out(db: &Both) {
    let mut made = Vec::new();
    for number in 0..10 {
        made.push(job_in(db, "group/demo", JobStatus::Running, number).await.id.0);
    }
    let filter = JobFilter { project: ProjectId(1), statuses: Some(vec![JobStatus::Running]) };
    for newest_first in [true, false] {
        let (mut seen, mut last) = (Vec::new(), None);
        for _ in 0..4 {
            let listed = db.listing.jobs(&filter, behind(last, 3, newest_first)).await.unwrap();
            assert_eq!(listed.total, None);
            seen.extend(ids(&listed));
            last = seen.last().copied();
            if newest_first {
                job_in(db, "group/demo", JobStatus::Running, 99).await;
            }
        }
        seen.truncate(10);
        seen.sort_unstable();
        assert_eq!(seen, made, "newest first: {newest_first}");
    }
}

/// More than are counted, put there behind the database's back: one by one they would take minutes.
#[tokio::test]
async fn a_long_list_is_not_counted() {
    let (folder, database) = sqlite::open().await;
    let first = running(&database).await;
    sqlite::change(
        &folder,
        "INSERT INTO jobs (project_id, name, token_sha256, status, state, epoch, chunk_size, trace_limit, created_at,
                           last_contact_at, changed_at)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
         SELECT project_id, name, token_sha256, status, state, epoch, chunk_size, trace_limit, created_at,
                last_contact_at, changed_at FROM jobs, numbers",
    )
    .await;
    let page = async |statuses: Option<Vec<JobStatus>>| {
        let filter = JobFilter { project: job(&database, first).await.project, statuses };
        let listed = database.jobs(&filter, skip(COUNTED_MAX, 1)).await.unwrap();
        (ids(&listed), listed.more, listed.total)
    };
    assert_eq!(page(None).await, (vec![first.0], false, None));
    database.cancel(first, NOW).await.unwrap();
    assert_eq!(page(Some(vec![JobStatus::Running])).await, (vec![], false, Some(COUNTED_MAX)));
    assert_eq!(page(Some(vec![JobStatus::Running, JobStatus::Canceling])).await, (vec![first.0], false, None));
}
