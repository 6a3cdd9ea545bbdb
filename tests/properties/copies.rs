//! A look at a copy: what it costs, how much it reads, and what it says of what lies there.

use std::sync::Arc;

use bytes::Bytes;
use veritail::store::copies::{Looked, STORED_MAX, look_live, look_object};
use veritail::store::hashing::Hashing;
use veritail::store::hooked::Hooked;
use veritail::store::live::LiveStore;
use veritail::store::object::{ObjectStore, codec};
use veritail::trace::{
    ByteSize, ChunkId, ChunkIndex, ChunkSize, Crc32, Epoch, JobId, Kind, Look, Record, Sha256, Stored, StoredObject,
    Timestamp,
};

use crate::rig::now;
use crate::support::clock::ManualClock;
use crate::support::hooks::{Faults, Recorder, Side};
use crate::support::model::live::ModelLive;
use crate::support::model::objects::ModelObjects;

const KEY: &str = "traces/00/1/c/000000-1-0f1e.zst";
const PROMISED: &[u8] = b"what was promised";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)))
}

fn written(stored: &[u8]) -> StoredObject {
    StoredObject { key: KEY.to_owned(), size: ByteSize::of(stored), sha256: Sha256::of(stored) }
}

/// A look at these stored bytes, whose row says this; and how many requests it took.
async fn look(stored: Option<&[u8]>, row: &StoredObject, record: &Record) -> (Looked, u64) {
    let recorder = Arc::new(Recorder::default());
    let objects: Arc<dyn ObjectStore> = Arc::new(ModelObjects::new(clock()));
    if let Some(stored) = stored {
        objects.put(KEY, Bytes::copy_from_slice(stored)).await.expect("a model");
    }
    let looked = look_object(&Hooked::new(objects, recorder.clone(), clock()), &Hashing::default(), row, record).await;
    (looked, recorder.count("object_store", "get"))
}

#[test]
fn a_sound_copy_is_one_request_and_gives_its_bytes() {
    now(async {
        let (stored, record) = (codec::encode(PROMISED), Record::of(PROMISED));
        let (looked, requests) = look(Some(&stored), &written(&stored), &record).await;
        assert_eq!((looked.look, looked.stored, requests), (Look::Sound, None, 1));
        assert_eq!(looked.reached().expect("reached").sound().as_deref(), Some(PROMISED));
    });
}

#[test]
fn what_is_read_wrong_once_is_sound_and_what_is_wrong_twice_differs() {
    now(async {
        let (stored, record) = (codec::encode(PROMISED), Record::of(PROMISED));
        let (row, recorder) = (written(&stored), Arc::new(Recorder::default()));
        let model = Arc::new(ModelObjects::new(clock()));
        let objects: Arc<dyn ObjectStore> = model.clone();
        let asked = Hooked::new(objects, recorder.clone(), clock());
        model.put(KEY, Bytes::from(stored)).await.expect("a model");
        let look = async || {
            let hashing = Hashing::default();
            let look = || look_object(&asked, &hashing, &row, &record);
            look().await.confirmed_by(look()).await.look
        };
        assert_eq!((look().await, recorder.count("object_store", "get")), (Look::Sound, 1));
        model.misread_once(KEY);
        assert_eq!((look().await, recorder.count("object_store", "get")), (Look::Sound, 3));
        model.delete(KEY).await.expect("a model");
        assert_eq!((look().await, recorder.count("object_store", "get")), (Look::Differs(Kind::Missing), 5));
    });
}

#[test]
fn a_copy_that_is_absent_differs_and_one_that_cannot_be_asked_for_is_an_error() {
    now(async {
        let (stored, record) = (codec::encode(PROMISED), Record::of(PROMISED));
        let (looked, requests) = look(None, &written(&stored), &record).await;
        assert_eq!((looked.look, requests), (Look::Differs(Kind::Missing), 1));
        assert_eq!((looked.stored, looked.reached().expect("reached").sound()), (None, None));

        let faults = Arc::new(Faults::default());
        let objects: Arc<dyn ObjectStore> = Arc::new(ModelObjects::new(clock()));
        faults.fail("object_store", "get", Side::Before);
        let looked =
            look_object(&Hooked::new(objects, faults, clock()), &Hashing::default(), &written(&stored), &record).await;
        assert_eq!((looked.look, looked.bytes.clone()), (Look::Unreachable, None));
        assert!(looked.reached().is_err());
    });
}

