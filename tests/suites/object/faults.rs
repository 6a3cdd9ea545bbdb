//! An S3 behind a bad network: what is said to be kept is kept, what fails says so in time, and leaves nothing for ever.

#![allow(clippy::disallowed_methods, reason = "the tests wait for real servers, each with a limit")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use veritail::store::StoreError;
use veritail::store::object::ObjectStore as _;
use veritail::store::object::bucket::{Bucket, Options};
use veritail::trace::ByteSize;

use super::clouds::{marked, name, open, options};
use super::{key, listed};
use crate::support::bad_network::{BadNetwork, Fault};
use crate::support::weed::Weed;

/// Short times, as nothing answers late but what is told to.
fn impatient() -> Options {
    let timeout = Duration::from_secs(2);
    Options { timeout, connect_timeout: timeout, retry_for: Duration::from_secs(1), ..options() }
}

/// Large bodies take their time on a busy machine.
fn in_parts() -> Options {
    Options { multipart_min: ByteSize(5 << 20), timeout: Duration::from_secs(20), ..impatient() }
}

struct Ground {
    network: BadNetwork,
    /// Through the network.
    bucket: Bucket,
    /// Past it.
    direct: Bucket,
    _weed: std::sync::Arc<Weed>,
}

impl Ground {
    /// Puts an object, and has enough of it as soon as the store was sent bytes; it hangs.
    async fn give_up_put(&self, key: &str, bytes: Bytes) {
        let is_in_parts = bytes.len() > 5 << 20;
        let is_put = |line: &String| line.starts_with("PUT ") && line.contains("uploadId=") == is_in_parts;
        self.network.take_seen();
        let sent = async {
            while !self.network.take_seen().iter().any(is_put) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            put = self.bucket.put(key, bytes) => panic!("a put to a store that hangs ended: {put:?}"),
            () = sent => {}
        }
    }
}

async fn ground(options: Options) -> Ground {
    let (weed, name) = (Weed::shared(), name());
    weed.make_bucket(&name);
    let url = format!("s3://{name}");
    let direct = marked(open(&url, &weed.variables(), super::clouds::options()).unwrap()).await.unwrap();
    let network = BadNetwork::before(weed.port()).await;
    let mut variables = weed.variables();
    for (name, value) in &mut variables {
        if name == "AWS_ENDPOINT_URL" {
            *value = format!("http://127.0.0.1:{}", network.port());
        }
    }
    let bucket = open(&url, &variables, options).unwrap();
    Ground { network, bucket, direct, _weed: weed }
}

