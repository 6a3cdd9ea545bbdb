//! Whose store it is: a store that is not the one the database knows is not opened.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use veritail::seams::real::SystemClock;
use veritail::store::StoreError;
use veritail::store::database::facts::{Facts as _, OBJECT_STORE_ID};
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::object::ObjectStore as _;
use veritail::store::object::bucket::{Bucket, Options};

use super::clouds;
use super::key;

const MARK: &str = ".veritail-objects";

struct Ground {
    folder: TempDir,
    database: SqliteDatabase,
}

impl Ground {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
        Self { folder, database }
    }

    fn objects(&self) -> std::path::PathBuf {
        self.folder.path().join("objects")
    }

    async fn open(&self, adopt: bool) -> Result<Bucket, StoreError> {
        identify(&self.objects(), &self.database, "1111", adopt).await
    }
}

async fn identify(folder: &Path, database: &SqliteDatabase, new: &str, adopt: bool) -> Result<Bucket, StoreError> {
    let bucket = Bucket::open_folder(folder, Options::default(), Arc::new(SystemClock)).unwrap();
    bucket.identify(database, new, adopt).await
}

fn refused(answer: Result<Bucket, StoreError>, words: &[&str]) {
    let text = answer.unwrap_err().to_string();
    for word in words.iter().chain(&["object.adopt"]) {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[tokio::test]
async fn a_new_store_is_marked_and_known_from_then_on() {
    let ground = Ground::new().await;
    let bucket = ground.open(false).await.unwrap();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    let mark = std::fs::read_to_string(ground.objects().join(MARK)).unwrap();
    assert!(mark.contains("id: 1111"), "{mark}");
    let again = identify(&ground.objects(), &ground.database, "2222", false).await.unwrap();
    assert_eq!(again.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"abc")));
    assert_eq!(ground.database.fact(OBJECT_STORE_ID).await.unwrap().as_deref(), Some("1111"));
}

/// An unmounted disk at the start: the folder below the mount point is there, and empty.
#[tokio::test]
async fn a_known_store_without_its_mark_is_not_opened_and_nothing_is_written_to_it() {
    let ground = Ground::new().await;
    drop(ground.open(false).await.unwrap());
    std::fs::rename(ground.objects(), ground.folder.path().join("unmounted")).unwrap();
    std::fs::create_dir(ground.objects()).unwrap();
    refused(ground.open(false).await, &["not mounted", "1111"]);
    assert_eq!(std::fs::read_dir(ground.objects()).unwrap().count(), 0);
    std::fs::remove_dir(ground.objects()).unwrap();
    std::fs::rename(ground.folder.path().join("unmounted"), ground.objects()).unwrap();
    ground.open(false).await.unwrap();
}

#[tokio::test]
async fn a_store_whose_mark_was_left_behind_is_opened_by_somebody_who_says_so() {
    let ground = Ground::new().await;
    drop(ground.open(false).await.unwrap());
    std::fs::remove_file(ground.objects().join(MARK)).unwrap();
    refused(ground.open(false).await, &["is missing"]);
    ground.open(true).await.unwrap();
    ground.open(false).await.unwrap();
}

#[tokio::test]
async fn another_installations_store_is_not_opened() {
    let (ours, theirs) = (Ground::new().await, Ground::new().await);
    ours.open(false).await.unwrap();
    identify(&theirs.objects(), &theirs.database, "2222", false).await.unwrap();
    refused(identify(&theirs.objects(), &ours.database, "3333", false).await, &["1111", "2222"]);
    let nobody = Ground::new().await;
    refused(identify(&theirs.objects(), &nobody.database, "3333", false).await, &["another installation", "2222"]);
    // Taken over on purpose, it is ours, and ours of before is another one.
    identify(&theirs.objects(), &ours.database, "3333", true).await.unwrap();
    refused(ours.open(false).await, &["1111", "2222"]);
}

#[tokio::test]
async fn a_store_that_holds_traces_and_no_mark_is_not_taken_for_a_new_one() {
    let ground = Ground::new().await;
    std::fs::create_dir_all(ground.objects().join("traces/73/42/c")).unwrap();
    std::fs::write(ground.objects().join("traces/73/42/c/0-1-0f1e.zst"), "bytes").unwrap();
    refused(ground.open(false).await, &["holds traces"]);
    ground.open(true).await.unwrap();
}

/// Before the first id there were marks without one.
#[tokio::test]
async fn a_mark_without_an_id_gets_one() {
    let ground = Ground::new().await;
    Bucket::folder(&ground.objects()).unwrap().put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    let bucket = ground.open(false).await.unwrap();
    assert_eq!(bucket.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"abc")));
    assert!(std::fs::read_to_string(ground.objects().join(MARK)).unwrap().contains("id: 1111"));
}

#[tokio::test]
async fn a_start_that_died_before_the_mark_goes_on() {
    let ground = Ground::new().await;
    assert_eq!(ground.database.first_fact(OBJECT_STORE_ID, "0000").await.unwrap(), "0000");
    ground.open(false).await.unwrap();
    assert!(std::fs::read_to_string(ground.objects().join(MARK)).unwrap().contains("id: 0000"));
    ground.open(false).await.unwrap();
}

#[tokio::test]
async fn another_store_in_its_place_while_it_runs_is_an_outage() {
    let (ours, theirs) = (Ground::new().await, Ground::new().await);
    let bucket = ours.open(false).await.unwrap();
    identify(&theirs.objects(), &theirs.database, "2222", false).await.unwrap();
    std::fs::rename(ours.objects(), ours.folder.path().join("away")).unwrap();
    std::fs::rename(theirs.objects(), ours.objects()).unwrap();
    for answer in
        [bucket.ping().await, bucket.get_whole(&key(1, 0)).await.map(drop), bucket.put(&key(1, 0), Bytes::new()).await]
    {
        assert!(
            matches!(&answer, Err(StoreError::Unavailable { message, .. }) if message.contains("another")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn two_nodes_that_start_at_once_agree() {
    let (weed, name) = (crate::support::weed::Weed::shared(), clouds::name());
    weed.make_bucket(&name);
    let ground = Ground::new().await;
    let nodes = ["aaaa", "bbbb", "cccc"].map(|new| {
        let bucket = clouds::open(&format!("s3://{name}"), &weed.variables(), clouds::options()).unwrap();
        let database = ground.database.clone();
        async move { bucket.identify(&database, new, false).await }
    });
    for node in futures::future::join_all(nodes).await {
        node.unwrap().ping().await.unwrap();
    }
}
