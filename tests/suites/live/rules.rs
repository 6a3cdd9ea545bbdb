//! The rules of the contract, one function each.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use veritail::store::StoreError;
use veritail::store::live::{Append, Entry, Found, Outcome, Refusal, Tombstone};
use veritail::trace::{ByteSize, ChunkId, ChunkSize, Epoch, JobId, JobStatus, OpenEnd, Phase, Timestamp};

use super::Rig;
use super::steps::{JOB, append, append_of, bury, bytes, changed, chunk, empty_end, load, open, refused, scan, stored};

const SHORT: Duration = Duration::from_millis(40);
const LONGER: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(3600);

pub(super) async fn load_of_an_unknown_job_is_none(rig: Rig) {
    assert!(load(&*rig.store, JOB).await.is_none());
    let copy = rig.store.read_open(JOB, chunk(0)).await.unwrap();
    assert!(copy.trace.is_none() && copy.bytes.is_none());
    assert!(rig.store.read_chunk(JOB, chunk(0)).await.unwrap().is_none());
}

pub(super) async fn open_makes_a_key_that_load_reads_back(rig: Rig) {
    let end = empty_end();
    let outcome = rig.store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap();
    assert_eq!(stored(outcome), (JobStatus::Running, Timestamp(0)));
    let trace = load(&*rig.store, JOB).await.expect("the key was made");
    assert_eq!(trace.raw, end.encode());
    assert_eq!(trace.entry, Entry::Live(end));
    assert_eq!((trace.status, trace.watched_until), (JobStatus::Running, Timestamp(0)));
}

pub(super) async fn open_of_a_key_that_exists_is_refused_with_what_is_there(rig: Rig) {
    let end = append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    let other = Entry::Live(empty_end());
    let outcome = rig.store.replace(JOB, None, &other, JobStatus::Canceling, None).await.unwrap();
    assert_eq!(changed(outcome).entry, Entry::Live(end));
    assert_eq!(load(&*rig.store, JOB).await.unwrap().status, JobStatus::Running);
}

pub(super) async fn append_stores_bytes_and_entry_together(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let end = append(&*rig.store, JOB, &end, b"hello ").await;
    let end = append(&*rig.store, JOB, &end, b"world").await;
    let copy = rig.store.read_open(JOB, chunk(0)).await.unwrap();
    assert_eq!(copy.bytes.as_deref(), Some(&b"hello world"[..]));
    assert_eq!(rig.store.read_chunk(JOB, chunk(0)).await.unwrap(), copy.bytes);
    assert_eq!(copy.trace.expect("the trace lies beside it").entry, Entry::Live(end));
}

pub(super) async fn present_names_the_copies_that_are_there(rig: Rig) {
    let store = &*rig.store;
    let other = JobId(JOB.0 + 1);
    assert!(store.present(&[]).await.unwrap().is_empty());
    for job in [JOB, other] {
        append(store, job, &open(store, job).await, b"abc").await;
    }
    let next = ChunkId { epoch: chunk(0).epoch.next(), ..chunk(0) };
    let there = [(JOB, chunk(0)), (other, chunk(0))];
    let asked = [there[0], (JOB, chunk(1)), (JOB, next), there[1], (JobId(JOB.0 + 2), chunk(0))];
    assert_eq!(store.present(&asked).await.unwrap(), BTreeSet::from(there));
    store.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    store.release(other, chunk(0), LONG).await.unwrap();
    assert_eq!(store.present(&asked).await.unwrap(), BTreeSet::from([there[1]]), "it goes later");
}

pub(super) async fn append_without_a_trace_key_is_refused_and_creates_nothing(rig: Rig) {
    let (append, _) = append_of(&empty_end(), b"abc");
    assert!(matches!(refused(rig.store.append(JOB, append).await.unwrap()), Refusal::Absent));
    assert!(load(&*rig.store, JOB).await.is_none());
    assert!(scan(&*rig.store, 10).await.is_empty());
}

pub(super) async fn append_in_another_epoch_is_refused_with_the_present_one(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let (mut late, _) = append_of(&end, b"abc");
    late.epoch = Epoch(7);
    assert_eq!(changed(rig.store.append(JOB, late).await.unwrap()).entry, Entry::Live(end.clone()));
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await, None);
    assert_eq!(load(&*rig.store, JOB).await.unwrap().raw, end.encode());
}

