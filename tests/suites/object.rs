//! What every object store promises, one test a rule.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a rule is run from wherever a store is made, and panics where it is broken"
)]

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use veritail::seams::Clock as _;
use veritail::seams::real::SystemClock;
use veritail::store::StoreError;
use veritail::store::copies::look_object;
use veritail::store::database::postgres;
use veritail::store::database::sqlite::{ChunkBytes, SqliteDatabase};
use veritail::store::hashing::Hashing;
use veritail::store::hooked::Hooked;
use veritail::store::object::bucket::Bucket;
use veritail::store::object::{ObjectStore, codec, keys};
use veritail::trace::{ByteSize, ChunkIndex, Epoch, JobId, Kind, Look, Record, Sha256, StoredObject, Timestamp};

use crate::support::clock::ManualClock;
use crate::support::hooks::{Faults, Recorder};
use crate::support::model::objects::ModelObjects;
use crate::support::postgres_server::{PostgresServer, TestDatabase};

mod clouds;
mod faults;
mod identity;
mod whole;

/// Runs every rule against a store that `$open` makes: a guard and the store.
macro_rules! object_suite {
    ($name:ident, $open:expr) => {
        object_suite!(@rules $name, $open;
            what_was_put_is_got,
            of_a_long_object_no_more_is_got_than_was_asked_for,
            a_copy_that_was_replaced_by_a_longer_one_is_of_the_wrong_size,
            a_row_with_sizes_that_are_too_small_is_wrong_and_not_the_copy,
            an_absent_object_is_none,
            a_deleted_object_is_gone_and_may_be_deleted_again,
            an_empty_object_is_an_object,
            a_list_has_everything_below_its_prefix_and_nothing_else,
            many_puts_and_deletes_at_once_do_not_disturb_each_other,
            a_list_is_in_the_order_of_keys,
            a_list_says_when_an_object_was_written,
            what_lies_below_a_prefix_is_deleted_and_nothing_else,
            a_chunk_goes_in_and_out,
            nothing_is_lost_where_no_put_failed,
            ping_answers,
        );
    };
    (@rules $name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, objects) = $open;
                    super::$rule(&objects).await;
                }
            )+
        }
    };
}

object_suite!(on_a_folder, super::folder());
object_suite!(in_s3, super::clouds::in_s3().await);
object_suite!(in_s3_below_a_prefix, super::clouds::in_s3_below_a_prefix().await);
object_suite!(in_azure, super::clouds::in_azure().await);
object_suite!(in_sqlite, super::in_sqlite().await);
object_suite!(in_postgres, super::in_postgres().await);
object_suite!(on_the_model, ((), super::model()));
object_suite!(behind_hooks, super::behind_hooks());

/// A folder behind a hook that records and one that is told to fail nothing: a wrapper keeps the contract.
fn behind_hooks() -> (tempfile::TempDir, Hooked<dyn ObjectStore>) {
    let (folder, bucket) = folder();
    let clock = || Arc::new(ManualClock::at(Timestamp(0)));
    let recorded: Hooked<dyn ObjectStore> = Hooked::new(Arc::new(bucket), Arc::new(Recorder::default()), clock());
    (folder, Hooked::new(Arc::new(recorded), Arc::new(Faults::default()), clock()))
}

fn folder() -> (tempfile::TempDir, Bucket) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::folder(&folder.path().join("objects")).unwrap();
    (folder, bucket)
}

fn model() -> ModelObjects {
    ModelObjects::new(Arc::new(SystemClock))
}

/// The bytes of chunks in the database are an object store like any other.
async fn in_sqlite() -> (tempfile::TempDir, ChunkBytes) {
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
    (folder, database.chunk_bytes())
}

async fn in_postgres() -> (TestDatabase, postgres::ChunkBytes) {
    let guard = TestDatabase::new(&PostgresServer::shared()).await;
    let bytes = guard.open().await.chunk_bytes();
    (guard, bytes)
}

