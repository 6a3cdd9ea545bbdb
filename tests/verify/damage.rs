//! Damage to the real bytes: by the commands of Redis, by SQL, by PUT and DELETE of objects.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use veritail::store::live::{Append, Entry, LiveCopy, LiveTrace, Outcome, Tombstone};
use veritail::store::object::{ObjectStore, codec, keys};
use veritail::trace::{ByteSize, ChunkId, ChunkIndex, DataStore, Epoch, JobId, JobStatus, Kind, Sha256};

use crate::case::Case;
use crate::ground::{CHUNK_SIZE, Ground, Side};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The copy itself.
    Copy,
    /// What the chunk's row says.
    Record(Column),
    /// What the job's row says of the whole.
    WholeChecksum,
    WholeSize,
    /// The row of the last chunk is gone.
    LastRow,
    /// The live store loses the trace's open end.
    OpenEnd,
}

/// A column of a chunk's row, or both of its checksums: another content altogether, which shows only beside a copy that is as
/// it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Longer,
    Shorter,
    Crc32,
    Sha256,
    StoredSize,
    StoredSha256,
    Checksums,
}

impl Column {
    pub const ALL: &'static [Self] = &[
        Self::Longer,
        Self::Shorter,
        Self::Crc32,
        Self::Sha256,
        Self::StoredSize,
        Self::StoredSha256,
        Self::Checksums,
    ];
    pub const OF_RECORD: &'static [Self] = &[Self::Longer, Self::Shorter, Self::Crc32, Self::Sha256];

    /// Of the object, not of the chunk.
    pub fn is_of_stored_bytes(self) -> bool {
        matches!(self, Self::StoredSize | Self::StoredSha256)
    }

    fn changed(self, ground: &Ground) -> String {
        let other_digest = ground.literal(&[7; 32]);
        match self {
            Self::Longer => "size = size + 1".to_owned(),
            Self::Shorter => "size = size - 1".to_owned(),
            Self::Crc32 => "crc32 = CASE crc32 WHEN 0 THEN 1 ELSE crc32 - 1 END".to_owned(),
            Self::Sha256 => format!("sha256 = {other_digest}"),
            Self::StoredSize => "stored_size = stored_size / 2".to_owned(),
            Self::StoredSha256 => format!("stored_sha256 = {other_digest}"),
            Self::Checksums => format!("{}, {}", Self::Crc32.changed(ground), Self::Sha256.changed(ground)),
        }
    }
}