pub(super) async fn append_from_an_older_entry_is_refused_with_the_present_one(rig: Rig) {
    let first = open(&*rig.store, JOB).await;
    let (slow, _) = append_of(&first, b"xyz");
    let second = append(&*rig.store, JOB, &first, b"abc").await;
    assert_eq!(changed(rig.store.append(JOB, slow).await.unwrap()).entry, Entry::Live(second));
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
}

pub(super) async fn append_to_a_copy_of_another_size_is_refused(rig: Rig) {
    let end = append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    for wrong in [0, 2, 4] {
        let (mut append, _) = append_of(&end, b"d");
        append.at = ByteSize(wrong);
        match refused(rig.store.append(JOB, append).await.unwrap()) {
            Refusal::ChunkSize { found } => assert_eq!(found, ByteSize(3)),
            refusal => panic!("{refusal:?}"),
        }
    }
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
    assert_eq!(load(&*rig.store, JOB).await.unwrap().raw, end.encode());
}

/// A store may take the first bytes of a chunk another way where they are many.
pub(super) async fn many_first_bytes_are_stored_or_refused_like_few(rig: Rig) {
    let store = &*rig.store;
    let end = OpenEnd::new(Epoch::FIRST, ChunkSize::DEFAULT);
    let log: Vec<u8> = (0..3 * 64 * 1024u32).map(|at| (at / 7) as u8).collect();
    let (first, later) = log.split_at(64 * 1024);
    let (append, next) = append_of(&end, first);
    assert!(matches!(refused(store.append(JOB, append.clone()).await.unwrap()), Refusal::Absent));
    assert!(scan(store, 10).await.is_empty());

    stored(store.replace(JOB, None, &Entry::Live(end.clone()), JobStatus::Running, None).await.unwrap());
    let late = Append { epoch: Epoch(7), ..append.clone() };
    assert_eq!(changed(store.append(JOB, late).await.unwrap()).entry, Entry::Live(end.clone()));
    assert_eq!(bytes(store, JOB, chunk(0)).await, None);
    assert_eq!(stored(store.append(JOB, append.clone()).await.unwrap()).0, JobStatus::Running);
    assert_eq!(changed(store.append(JOB, append.clone()).await.unwrap()).entry, Entry::Live(next.clone()));
    let again = Append { expected: next.encode().into(), ..append };
    match refused(store.append(JOB, again).await.unwrap()) {
        Refusal::ChunkSize { found } => assert_eq!(found, ByteSize(64 * 1024)),
        refusal => panic!("{refusal:?}"),
    }

    let mut end = next;
    for patch in later.chunks(64 * 1024) {
        end = super::steps::append(store, JOB, &end, patch).await;
    }
    assert_eq!(load(store, JOB).await.unwrap().raw, end.encode());
    let kept = [bytes(store, JOB, chunk(0)).await.unwrap(), bytes(store, JOB, chunk(1)).await.unwrap()].concat();
    assert!(kept == log);
    let released =
        scan(store, 10).await.into_iter().filter(|found| matches!(found, Found::Chunk { released: true, .. }));
    assert_eq!(released.count(), 0, "unreleased bytes have no expiry");
}

pub(super) async fn append_to_a_vanished_copy_is_refused_and_creates_nothing(rig: Rig) {
    let end = append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    rig.store.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    let (append, _) = append_of(&end, b"d");
    match refused(rig.store.append(JOB, append).await.unwrap()) {
        Refusal::ChunkSize { found } => assert_eq!(found, ByteSize::ZERO),
        refusal => panic!("{refusal:?}"),
    }
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await, None);
}

pub(super) async fn append_names_a_changed_entry_before_a_wrong_size(rig: Rig) {
    let first = open(&*rig.store, JOB).await;
    let (mut slow, _) = append_of(&first, b"xyz");
    slow.at = ByteSize(9);
    let second = append(&*rig.store, JOB, &first, b"abc").await;
    assert_eq!(changed(rig.store.append(JOB, slow).await.unwrap()).entry, Entry::Live(second));
}

