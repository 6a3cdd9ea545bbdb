//! Object stores in clouds: real servers, a bucket of its own for each test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use veritail::seams::real::SystemClock;
use veritail::store::StoreError;
use veritail::store::database::sqlite::SqliteDatabase;
use veritail::store::object::ObjectStore as _;
use veritail::store::object::bucket::{Bucket, Options};
use veritail::trace::ByteSize;

use super::{key, listed};
use crate::support::azurite::Azurite;
use crate::support::weed::Weed;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has.
pub fn name() -> String {
    format!("traces-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A test does not wait long.
pub fn options() -> Options {
    Options {
        timeout: Duration::from_secs(10),
        retry_for: Duration::from_secs(10),
        settled_after: Duration::ZERO,
        ..Options::default()
    }
}

/// The store at `url`, not marked yet.
pub fn open(url: &str, variables: &[(String, String)], options: Options) -> Result<Bucket, StoreError> {
    Bucket::open(url, variables, options, Arc::new(SystemClock))
}

/// Marks a store for a database that nobody else knows.
pub async fn marked(bucket: Bucket) -> Result<Bucket, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(&folder.path().join("veritail.db")).await.unwrap();
    bucket.identify(&database, "0f1e", false).await
}

pub async fn in_s3() -> (Arc<Weed>, Bucket) {
    let (weed, bucket) = (Weed::shared(), name());
    weed.make_bucket(&bucket);
    let opened = marked(open(&format!("s3://{bucket}"), &weed.variables(), options()).unwrap()).await.unwrap();
    (weed, opened)
}

pub async fn in_s3_below_a_prefix() -> (Arc<Weed>, Bucket) {
    let (weed, bucket) = (Weed::shared(), name());
    weed.make_bucket(&bucket);
    weed.overwrite(&bucket, "elsewhere/of-others", b"abc");
    let url = format!("s3://{bucket}/a/b/");
    (weed.clone(), marked(open(&url, &weed.variables(), options()).unwrap()).await.unwrap())
}

pub async fn in_azure() -> (Arc<Azurite>, Bucket) {
    let (azurite, container) = (Azurite::shared(), name());
    azurite.make_container(&container);
    let opened = open(&format!("az://{container}/logs"), &azurite.variables(), options()).unwrap();
    (azurite, marked(opened).await.unwrap())
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>().into()
}

/// More than a page of a listing, and more than one request deletes.
#[tokio::test]
async fn a_listing_goes_on_behind_its_first_page_and_so_does_a_deletion() {
    let (_weed, bucket) = in_s3().await;
    for some in (0..1100).collect::<Vec<_>>().chunks(50) {
        let puts =
            some.iter().map(|index| async { bucket.put(&key(1, *index), Bytes::from_static(b"a")).await.unwrap() });
        futures::future::join_all(puts).await;
    }
    let all = listed(&bucket, "").await;
    assert_eq!(all.len(), 1100);
    assert!(all.is_sorted());
    assert_eq!(bucket.delete_below("traces/").await.unwrap(), 1100);
    assert_eq!(listed(&bucket, "").await, []);
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_comes_back_whole() {
    let (weed, bucket) = (Weed::shared(), name());
    weed.make_bucket(&bucket);
    let options = Options { multipart_min: ByteSize(5 << 20), ..options() };
    let bucket = marked(open(&format!("s3://{bucket}"), &weed.variables(), options).unwrap()).await.unwrap();
    // Two whole parts and a bit.
    let large = bytes((16 << 20) + 12_345);
    bucket.put(&key(1, 0), large.clone()).await.unwrap();
    assert!(bucket.get_whole(&key(1, 0)).await.unwrap() == Some(large), "the object came back otherwise");
}

#[tokio::test]
async fn a_large_object_goes_in_parts_to_azure_too() {
    let (azurite, container) = (Azurite::shared(), name());
    azurite.make_container(&container);
    let options = Options { multipart_min: ByteSize(5 << 20), ..options() };
    let opened = open(&format!("az://{container}"), &azurite.variables(), options).unwrap();
    let bucket = marked(opened).await.unwrap();
    let large = bytes((8 << 20) + 1);
    bucket.put(&key(1, 0), large.clone()).await.unwrap();
    assert!(bucket.get_whole(&key(1, 0)).await.unwrap() == Some(large), "the object came back otherwise");
}

#[tokio::test]
async fn an_object_that_was_changed_behind_our_back_is_given_as_it_is() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let bucket = marked(open(&format!("s3://{name}"), &weed.variables(), options()).unwrap()).await.unwrap();
    bucket.put(&key(1, 0), Bytes::from_static(b"what was written")).await.unwrap();
    weed.overwrite(&name, &key(1, 0), b"what is there");
    assert_eq!(bucket.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"what is there")));
}