/// The bytes of the damaged chunk in an earlier epoch.
fn earlier() -> Vec<u8> {
    (0..CHUNK_SIZE).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

impl Damage {
    /// Does it to the job of a case.
    pub async fn apply(self, ground: &Ground, case: &Case, job: JobId) {
        let index = case.chunk();
        let of_chunk = format!("job_id = {job} AND chunk_index = {index}");
        match self {
            Self::Copy if case.store == case.live => live(ground, case.kind, job, index).await,
            Self::Copy => persistent(ground, case, job, index).await,
            Self::Record(column) => {
                let changed = column.changed(ground);
                ground.change_row(format!("UPDATE trace_chunks SET {changed} WHERE {of_chunk}")).await;
            }
            Self::WholeChecksum => {
                let changed = "crc32 = CASE crc32 WHEN 0 THEN 1 ELSE crc32 - 1 END";
                ground.change_row(format!("UPDATE jobs SET {changed} WHERE id = {job}")).await;
            }
            Self::WholeSize => ground.change_row(format!("UPDATE jobs SET size = size - 1 WHERE id = {job}")).await,
            Self::LastRow => {
                let rows = ground.stores.database.chunks(job, ChunkIndex(0), 100).await.expect("rows");
                // Behind it is the one of a chunk that would have come next.
                let last = rows.iter().rfind(|row| row.persistent_copy().is_some()).expect("a kept chunk").index;
                ground
                    .change_row(format!("DELETE FROM trace_chunks WHERE job_id = {job} AND chunk_index = {last}"))
                    .await;
            }
            Self::OpenEnd => lose_open_end(ground, job).await,
        }
    }
}

/// The name of the live copy that the open end or the row speaks of.
async fn live_name(ground: &Ground, job: JobId, index: ChunkIndex) -> ChunkId {
    let row = ground.stores.database.chunk(job, index).await.expect("a database");
    row.expect("the chunk has a row").id()
}

fn key(job: JobId, chunk: ChunkId) -> String {
    format!("veritail:{{{job}}}:chunk:{chunk}")
}

async fn live(ground: &Ground, kind: Kind, job: JobId, index: ChunkIndex) {
    let chunk = live_name(ground, job, index).await;
    let copy = ground.stores.live.read_open(job, chunk).await.expect("a live store");
    let bytes = copy.bytes.clone().expect("a live copy").to_vec();
    match ground.side {
        Side::Embedded => in_embedded(ground, kind, job, chunk, copy, bytes).await,
        Side::Production => in_redis(ground, kind, job, chunk, &bytes).await,
    }
}

async fn in_redis(ground: &Ground, kind: Kind, job: JobId, chunk: ChunkId, bytes: &[u8]) {
    let key = key(job, chunk);
    match kind {
        Kind::Checksum => ground.redis(&[b"SETRANGE", key.as_bytes(), b"17", &[bytes[17] ^ 1]]).await,
        Kind::Size => ground.redis(&[b"APPEND", key.as_bytes(), b"more"]).await,
        Kind::Missing => ground.redis(&[b"DEL", key.as_bytes()]).await,
        Kind::StaleCopy => {
            let before = self::key(job, ChunkId { epoch: Epoch(1), ..chunk });
            ground.redis(&[b"SET", before.as_bytes(), &earlier()]).await;
            ground.redis(&[b"COPY", before.as_bytes(), key.as_bytes(), b"REPLACE"]).await;
        }
        other => panic!("no live copy is {other}"),
    }
}

/// The store takes bytes that nobody vouched for: a copy is taken away and written anew under the same entry.
async fn in_embedded(ground: &Ground, kind: Kind, job: JobId, chunk: ChunkId, copy: LiveCopy, mut bytes: Vec<u8>) {
    let entry = copy.trace.expect("an entry");
    ground.stores.live.release(job, chunk, Duration::ZERO).await.expect("a live store");
    match kind {
        Kind::Checksum => bytes[17] ^= 1,
        Kind::Size => bytes.extend_from_slice(b"more"),
        Kind::Missing => return,
        Kind::StaleCopy => {
            bytes = earlier();
            write(ground, job, &entry, ChunkId { epoch: Epoch(1), ..chunk }, bytes.clone()).await;
        }
        other => panic!("no live copy is {other}"),
    }
    write(ground, job, &entry, chunk, bytes).await;
}

async fn write(ground: &Ground, job: JobId, entry: &LiveTrace, chunk: ChunkId, bytes: Vec<u8>) {
    let (epoch, expected, next) = (entry.entry.epoch(), entry.raw.clone(), entry.raw.clone());
    let append = Append { epoch, expected, chunk, at: ByteSize::ZERO, bytes: bytes.into(), seals: false, next };
    let written = ground.stores.live.append(job, append).await.expect("a live store");
    assert!(matches!(written, Outcome::Stored { .. }), "{written:?}");
}

async fn lose_open_end(ground: &Ground, job: JobId) {
    match ground.side {
        Side::Production => ground.redis(&[b"DEL", format!("veritail:{{{job}}}:trace").as_bytes()]).await,
        Side::Embedded => {
            // It gives up an entry in one way only: for a tombstone, here one that is over at once.
            let live = &ground.stores.live;
            let trace = live.load(job).await.expect("a live store").expect("an entry");
            let tombstone = Tombstone { epoch: trace.entry.epoch(), ended: JobStatus::Failed };
            let (entry, at_once) = (Entry::Tombstone(tombstone), Some(Duration::ZERO));
            live.replace(job, Some(trace.raw), &entry, trace.status, at_once).await.expect("a live store");
        }
    }
}

async fn persistent(ground: &Ground, case: &Case, job: JobId, index: ChunkIndex) {
    let in_database = case.store == DataStore::Database;
    let store: &dyn ObjectStore =
        if in_database { ground.stores.spill.as_ref() } else { ground.stores.objects.as_ref() };
    let row = ground.stores.database.chunk(job, index).await.expect("a database").expect("a row");
    let key = match row.persistent_copy() {
        Some(at) => at.object().key.clone(),
        // No row names it yet: the only one there is.
        None => the_only(store, job, index).await,
    };
    let stored = store.get(&key, ByteSize(1 << 20)).await.expect("a store").expect("a copy").to_vec();
    let changed = match case.kind {
        Kind::Checksum => Some(flipped(&stored)),
        Kind::Size => Some(stored[..stored.len() / 2].to_vec()),
        Kind::Missing => None,
        Kind::StaleCopy => {
            let before = codec::encode(&earlier());
            let its_key = keys::chunk_key(job, index, Epoch(1), "earlier");
            ground.stores.objects.put(&its_key, Bytes::from(before.clone())).await.expect("an object store");
            Some(before)
        }
        Kind::Undecodable => Some(b"what a bad encoder made of it".to_vec()),
        other => panic!("no persistent copy is {other}"),
    };
    if case.kind == Kind::Undecodable {
        let bad = changed.as_deref().expect("bytes");
        let (size, sha256) = (bad.len(), ground.literal(&Sha256::of(bad).0));
        let written = format!("stored_size = {size}, stored_sha256 = {sha256}");
        let of_chunk = format!("job_id = {job} AND chunk_index = {index}");
        ground.change_row(format!("UPDATE trace_chunks SET {written} WHERE {of_chunk}")).await;
    }
    match changed {
        None if in_database => ground.change_row(format!("DELETE FROM chunk_bytes WHERE key = '{key}'")).await,
        None => store.delete(&key).await.expect("an object store"),
        Some(bytes) if in_database => {
            let bytes = ground.literal(&bytes);
            ground.change_row(format!("UPDATE chunk_bytes SET bytes = {bytes} WHERE key = '{key}'")).await;
        }
        Some(bytes) => store.put(&key, bytes.into()).await.expect("an object store"),
    }
}

fn flipped(stored: &[u8]) -> Vec<u8> {
    let mut flipped = stored.to_vec();
    flipped[stored.len() / 2] ^= 1;
    flipped
}

async fn the_only(store: &dyn ObjectStore, job: JobId, index: ChunkIndex) -> String {
    let listed: Vec<_> = store.list(&keys::job_prefix(job)).try_collect().await.expect("a listing");
    let mut keys = listed.into_iter().map(|object| object.key);
    let key = keys.find(|key| keys::parse(key).is_ok_and(|key| key.index == index));
    key.unwrap_or_else(|| panic!("job {job}: nothing of chunk {index} is on its way"))
}