fn key(job: i64, index: u32) -> String {
    keys::chunk_key(JobId(job), ChunkIndex(index), Epoch(1), "0f1e")
}

async fn listed(objects: &dyn ObjectStore, prefix: &str) -> Vec<(String, u64)> {
    objects.list(prefix).map_ok(|object| (object.key, object.size.0)).try_collect().await.unwrap()
}

pub async fn what_was_put_is_got(objects: &dyn ObjectStore) {
    let bytes = Bytes::from((0..200_000u32).map(|number| number as u8).collect::<Vec<_>>());
    objects.put(&key(1, 0), bytes.clone()).await.unwrap();
    assert_eq!(objects.get_whole(&key(1, 0)).await.unwrap(), Some(bytes));
}

pub async fn of_a_long_object_no_more_is_got_than_was_asked_for(objects: &dyn ObjectStore) {
    let bytes = Bytes::from((0..200_000u32).map(|number| number as u8).collect::<Vec<_>>());
    objects.put(&key(1, 0), bytes.clone()).await.unwrap();
    for most in [0, 1, 8192, 199_999, 200_000, 200_001, u64::MAX] {
        let got = objects.get(&key(1, 0), ByteSize(most)).await.unwrap().unwrap();
        assert!(got == bytes.slice(..bytes.len().min(most as usize)), "up to {most}: {} bytes", got.len());
    }
    assert_eq!(objects.get(&key(1, 1), ByteSize(8)).await.unwrap(), None);
}

pub async fn a_copy_that_was_replaced_by_a_longer_one_is_of_the_wrong_size(objects: &dyn ObjectStore) {
    let record = Record::of(b"some log");
    let stored = codec::encode(b"some log");
    let written = StoredObject { key: key(1, 0), size: ByteSize::of(&stored), sha256: Sha256::of(&stored) };
    let longer = [&stored[..], &vec![0; 2_000_000][..]].concat();
    objects.put(&key(1, 0), Bytes::from(longer)).await.unwrap();
    let looked = look_object(objects, &Hashing::default(), &written, &record).await;
    assert_eq!(looked.look, Look::Differs(Kind::Size));
}

pub async fn a_row_with_sizes_that_are_too_small_is_wrong_and_not_the_copy(objects: &dyn ObjectStore) {
    let bytes: Vec<u8> = (0..5000u32).map(|number| (number * number % 251) as u8).collect();
    let (record, stored) = (Record::of(&bytes), codec::encode(&bytes));
    let written = StoredObject { key: key(1, 0), size: ByteSize::of(&stored), sha256: Sha256::of(&stored) };
    objects.put(&key(1, 0), Bytes::from(stored)).await.unwrap();
    let wrong = [
        (Record { size: ByteSize(4999), ..record }, written.clone()),
        (Record { size: ByteSize(0), ..record }, written.clone()),
        (record, StoredObject { size: ByteSize(1), ..written }),
    ];
    for (record, written) in wrong {
        let looked = look_object(objects, &Hashing::default(), &written, &record).await;
        assert_eq!(looked.look, Look::Differs(Kind::Record), "{record:?}, {written:?}");
        assert_eq!(looked.bytes.as_deref(), Some(&bytes[..]));
    }
}

pub async fn an_absent_object_is_none(objects: &dyn ObjectStore) {
    assert_eq!(objects.get_whole(&key(1, 0)).await.unwrap(), None);
    objects.put(&key(1, 0), Bytes::from_static(b"a")).await.unwrap();
    assert_eq!(objects.get_whole(&key(1, 1)).await.unwrap(), None);
}

