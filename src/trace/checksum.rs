//! CRC-32 and SHA-256: of a chunk as it grows, of a whole trace from its chunks.
//!
//! A chunk's checksums are computed from the bytes of the requests that bring it, never from a copy that was read back
//! (guarantee 1). Between two requests the unfinished computation, the *midstate*, rests in the live store beside the
//! bytes, so that any node can go on with it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use utoipa::ToSchema;

use super::chunks::ChunkSize;
use super::ids::ByteSize;

/// Without optimization the lanes are slower by far than one after the other: only tests of this crate go through them then.
#[cfg(target_arch = "x86_64")]
const IS_OPTIMIZED: bool = cfg!(any(test, not(debug_assertions)));

/// CRC-32/IEEE, the checksum that CI runners compute over their whole log. Shown as 8 lower-case hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{8}$", example = "ed82cd11")]
pub struct Crc32(pub u32);

/// SHA-256. Shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct Sha256(pub [u8; 32]);

impl Crc32 {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32fast::hash(bytes))
    }

    /// The checksum of what this one covers followed by `size` bytes with the checksum `next`.
    pub fn then(self, next: Self, size: ByteSize) -> Self {
        let mut whole = crc32fast::Hasher::new_with_initial(self.0);
        whole.combine(&crc32fast::Hasher::new_with_initial_len(next.0, size.0));
        Self(whole.finalize())
    }
}

impl Sha256 {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The checksum of each: several at a time where the processor can and it is faster.
    pub fn of_each(parts: &[&[u8]]) -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        if IS_OPTIMIZED
            && parts.len() > 1
            && let Some(lanes) = super::lanes::Lanes::trusted()
        {
            return lanes.sha256_of_each(parts).into_iter().map(Self).collect();
        }
        parts.iter().map(|part| Self::of(part)).collect()
    }

    /// Whether [`of_each`](Self::of_each) is faster than one after the other. In tests, and in a build that is not optimized, it
    /// always says so: what depends on it is tested there, on any processor.
    pub fn goes_together() -> bool {
        #[cfg(target_arch = "x86_64")]
        if super::lanes::Lanes::trusted().is_some() {
            return true;
        }
        cfg!(any(test, debug_assertions))
    }
}

impl fmt::Display for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Crc32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Crc32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Crc32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(de::Error::custom)?;
        Ok(Self(digest))
    }
}

/// What Veritail promised about a chunk: its size and checksums, computed at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Bytes in the chunk.
    pub size: ByteSize,
    /// CRC-32 of these bytes.
    pub crc32: Crc32,
    /// SHA-256 of these bytes.
    pub sha256: Sha256,
}

impl Record {
    /// The record of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::knowing(Sha256::of(bytes), bytes)
    }

    /// The record of `bytes` that have this SHA-256.
    pub fn knowing(sha256: Sha256, bytes: &[u8]) -> Self {
        Self { size: ByteSize::of(bytes), crc32: Crc32::of(bytes), sha256 }
    }
}

/// Bytes as they lie in a store, without saying what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Their size.
    pub size: ByteSize,
    /// Their SHA-256.
    pub sha256: Sha256,
}

impl Stored {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::knowing(Sha256::of(bytes), bytes)
    }

    /// Of these bytes, which have this SHA-256.
    pub fn knowing(sha256: Sha256, bytes: &[u8]) -> Self {
        Self { size: ByteSize::of(bytes), sha256 }
    }
}

/// The CRC-32 and size of a whole trace, combined from its chunks' records in order.
pub fn combine<'a>(records: impl IntoIterator<Item = &'a Record>) -> (ByteSize, Crc32) {
    records.into_iter().fold((ByteSize::ZERO, Crc32::default()), |(size, crc32), next| {
        (size + next.size, crc32.then(next.crc32, next.size))
    })
}

/// The computation of a [`Record`] between two appends, as bytes that any node can go on from.
///
/// Cheap to clone. Layout: format byte 2, CRC-32 (4 bytes, big-endian), size (8 bytes, big-endian), then SHA-256's serialised
/// state without the unused end of its buffer: every open trace is remembered and sent around with it. Format 1, which is still
/// read, has the whole of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Midstate(Arc<[u8]>);

/// A midstate that this version of Veritail cannot go on from; the chunk has to begin again.
#[derive(Debug, thiserror::Error)]
#[error("checksum state has an unknown format or is damaged")]
pub struct UnreadableMidstate;