#[tokio::test]
async fn without_checksums_it_works_too() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let options = Options { upload_checksum: false, ..options() };
    let bucket = marked(open(&format!("s3://{name}"), &weed.variables(), options).unwrap()).await.unwrap();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(listed(&bucket, "").await, [(key(1, 0), 3)]);
}

fn says(error: &StoreError, words: &[&str]) {
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unavailable { store: "object_store", .. }), "{error:?}");
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    for hidden in ["veritail-secret", "reader-secret", "wrong-secret", "Signature=", "veritail-key", "http://"] {
        assert!(!text.contains(hidden), "{hidden} is in: {text}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_an_error_that_says_so() {
    let weed = Weed::shared();
    let nowhere = open("s3://nowhere-at-all", &weed.variables(), options()).unwrap();
    says(&marked(nowhere.clone()).await.unwrap_err(), &["the bucket is not there", "VERITAIL_OBJECT_STORE_URL"]);
    says(&nowhere.get_whole(&key(1, 0)).await.unwrap_err(), &["the bucket is not there"]);
    says(&nowhere.ping().await.unwrap_err(), &["the bucket is not there"]);
    let azurite = Azurite::shared();
    let nowhere = open("az://nowhere-at-all", &azurite.variables(), options()).unwrap();
    says(&marked(nowhere).await.unwrap_err(), &["the bucket is not there"]);
}

#[tokio::test]
async fn a_bucket_that_goes_away_while_in_use_is_an_outage_and_no_loss() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let bucket = marked(open(&format!("s3://{name}"), &weed.variables(), options()).unwrap()).await.unwrap();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();
    weed.remove_bucket(&name);
    for answer in [
        bucket.get_whole(&key(1, 0)).await.map(drop),
        bucket.delete(&key(1, 0)).await,
        bucket.delete_below("traces/").await.map(drop),
        bucket.ping().await,
    ] {
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    }
    // Another, empty one in its place is still not ours.
    weed.make_bucket(&name);
    for answer in [bucket.get_whole(&key(1, 0)).await.map(drop), bucket.delete_below("traces/").await.map(drop)] {
        says(&answer.unwrap_err(), &[".veritail-objects is missing"]);
    }
}

#[tokio::test]
async fn wrong_credentials_and_missing_rights_are_told_apart() {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let url = format!("s3://{name}");
    let bucket = marked(open(&url, &weed.variables(), options()).unwrap()).await.unwrap();
    bucket.put(&key(1, 0), Bytes::from_static(b"abc")).await.unwrap();

    let reader = open(&url, &weed.reader_variables(), options()).unwrap();
    assert_eq!(reader.get_whole(&key(1, 0)).await.unwrap(), Some(Bytes::from_static(b"abc")));
    says(&reader.put(&key(1, 1), Bytes::from_static(b"abc")).await.unwrap_err(), &["s3:PutObject"]);
    says(&reader.delete(&key(1, 0)).await.unwrap_err(), &["s3:DeleteObject"]);
    says(&reader.delete_below("traces/").await.unwrap_err(), &["s3:DeleteObject"]);

    let mut wrong = weed.variables();
    wrong.retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY");
    wrong.push(("AWS_SECRET_ACCESS_KEY".to_owned(), "wrong-secret".to_owned()));
    let stranger = open(&url, &wrong, options()).unwrap();
    says(
        &stranger.get_whole(&key(1, 0)).await.unwrap_err(),
        &["does not accept the credentials", "SignatureDoesNotMatch"],
    );
    says(&marked(stranger).await.unwrap_err(), &["does not accept the credentials"]);
    assert_eq!(listed(&bucket, "").await, [(key(1, 0), 3)]);
}