pub async fn a_deleted_object_is_gone_and_may_be_deleted_again(objects: &dyn ObjectStore) {
    objects.put(&key(1, 0), Bytes::from_static(b"a")).await.unwrap();
    objects.put(&key(1, 1), Bytes::from_static(b"b")).await.unwrap();
    for _ in 0..2 {
        objects.delete(&key(1, 0)).await.unwrap();
        assert_eq!(objects.get_whole(&key(1, 0)).await.unwrap(), None);
    }
    assert_eq!(listed(objects, "").await, [(key(1, 1), 1)]);
}

pub async fn an_empty_object_is_an_object(objects: &dyn ObjectStore) {
    objects.put(&key(1, 0), Bytes::new()).await.unwrap();
    assert_eq!(objects.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::new()));
    assert_eq!(listed(objects, "").await, [(key(1, 0), 0)]);
}

pub async fn a_list_has_everything_below_its_prefix_and_nothing_else(objects: &dyn ObjectStore) {
    assert_eq!(listed(objects, "").await, []);
    assert_eq!(listed(objects, &keys::job_prefix(JobId(1))).await, []);
    let quarantined = keys::quarantine_key(JobId(1), ChunkIndex(0), Epoch(1), "0f1e");
    for key in [key(1, 0), key(1, 1), key(11, 0), quarantined.clone()] {
        objects.put(&key, Bytes::from_static(b"abc")).await.unwrap();
    }
    assert_eq!(listed(objects, &keys::job_prefix(JobId(1))).await, [(key(1, 0), 3), (key(1, 1), 3)]);
    assert_eq!(listed(objects, "quarantine/").await, [(quarantined, 3)]);
    assert_eq!(listed(objects, "").await.len(), 4);
}

pub async fn many_puts_and_deletes_at_once_do_not_disturb_each_other(objects: &dyn ObjectStore) {
    futures::future::join_all((0..40).map(async |index| {
        objects.put(&key(1, index), Bytes::from(vec![index as u8; 1000])).await.unwrap();
        if index % 2 == 0 {
            objects.delete(&key(1, index)).await.unwrap();
        }
    }))
    .await;
    for index in 0..40 {
        let expected = (index % 2 == 1).then(|| Bytes::from(vec![index as u8; 1000]));
        assert_eq!(objects.get_whole(&key(1, index)).await.unwrap(), expected);
    }
    assert_eq!(listed(objects, &keys::job_prefix(JobId(1))).await.len(), 20);
}

pub async fn a_list_is_in_the_order_of_keys(objects: &dyn ObjectStore) {
    let mut keys: Vec<String> = (1..=12).flat_map(|job| [key(job, 0), key(job, 2), key(job, 10)]).collect();
    for key in &keys {
        objects.put(key, Bytes::from_static(b"abc")).await.unwrap();
    }
    keys.sort_unstable();
    let listed: Vec<String> = listed(objects, "").await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(listed, keys);
}

/// By the store's clock, which is this machine's: S3 says whole seconds.
pub async fn a_list_says_when_an_object_was_written(objects: &dyn ObjectStore) {
    let before = SystemClock.now().plus_ms(-1000);
    objects.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    let after = SystemClock.now().plus_ms(1000);
    let listed: Vec<_> = objects.list("").map_ok(|object| object.modified).try_collect().await.unwrap();
    assert!(matches!(listed[..], [Some(at)] if before <= at && at <= after), "{before:?} {listed:?} {after:?}");
}