impl Midstate {
    const WHOLE: u8 = 1;
    const FORMAT: u8 = 2;
    const HEAD: usize = 1 + 4 + 8;
    /// The most that it takes.
    const SIZE: usize = Self::HEAD + size_of::<SerializedState<sha2::Sha256>>();
    /// SHA-256's serialised state begins with 32 bytes of hash, the count of whole blocks (8 bytes, little-endian), and the count
    /// of bytes behind them (1 byte); those bytes follow.
    const COUNT: usize = 32 + 8;

    /// The midstate of no bytes.
    pub fn empty() -> Self {
        Self::pack(0, 0, &sha2::Sha256::new())
    }

    /// The midstate after `bytes` more.
    pub fn absorb(&self, bytes: &[u8]) -> Result<Self, UnreadableMidstate> {
        let (crc32, size, mut sha256) = self.unpack()?;
        let mut crc = crc32fast::Hasher::new_with_initial_len(crc32, size);
        crc.update(bytes);
        sha256.update(bytes);
        Ok(Self::pack(crc.finalize(), size + bytes.len() as u64, &sha256))
    }

    /// The record of what was absorbed so far.
    pub fn record(&self) -> Result<Record, UnreadableMidstate> {
        let (crc32, size, sha256) = self.unpack()?;
        Ok(Record { size: ByteSize(size), crc32: Crc32(crc32), sha256: Sha256(sha256.finalize().into()) })
    }

    fn pack(crc32: u32, size: u64, sha256: &sha2::Sha256) -> Self {
        let (mut packed, state) = ([0; Self::SIZE], sha256.serialize());
        packed[0] = Self::FORMAT;
        packed[1..5].copy_from_slice(&crc32.to_be_bytes());
        packed[5..Self::HEAD].copy_from_slice(&size.to_be_bytes());
        packed[Self::HEAD..].copy_from_slice(&state);
        let used = Self::HEAD + Self::used(&state).expect("SHA-256 counts the bytes in its own buffer");
        Self(packed[..used].into())
    }

    /// How much of SHA-256's serialised state is not the unused end of its buffer.
    fn used(state: &[u8]) -> Option<usize> {
        Some(Self::COUNT + 1 + usize::from(*state.get(Self::COUNT)?))
    }

    /// How many bytes SHA-256's serialised state says it absorbed. Damage there would give another digest, or a count that
    /// overflows when the digest is finished.
    fn sha256_size(state: &[u8]) -> Option<u64> {
        const BLOCK: u64 = 64;
        let blocks = u64::from_le_bytes(state.get(32..Self::COUNT)?.try_into().ok()?);
        blocks.checked_mul(BLOCK)?.checked_add((*state.get(Self::COUNT)?).into())
    }

    fn unpack(&self) -> Result<(u32, u64, sha2::Sha256), UnreadableMidstate> {
        let (head, rest) = self.0.split_at_checked(Self::HEAD).ok_or(UnreadableMidstate)?;
        let crc32 = u32::from_be_bytes(head[1..5].try_into().map_err(|_| UnreadableMidstate)?);
        let size = u64::from_be_bytes(head[5..13].try_into().map_err(|_| UnreadableMidstate)?);
        if Self::sha256_size(rest) != Some(size) || size > ChunkSize::MAX.into() {
            return Err(UnreadableMidstate);
        }
        let mut state = SerializedState::<sha2::Sha256>::default();
        let is_complete = match head[0] {
            Self::FORMAT => Self::used(rest) == Some(rest.len()),
            // That its unused end is zeros is asked when it is deserialised.
            Self::WHOLE => rest.len() == state.len(),
            _ => false,
        };
        let written = state.get_mut(..rest.len()).filter(|_| is_complete).ok_or(UnreadableMidstate)?;
        written.copy_from_slice(rest);
        let sha256 = sha2::Sha256::deserialize(&state).map_err(|_| UnreadableMidstate)?;
        Ok((crc32, size, sha256))
    }
}

impl fmt::Debug for Midstate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record() {
            Ok(record) => write!(f, "Midstate({} bytes, {})", record.size, record.crc32),
            Err(_) => f.write_str("Midstate(unreadable)"),
        }
    }
}

impl Serialize for Midstate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // On the way of every append: without an allocation where it is of this version.
        let mut buffer = [0; 2 * Self::SIZE];
        let text = buffer.get_mut(..2 * self.0.len());
        let text = text.and_then(|text| hex::encode_to_slice(&self.0, text).ok().map(|()| &*text));
        match text.and_then(|text| std::str::from_utf8(text).ok()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&hex::encode(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for Midstate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(|packed| Self(packed.into())).map_err(de::Error::custom)
    }
}