pub(super) async fn append_keeps_bytes_of_every_value(rig: Rig) {
    let all: Vec<u8> = (0..=255).chain(*b"\r\n\0\r\n").collect();
    let mut end = open(&*rig.store, JOB).await;
    for part in all.chunks(16) {
        end = append(&*rig.store, JOB, &end, part).await;
    }
    let mut back = Vec::new();
    for index in 0..=16 {
        back.extend(bytes(&*rig.store, JOB, chunk(index)).await.expect("the chunk was written"));
    }
    assert_eq!(back, all);
}

pub(super) async fn append_that_seals_keeps_every_byte(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let end = append(&*rig.store, JOB, &end, b"0123456789").await;
    let end = append(&*rig.store, JOB, &end, b"abcdef").await;
    assert!(end.sealed.contains_key(&chunk(0).index), "16 bytes seal the chunk");
    let end = append(&*rig.store, JOB, &end, b"tail").await;
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"0123456789abcdef"[..]));
    assert_eq!(bytes(&*rig.store, JOB, chunk(1)).await.as_deref(), Some(&b"tail"[..]));
    assert_eq!(load(&*rig.store, JOB).await.unwrap().entry, Entry::Live(end));
}

pub(super) async fn one_of_many_appends_from_the_same_entry_gets_in(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let appends = (0..20_u8).map(|writer| {
        let (append, _) = append_of(&end, &[writer; 5]);
        rig.store.append(JOB, append)
    });
    let outcomes: Vec<Outcome> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<usize> = (0..20).filter(|n| matches!(outcomes[*n], Outcome::Stored { .. })).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let winner = u8::try_from(winners[0]).unwrap();
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await, Some(vec![winner; 5]));
}

pub(super) async fn replace_takes_only_the_expected_entry(rig: Rig) {
    let first = open(&*rig.store, JOB).await;
    let second = append(&*rig.store, JOB, &first, b"abc").await;
    let closing = Entry::Live(second.in_phase(Phase::Closing));
    let late = rig.store.replace(JOB, Some(first.encode().into()), &closing, JobStatus::Running, None).await.unwrap();
    assert_eq!(changed(late).entry, Entry::Live(second.clone()));
    let right = rig.store.replace(JOB, Some(second.encode().into()), &closing, JobStatus::Running, None).await.unwrap();
    stored(right);
    assert_eq!(load(&*rig.store, JOB).await.unwrap().entry, closing);
}

pub(super) async fn replace_of_a_missing_key_is_absent_and_creates_nothing(rig: Rig) {
    let end = empty_end();
    let (expected, next) = (Some(Bytes::from(end.encode())), Entry::Live(end));
    let outcome = rig.store.replace(JOB, expected, &next, JobStatus::Running, None).await.unwrap();
    assert!(matches!(refused(outcome), Refusal::Absent));
    assert!(load(&*rig.store, JOB).await.is_none());
}

pub(super) async fn replace_sets_status_keeps_watchers_and_touches_no_chunk(rig: Rig) {
    let end = append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    rig.store.watch(JOB, Timestamp(1234)).await.unwrap();
    let mut rewound = empty_end();
    rewound.epoch = Epoch(2);
    let next = Entry::Live(rewound);
    let outcome = rig.store.replace(JOB, Some(end.encode().into()), &next, JobStatus::Canceling, None).await.unwrap();
    assert_eq!(stored(outcome), (JobStatus::Canceling, Timestamp(1234)));
    let trace = load(&*rig.store, JOB).await.unwrap();
    assert_eq!((trace.status, trace.watched_until), (JobStatus::Canceling, Timestamp(1234)));
    assert_eq!(trace.entry, next);
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
}