fn bytes() -> Bytes {
    (0..200_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn a_put_goes_through_a_fault_and_is_whole() {
    let ground = ground(impatient()).await;
    let faults = [
        Fault::Refuse(503),
        Fault::Refuse(500),
        Fault::Deny(500),
        Fault::Deny(503),
        Fault::LoseAnswer,
        Fault::CutRequest,
        Fault::CutAnswer,
        Fault::Slow(Duration::from_millis(300)),
    ];
    for (index, fault) in (0..).zip(faults) {
        ground.network.next("PUT", fault);
        let put = ground.bucket.put(&key(1, index), bytes()).await;
        assert!(put.is_ok(), "{fault:?}: {put:?}");
        assert_eq!(ground.direct.get_whole(&key(1, index)).await.unwrap(), Some(bytes()), "{fault:?}");
    }
    assert_eq!(ground.network.left(), 0);
    assert_eq!(listed(&ground.direct, "").await.len(), faults.len());
    // What went through in the end is no lost attempt.
    assert_eq!(ground.bucket.remove_lost_attempts().await.unwrap(), 0);
}

#[tokio::test]
async fn a_read_goes_through_a_fault_and_is_never_short() {
    let ground = ground(impatient()).await;
    ground.direct.put(&key(1, 0), bytes()).await.unwrap();
    for fault in [
        Fault::Refuse(503),
        Fault::Deny(500),
        Fault::LoseAnswer,
        Fault::CutAnswer,
        Fault::Slow(Duration::from_millis(300)),
    ] {
        ground.network.next("GET", fault);
        match ground.bucket.get_whole(&key(1, 0)).await {
            Ok(got) => assert!(got == Some(bytes()), "{fault:?}: not what is there"),
            Err(StoreError::Unavailable { .. }) if fault == Fault::CutAnswer => {}
            Err(error) => panic!("{fault:?}: {error}"),
        }
    }
    assert_eq!(ground.network.left(), 0);
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_in_time() {
    let ground = ground(impatient()).await;
    // A deletion is a POST: it could name many objects.
    for method in ["PUT", "GET", "POST"] {
        ground.network.always(Some((method, Fault::Hang)));
        let begun = Instant::now();
        let answer = match method {
            "PUT" => ground.bucket.put(&key(1, 0), bytes()).await,
            "GET" => ground.bucket.get_whole(&key(1, 0)).await.map(drop),
            _ => ground.bucket.delete(&key(1, 0)).await,
        };
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{method}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{method} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_put_that_may_have_happened_is_remembered_and_cleaned_up() {
    let ground = ground(impatient()).await;
    ground.direct.put(&key(2, 0), bytes()).await.unwrap();
    // It happens each time, and each time nobody hears of it.
    ground.network.always(Some(("PUT", Fault::LoseAnswer)));
    ground.bucket.put(&key(1, 0), bytes()).await.unwrap_err();
    // Its caller has enough of it.
    ground.network.always(Some(("PUT", Fault::Hang)));
    ground.give_up_put(&key(1, 1), bytes()).await;
    assert_eq!(listed(&ground.direct, "").await.len(), 2);

    // While the store is away they stay remembered.
    ground.network.always(Some(("POST", Fault::Refuse(503))));
    ground.bucket.remove_lost_attempts().await.unwrap_err();
    ground.network.always(None);
    assert_eq!(ground.bucket.remove_lost_attempts().await.unwrap(), 2);
    assert_eq!(listed(&ground.direct, "").await, [(key(2, 0), 200_000)]);
    assert_eq!(ground.bucket.remove_lost_attempts().await.unwrap(), 0);
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_is_aborted_and_leaves_no_object() {
    let ground = ground(in_parts()).await;
    let large = Bytes::from(vec![7; (16 << 20) + 1]);
    ground.network.always(Some(("PUT", Fault::Refuse(500))));
    ground.bucket.put(&key(1, 0), large.clone()).await.unwrap_err();
    let seen = ground.network.take_seen();
    assert!(seen.iter().any(|line| line.starts_with("DELETE ") && line.contains("uploadId=")), "{seen:?}");
    assert_eq!(listed(&ground.direct, "").await, []);

    // A part that fails once is sent again.
    ground.network.always(None);
    ground.network.next("PUT", Fault::CutRequest);
    ground.bucket.put(&key(1, 1), large.clone()).await.unwrap();
    assert!(ground.direct.get_whole(&key(1, 1)).await.unwrap() == Some(large), "the object came back otherwise");
}

/// Whoever waits no longer leaves an upload under way: its parts would lie there for good.
#[tokio::test]
async fn an_upload_in_parts_that_is_given_up_is_aborted_later() {
    let ground = ground(in_parts()).await;
    let large = Bytes::from(vec![7; (16 << 20) + 1]);
    ground.network.always(Some(("PUT", Fault::Hang)));
    ground.give_up_put(&key(1, 0), large).await;

    // While the store is away it stays remembered.
    ground.network.always(Some(("DELETE", Fault::Refuse(503))));
    ground.bucket.remove_lost_attempts().await.unwrap_err();
    ground.network.always(None);
    ground.network.take_seen();
    ground.bucket.remove_lost_attempts().await.unwrap();
    let aborts = |seen: Vec<String>| {
        seen.iter().filter(|line| line.starts_with("DELETE ") && line.contains("uploadId=")).count()
    };
    assert_eq!(aborts(ground.network.take_seen()), 1);
    ground.bucket.remove_lost_attempts().await.unwrap();
    assert_eq!(aborts(ground.network.take_seen()), 0, "once is enough");
    assert_eq!(listed(&ground.direct, "").await, []);
}

/// The mark is read when something is missing and at a ping, and costs nothing otherwise.
#[tokio::test]
async fn an_operation_is_one_request() {
    let ground = ground(impatient()).await;
    ground.bucket.put(&key(1, 0), bytes()).await.unwrap();
    ground.bucket.get_whole(&key(1, 0)).await.unwrap();
    ground.bucket.delete(&key(1, 0)).await.unwrap();
    let seen = ground.network.take_seen();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(ground.bucket.get_whole(&key(1, 0)).await.unwrap(), None);
    let seen = ground.network.take_seen();
    assert!(seen.len() == 2 && seen[1].contains(".veritail-objects"), "{seen:?}");
}

#[tokio::test]
async fn a_server_that_was_killed_and_started_again_has_what_it_took() {
    let mut weed = Weed::start();
    weed.make_bucket("traces");
    let bucket = open("s3://traces", &weed.variables(), Options { retry_for: Duration::from_secs(30), ..options() });
    let bucket = marked(bucket.unwrap()).await.unwrap();
    bucket.put(&key(1, 0), bytes()).await.unwrap();
    weed.restart();
    assert_eq!(bucket.get_whole(&key(1, 0)).await.unwrap(), Some(bytes()));
    bucket.put(&key(1, 1), bytes()).await.unwrap();
    assert_eq!(bucket.get_whole(&key(1, 1)).await.unwrap(), Some(bytes()));
}