#[test]
fn bytes_that_differ_are_given_and_are_not_sound() {
    now(async {
        let (stored, record) = (codec::encode(b"something else is there"), Record::of(PROMISED));
        let row = written(&codec::encode(PROMISED));
        let (looked, _) = look(Some(&stored), &row, &record).await;
        assert_eq!((looked.look, looked.stored), (Look::Differs(Kind::Size), Some(Stored::of(&stored))));
        assert_eq!(looked.bytes.as_deref(), Some(&b"something else is there"[..]));
        assert_eq!(looked.sound(), None);
    });
}

/// The row says less than there is: that is the row's fault, for the whole object is read and decoded.
#[test]
fn of_a_row_that_is_wrong_about_the_stored_bytes_the_whole_object_is_read() {
    now(async {
        let (stored, record) = (codec::encode(PROMISED), Record::of(PROMISED));
        for (size, requests) in [(ByteSize(3), 2), (ByteSize::of(&stored) + ByteSize(9), 1)] {
            let row = StoredObject { size, ..written(&stored) };
            let (looked, asked) = look(Some(&stored), &row, &record).await;
            assert_eq!((looked.look, asked), (Look::Differs(Kind::Record), requests));
            assert_eq!(looked.bytes.as_deref(), Some(PROMISED));
        }
        // The record is wrong about the size of the content, which is decoded all the same.
        for size in [ByteSize(1), ByteSize(1000)] {
            let (looked, _) = look(Some(&stored), &written(&stored), &Record { size, ..record }).await;
            assert_eq!(looked.look, Look::Differs(Kind::Record));
        }
    });
}

/// Only of promised bytes that decode it is asked whether the row or the store is wrong about their encoding.
#[test]
fn a_record_that_is_wrong_stays_the_databases_whatever_else_differs() {
    now(async {
        let (stored, record) = (codec::encode(PROMISED), Record::of(PROMISED));
        let wrong = Record { crc32: Crc32(record.crc32.0 ^ 1), ..record };
        let (looked, _) = look(Some(&stored), &written(&stored), &wrong).await;
        assert_eq!(looked.look, Look::Differs(Kind::Record));
        let row = StoredObject { sha256: Sha256([9; 32]), ..written(&stored) };
        let (looked, _) = look(Some(&stored), &row, &record).await;
        assert_eq!(looked.look, Look::Differs(Kind::Record));
        // A second frame behind the first, which says nothing: the row is right, and the store is not.
        let mut longer = stored.clone();
        longer.extend([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7]);
        let (looked, _) = look(Some(&longer), &written(&stored), &record).await;
        if looked.bytes.as_deref() == Some(PROMISED) {
            assert_eq!(looked.look, Look::Differs(Kind::Size));
        }
    });
}

#[test]
fn no_more_is_read_than_any_chunk_and_the_frame_around_it() {
    now(async {
        assert_eq!(STORED_MAX, ByteSize(u64::from(ChunkSize::MAX) + 65_536));
        let (record, most) = (Record::of(PROMISED), STORED_MAX.as_usize());
        for (there, read) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
            let (looked, requests) = look(Some(&vec![7; there]), &written(b"short"), &record).await;
            assert_eq!((looked.look, requests), (Look::Differs(Kind::Size), 2));
            assert_eq!(looked.stored.map(|stored| stored.size), Some(ByteSize(read as u64)));
        }
    });
}

#[test]
fn a_live_copy_is_judged_by_its_bytes_alone() {
    now(async {
        let faults = Arc::new(Faults::default());
        let live: Arc<dyn LiveStore> = Arc::new(ModelLive::new(clock()));
        let (job, chunk) = (JobId(1), ChunkId { index: ChunkIndex(0), epoch: Epoch::FIRST });
        let live = Hooked::new(live, faults.clone(), clock());
        let looked = look_live(&live, &Hashing::default(), job, chunk, &Record::of(PROMISED)).await;
        assert_eq!((looked.look, looked.bytes.clone()), (Look::Differs(Kind::Missing), None));
        assert!(looked.reached().is_ok());
        faults.fail("live", "read_chunk", Side::Before);
        let looked = look_live(&live, &Hashing::default(), job, chunk, &Record::of(PROMISED)).await;
        assert!(looked.look == Look::Unreachable && looked.reached().is_err());
    });
}