pub(super) async fn tombstone_goes_by_itself_and_a_new_key_can_be_made(rig: Rig) {
    let end = append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    rig.store.watch(JOB, Timestamp(1234)).await.unwrap();
    let tombstone = bury(&*rig.store, JOB, &end, Some(LONG)).await;
    let trace = load(&*rig.store, JOB).await.expect("a tombstone is there until it expires");
    assert_eq!((trace.entry, trace.status), (tombstone.clone(), JobStatus::Success));

    let short = rig.store.replace(JOB, Some(trace.raw), &tombstone, JobStatus::Success, Some(SHORT)).await.unwrap();
    stored(short);
    rig.pass(LONGER).await;
    assert!(load(&*rig.store, JOB).await.is_none());
    assert!(!scan(&*rig.store, 10).await.contains(&Found::Trace(JOB)));
    let (late, _) = append_of(&end, b"d");
    assert!(matches!(refused(rig.store.append(JOB, late).await.unwrap()), Refusal::Absent));
    assert!(!rig.store.set_status(JOB, JobStatus::Failed).await.unwrap());
    // The key begins anew: nothing of the old one is left in it. The copy, not released, is there.
    open(&*rig.store, JOB).await;
    assert_eq!(load(&*rig.store, JOB).await.unwrap().watched_until, Timestamp(0));
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"abc"[..]));
}

pub(super) async fn tombstone_without_expiry_stays(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let tombstone = bury(&*rig.store, JOB, &end, None).await;
    rig.pass(LONGER).await;
    assert_eq!(load(&*rig.store, JOB).await.unwrap().entry, tombstone);
}

pub(super) async fn live_entry_in_place_of_a_tombstone_stays(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let tombstone = bury(&*rig.store, JOB, &end, Some(Duration::from_secs(2))).await;
    let next = Entry::Live(end.clone());
    let outcome =
        rig.store.replace(JOB, Some(tombstone.encode().into()), &next, JobStatus::Running, None).await.unwrap();
    stored(outcome);
    rig.pass(Duration::from_millis(2050)).await;
    assert_eq!(load(&*rig.store, JOB).await.expect("it stays").entry, next);
}

pub(super) async fn live_entry_never_expires(rig: Rig) {
    let end = empty_end();
    let entry = Entry::Live(end.clone());
    stored(rig.store.replace(JOB, None, &entry, JobStatus::Running, Some(SHORT)).await.unwrap());
    let expected = Some(Bytes::from(end.encode()));
    let closing = Entry::Live(end.in_phase(Phase::Closing));
    stored(rig.store.replace(JOB, expected, &closing, JobStatus::Running, Some(SHORT)).await.unwrap());
    rig.pass(LONGER).await;
    assert_eq!(load(&*rig.store, JOB).await.expect("it stays").entry, closing);
}