pub async fn what_lies_below_a_prefix_is_deleted_and_nothing_else(objects: &dyn ObjectStore) {
    assert_eq!(objects.delete_below(&keys::job_prefix(JobId(1))).await.unwrap(), 0);
    for index in 0..30 {
        objects.put(&key(1, index), Bytes::from_static(b"abc")).await.unwrap();
    }
    objects.put(&key(11, 0), Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(objects.delete_below(&keys::job_prefix(JobId(1))).await.unwrap(), 30);
    assert_eq!(objects.delete_below(&keys::job_prefix(JobId(1))).await.unwrap(), 0);
    assert_eq!(listed(objects, "").await, [(key(11, 0), 3)]);
}

pub async fn nothing_is_lost_where_no_put_failed(objects: &dyn ObjectStore) {
    objects.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(objects.remove_lost_attempts().await.unwrap(), 0);
    assert_eq!(listed(objects, "").await, [(key(1, 0), 3)]);
}

pub async fn a_chunk_goes_in_and_out(objects: &dyn ObjectStore) {
    let bytes = b"some log\n".repeat(1000);
    objects.put(&key(1, 0), codec::encode(&bytes).into()).await.unwrap();
    let stored = objects.get_whole(&key(1, 0)).await.unwrap().unwrap();
    assert!(stored.len() < bytes.len() / 10);
    assert_eq!(codec::decode(&stored, ByteSize::of(&bytes)).unwrap(), bytes);
}

pub async fn ping_answers(objects: &dyn ObjectStore) {
    objects.ping().await.unwrap();
}

#[tokio::test]
async fn a_folder_keeps_its_objects_when_it_is_opened_again() {
    let (folder, bucket) = folder();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    drop(bucket);
    let again = Bucket::folder(&folder.path().join("objects")).unwrap();
    assert_eq!(again.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"abc")));
}

/// A put that a crash ended leaves a file with a number behind `#`.
#[tokio::test]
async fn what_a_crashed_put_left_is_no_object() {
    let (folder, bucket) = folder();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    std::fs::write(folder.path().join("objects").join(format!("{}#1", key(1, 1))), "half").unwrap();
    assert_eq!(listed(&bucket, "").await, [(key(1, 0), 3)]);
    assert_eq!(bucket.get_whole(&key(1, 1)).await.unwrap(), None);
    bucket.put(&key(1, 1), Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(bucket.get_whole(&key(1, 1)).await.unwrap(), Some(Bytes::from_static(b"whole")));
}

/// A disk that is not mounted must not look like one that lost every object.
#[tokio::test]
async fn a_folder_that_went_away_is_unavailable_and_not_empty() {
    let (folder, bucket) = folder();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    std::fs::rename(folder.path().join("objects"), folder.path().join("elsewhere")).unwrap();
    std::fs::create_dir(folder.path().join("objects")).unwrap();
    let answers = [
        bucket.ping().await,
        bucket.get_whole(&key(1, 0)).await.map(drop),
        bucket.delete(&key(1, 0)).await,
        bucket.list("").try_collect::<Vec<_>>().await.map(drop),
        bucket.put(&key(1, 1), Bytes::from_static(b"abc")).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Unavailable { store: "object_store", .. })), "{answer:?}");
    }
    std::fs::remove_dir(folder.path().join("objects")).unwrap();
    std::fs::rename(folder.path().join("elsewhere"), folder.path().join("objects")).unwrap();
    assert_eq!(bucket.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"abc")));
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let (_folder, bucket) = folder();
    for key in ["../outside", "/a", "a//b", "", ".veritail-objects"] {
        assert!(matches!(bucket.put(key, Bytes::new()).await, Err(StoreError::Unreadable { .. })), "{key:?}");
    }
}

#[tokio::test]
async fn the_model_can_be_damaged() {
    let model = model();
    model.put("a/b", Bytes::from_static(b"abc")).await.unwrap();
    assert!(model.flip_byte("a/b", 1) && !model.flip_byte("a/b", 3) && !model.flip_byte("a/c", 0));
    assert_eq!(model.get_whole("a/b").await.unwrap(), Some(Bytes::from_static(&[b'a', !b'b', b'c'])));
    assert!(model.truncate("a/b", 1) && !model.truncate("a/b", 1));
    assert_eq!(model.get_whole("a/b").await.unwrap(), Some(Bytes::from_static(b"a")));
    assert_eq!(model.keys(), ["a/b"]);
    assert!(model.lose("a/b") && !model.lose("a/b"));
    assert_eq!(model.get_whole("a/b").await.unwrap(), None);
}
