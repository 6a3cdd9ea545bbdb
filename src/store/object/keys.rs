//! The keys of objects: unique per attempt and never written twice, so that a plain PUT is enough everywhere.
//!
//! ```text
//! traces/<shard>/<job>/c/<index>-<epoch>-<random>.zst    a chunk
//! quarantine/<shard>/<job>/<index>-<epoch>-<random>      a bad object that was replaced
//! ```
//!
//! The shard spreads jobs evenly over 256 prefixes; a full sweep walks one shard after the other.

use std::fmt;

use crate::trace::{ChunkIndex, Epoch, JobId, Sha256};

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey {
    /// Which kind of object.
    pub kind: ObjectKind,
    /// The job that it belongs to.
    pub job: JobId,
    /// The chunk.
    pub index: ChunkIndex,
    /// The epoch in which the chunk was begun.
    pub epoch: Epoch,
    /// What makes the key unique: letters and digits.
    pub random: String,
}

/// The kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A chunk's copy.
    Chunk,
    /// A bad copy, kept for people to look at.
    Quarantined,
}

/// A key that no version of Veritail wrote.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a key of ours")]
pub struct ForeignKey(pub String);

/// The key of one attempt to store a chunk.
pub fn chunk_key(job: JobId, index: ChunkIndex, epoch: Epoch, random: &str) -> String {
    format!("{}c/{index}-{epoch}-{random}.zst", job_prefix(job))
}

/// The key under which a bad copy of a chunk is kept.
pub fn quarantine_key(job: JobId, index: ChunkIndex, epoch: Epoch, random: &str) -> String {
    format!("{}{index}-{epoch}-{random}", quarantine_prefix(job))
}

/// What the keys of all of a job's objects begin with, but for those in quarantine.
pub fn job_prefix(job: JobId) -> String {
    format!("traces/{}/{job}/", shard(job))
}

/// What the keys of all of a job's objects in quarantine begin with.
pub fn quarantine_prefix(job: JobId) -> String {
    format!("quarantine/{}/{job}/", shard(job))
}

/// Two hexadecimal digits: the first byte of the SHA-256 of the job's number in decimal.
fn shard(job: JobId) -> String {
    let Sha256(digest) = Sha256::of(job.to_string().as_bytes());
    format!("{:02x}", digest[0])
}

/// What a key names.
pub fn parse(key: &str) -> Result<ObjectKey, ForeignKey> {
    // Only what would be written again the same way is ours: no leading zeros or signs, and the right shard.
    read(key).filter(|parsed| parsed.to_string() == key).ok_or_else(|| ForeignKey(key.to_owned()))
}

fn read(key: &str) -> Option<ObjectKey> {
    let mut parts = key.split('/');
    let kind = match parts.next()? {
        "traces" => ObjectKind::Chunk,
        "quarantine" => ObjectKind::Quarantined,
        _ => return None,
    };
    let _shard = parts.next()?;
    let job = JobId(parts.next()?.parse().ok()?);
    let name = match kind {
        ObjectKind::Chunk => {
            let _c = parts.next()?;
            parts.next()?.strip_suffix(".zst")?
        }
        ObjectKind::Quarantined => parts.next()?,
    };
    let mut fields = name.splitn(3, '-');
    let index = ChunkIndex(fields.next()?.parse().ok()?);
    let epoch = Epoch(fields.next()?.parse().ok()?);
    let random = fields.next()?;
    let is_ours = parts.next().is_none() && !random.is_empty() && random.bytes().all(|b| b.is_ascii_alphanumeric());
    is_ours.then(|| ObjectKey { kind, job, index, epoch, random: random.to_owned() })
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, job, index, epoch, random } = self;
        f.write_str(&match kind {
            ObjectKind::Chunk => chunk_key(*job, *index, *epoch, random),
            ObjectKind::Quarantined => quarantine_key(*job, *index, *epoch, random),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = ObjectKey> {
        let kind = prop_oneof![Just(ObjectKind::Chunk), Just(ObjectKind::Quarantined)];
        (kind, any::<i64>(), any::<u32>(), any::<u32>(), "[0-9a-zA-Z]{1,32}").prop_map(
            |(kind, job, index, epoch, random)| ObjectKey {
                kind,
                job: JobId(job),
                index: ChunkIndex(index),
                epoch: Epoch(epoch),
                random,
            },
        )
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(key in any_key()) {
            prop_assert_eq!(parse(&key.to_string()), Ok(key));
        }

        #[test]
        fn other_texts_are_no_keys_unless_they_are_written_the_same(text in "(traces|quarantine)?/?[0-9a-f/.+c-]{0,24}") {
            if let Ok(key) = parse(&text) {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn every_key_of_a_job_begins_with_its_prefix(key in any_key()) {
            let prefix = match key.kind {
                ObjectKind::Chunk => job_prefix(key.job),
                ObjectKind::Quarantined => quarantine_prefix(key.job),
            };
            prop_assert!(key.to_string().starts_with(&prefix));
            prop_assert!(prefix.ends_with('/'));
        }
    }

    /// These are in people's buckets: they never change.
    #[test]
    fn keys_are_written_as_ever() {
        let key = chunk_key(JobId(42), ChunkIndex(7), Epoch(2), "0f1e");
        assert_eq!(key, "traces/73/42/c/7-2-0f1e.zst");
        assert_eq!(quarantine_key(JobId(42), ChunkIndex(7), Epoch(2), "0f1e"), "quarantine/73/42/7-2-0f1e");
    }

    #[test]
    fn keys_of_others_are_told_apart() {
        for key in [
            "",
            "traces",
            "traces/73/42/c/7-2-.zst",
            "traces/73/42/c/07-2-0f1e.zst",
            "traces/00/42/c/7-2-0f1e.zst",
            "traces/73/42/c/7-2-0f1e.zst/more",
            "traces/73/42/a/2-0f1e.log.zst",
            "traces/73/42/c/7-2-0f1e",
            "traces/73/+42/c/7-2-0f1e.zst",
        ] {
            assert_eq!(parse(key), Err(ForeignKey(key.to_owned())));
        }
    }
}