pub(super) async fn entry_of_an_unknown_format_is_unreadable_and_can_be_replaced(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let (mut newer, _) = append_of(&end, b"abc");
    newer.next = Bytes::from_static(b"\x00from a newer version\xff");
    stored(rig.store.append(JOB, newer.clone()).await.unwrap());
    let trace = load(&*rig.store, JOB).await.unwrap();
    assert_eq!(trace.entry, Entry::Unreadable { epoch: Epoch::FIRST });
    assert_eq!(trace.raw, newer.next);
    assert!(rig.store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    let next = Entry::Live(end);
    stored(rig.store.replace(JOB, Some(trace.raw), &next, JobStatus::Running, None).await.unwrap());
    assert_eq!(load(&*rig.store, JOB).await.unwrap().entry, next);
}

pub(super) async fn unreadable_entry_is_never_written(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let unreadable = Entry::Unreadable { epoch: Epoch::FIRST };
    let outcome = rig.store.replace(JOB, Some(end.encode().into()), &unreadable, JobStatus::Running, None).await;
    assert!(matches!(outcome, Err(StoreError::Unreadable { .. })));
    assert_eq!(load(&*rig.store, JOB).await.unwrap().entry, Entry::Live(end));
}

pub(super) async fn status_is_set_on_live_entries_only(rig: Rig) {
    assert!(!rig.store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    assert!(load(&*rig.store, JOB).await.is_none());
    let end = open(&*rig.store, JOB).await;
    assert!(rig.store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    assert!(rig.store.set_status(JOB, JobStatus::Canceling).await.unwrap());
    let (append, end) = append_of(&end, b"abc");
    assert_eq!(stored(rig.store.append(JOB, append).await.unwrap()).0, JobStatus::Canceling);
    bury(&*rig.store, JOB, &end, None).await;
    assert!(!rig.store.set_status(JOB, JobStatus::Running).await.unwrap());
    assert_eq!(load(&*rig.store, JOB).await.unwrap().status, JobStatus::Success);
}

pub(super) async fn watch_keeps_the_later_time_and_makes_no_key(rig: Rig) {
    rig.store.watch(JOB, Timestamp(1)).await.unwrap();
    assert!(load(&*rig.store, JOB).await.is_none());
    let end = open(&*rig.store, JOB).await;
    // Milliseconds of today do not fit in 32 bits.
    let late = Timestamp(1_800_000_000_123);
    rig.store.watch(JOB, late).await.unwrap();
    rig.store.watch(JOB, late.plus_ms(-1)).await.unwrap();
    let (append, _) = append_of(&end, b"abc");
    assert_eq!(stored(rig.store.append(JOB, append).await.unwrap()).1, late);
    assert_eq!(load(&*rig.store, JOB).await.unwrap().watched_until, late);
}

pub(super) async fn released_copy_goes_after_its_grace(rig: Rig) {
    append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    append(&*rig.store, JobId(43), &open(&*rig.store, JobId(43)).await, b"abc").await;
    rig.store.release(JOB, chunk(0), SHORT).await.unwrap();
    rig.store.release(JobId(43), chunk(0), LONG).await.unwrap();
    rig.pass(LONGER).await;
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await, None);
    assert!(load(&*rig.store, JOB).await.is_some(), "the trace key stays");
    assert_eq!(bytes(&*rig.store, JobId(43), chunk(0)).await.as_deref(), Some(&b"abc"[..]));
}

pub(super) async fn release_without_grace_removes_at_once(rig: Rig) {
    append(&*rig.store, JOB, &open(&*rig.store, JOB).await, b"abc").await;
    rig.store.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await, None);
    assert_eq!(scan(&*rig.store, 10).await, BTreeSet::from([Found::Trace(JOB)]));
}

pub(super) async fn first_release_counts(rig: Rig) {
    for job in [JobId(1), JobId(2), JobId(3)] {
        append(&*rig.store, job, &open(&*rig.store, job).await, b"abc").await;
    }
    rig.store.release(JobId(1), chunk(0), LONG).await.unwrap();
    rig.store.release(JobId(1), chunk(0), SHORT).await.unwrap();
    rig.store.release(JobId(3), chunk(0), LONG).await.unwrap();
    rig.store.release(JobId(3), chunk(0), Duration::ZERO).await.unwrap();
    assert!(bytes(&*rig.store, JobId(3), chunk(0)).await.is_none(), "without grace it goes in any case");
    rig.store.release(JobId(2), chunk(0), SHORT).await.unwrap();
    rig.store.release(JobId(2), chunk(0), LONG).await.unwrap();
    rig.pass(LONGER).await;
    assert!(bytes(&*rig.store, JobId(1), chunk(0)).await.is_some());
    assert!(bytes(&*rig.store, JobId(2), chunk(0)).await.is_none());
}

pub(super) async fn release_of_a_missing_copy_is_no_error(rig: Rig) {
    rig.store.release(JOB, chunk(0), LONG).await.unwrap();
    rig.store.release(JOB, chunk(0), Duration::ZERO).await.unwrap();
    assert!(scan(&*rig.store, 10).await.is_empty());
}

pub(super) async fn append_to_a_released_copy_makes_it_stay(rig: Rig) {
    // Both ways of appending: within the chunk, and sealing it.
    for (job, more, whole) in
        [(JobId(1), &b"def"[..], &b"abcdef"[..]), (JobId(2), b"defghijklmnop", b"abcdefghijklmnop")]
    {
        let end = append(&*rig.store, job, &open(&*rig.store, job).await, b"abc").await;
        rig.store.release(job, chunk(0), Duration::from_secs(2)).await.unwrap();
        append(&*rig.store, job, &end, more).await;
        rig.pass(Duration::from_millis(2050)).await;
        // A store that removes what is due with its next write must find nothing due.
        rig.store.watch(job, Timestamp(1)).await.unwrap();
        assert_eq!(bytes(&*rig.store, job, chunk(0)).await.as_deref(), Some(whole));
    }
}

pub(super) async fn copy_that_went_begins_anew_without_old_bytes(rig: Rig) {
    let end = open(&*rig.store, JOB).await;
    let written = append(&*rig.store, JOB, &end, b"abcdef").await;
    let written = append(&*rig.store, JOB, &written, b"ghi").await;
    let back = Entry::Live(end.clone());
    stored(rig.store.replace(JOB, Some(written.encode().into()), &back, JobStatus::Running, None).await.unwrap());
    // The append is the first to come upon the copy that went.
    rig.store.release(JOB, chunk(0), SHORT).await.unwrap();
    rig.pass(LONGER).await;
    append(&*rig.store, JOB, &end, b"new").await;
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"new"[..]));
    // Nothing that was to remove the old copy removes the new one.
    rig.pass(LONGER).await;
    scan(&*rig.store, 10).await;
    append(&*rig.store, JobId(43), &open(&*rig.store, JobId(43)).await, b"abc").await;
    assert_eq!(bytes(&*rig.store, JOB, chunk(0)).await.as_deref(), Some(&b"new"[..]));
}

pub(super) async fn copies_of_other_epochs_and_jobs_are_others(rig: Rig) {
    let end = append(&*rig.store, JobId(1), &open(&*rig.store, JobId(1)).await, b"one").await;
    append(&*rig.store, JobId(11), &open(&*rig.store, JobId(11)).await, b"eleven").await;
    let mut rewound = empty_end();
    rewound.epoch = Epoch(2);
    rewound.tail.chunk.epoch = Epoch(2);
    let next = Entry::Live(rewound.clone());
    stored(rig.store.replace(JobId(1), Some(end.encode().into()), &next, JobStatus::Running, None).await.unwrap());
    append(&*rig.store, JobId(1), &rewound, b"again").await;
    let second = ChunkId { epoch: Epoch(2), ..chunk(0) };
    assert_eq!(bytes(&*rig.store, JobId(1), chunk(0)).await.as_deref(), Some(&b"one"[..]));
    assert_eq!(bytes(&*rig.store, JobId(1), second).await.as_deref(), Some(&b"again"[..]));
    assert_eq!(bytes(&*rig.store, JobId(11), chunk(0)).await.as_deref(), Some(&b"eleven"[..]));
    rig.store.release(JobId(1), chunk(0), Duration::ZERO).await.unwrap();
    assert_eq!(bytes(&*rig.store, JobId(1), second).await.as_deref(), Some(&b"again"[..]));
}

pub(super) async fn scan_of_an_empty_store_is_empty(rig: Rig) {
    assert!(scan(&*rig.store, 10).await.is_empty());
}

pub(super) async fn scan_meets_everything_in_pages(rig: Rig) {
    let mut expected = BTreeSet::new();
    for job in (1..=30).map(JobId) {
        let mut end = open(&*rig.store, job).await;
        for _ in 0..3 {
            end = append(&*rig.store, job, &end, b"0123456789abcdef").await;
        }
        rig.store.release(job, chunk(1), LONG).await.unwrap();
        if job.0 % 3 == 0 {
            let tombstone = Entry::Tombstone(Tombstone { epoch: end.epoch, ended: JobStatus::Failed });
            let expected = Some(Bytes::from(end.encode()));
            stored(rig.store.replace(job, expected, &tombstone, JobStatus::Failed, Some(LONG)).await.unwrap());
        }
        expected.insert(Found::Trace(job));
        let size = ByteSize(16);
        expected.extend((0..3).map(|index| Found::Chunk { job, chunk: chunk(index), released: index == 1, size }));
    }
    for limit in [1, 7, 1000] {
        assert_eq!(scan(&*rig.store, limit).await, expected, "pages of {limit}");
    }
}

pub(super) async fn usage_counts_what_is_there(rig: Rig) {
    let before = rig.store.usage().await.unwrap();
    // So much that what a server keeps for its connections is nothing beside it.
    let end = OpenEnd::new(Epoch::FIRST, ChunkSize::new(1 << 20).unwrap());
    let entry = Entry::Live(end.clone());
    stored(rig.store.replace(JOB, None, &entry, JobStatus::Running, None).await.unwrap());
    append(&*rig.store, JOB, &end, &vec![b'x'; 1 << 20]).await;
    let after = rig.store.usage().await.unwrap();
    assert!(after.used >= before.used, "{before:?} {after:?}");
    assert!(!after.used.is_zero());
    assert_eq!(after.evicted, 0);
}

pub(super) async fn ping_is_answered(rig: Rig) {
    rig.store.ping().await.unwrap();
}
