//! What the simulated jobs say: text of build logs, the same for the same seed, and made before anything is measured.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::cli::demo::logs::{Flavour, log};

/// The logs of all jobs: one text that goes round and round; each job begins elsewhere in it.
pub(super) struct Content {
    /// The text, and its beginning once more, so that a patch is always one piece of it.
    text: Bytes,
    period: usize,
}

/// A quarter of the text. Odd, so that it goes round at another place of every chunk.
const PART: usize = 256 * 1024 + 1;
/// A piece for checksums, where patches are smaller.
const PIECE: usize = 64 * 1024;
/// How far apart two jobs begin: a prime.
const APART: u64 = 15_485_863;

impl Content {
    /// Patches of up to `patch` bytes can be taken from it without a copy.
    pub(super) fn new(seed: u64, patch: usize) -> Self {
        let patch = patch.max(PIECE);
        let flavours = [Flavour::Tests, Flavour::Compiles, Flavour::Pulls, Flavour::Deploys];
        let parts = (0..).zip(flavours).flat_map(|(part, flavour)| log(flavour, seed.wrapping_mul(4) + part, PART));
        let mut text: Vec<u8> = parts.collect();
        let period = text.len();
        while text.len() < period + patch {
            let more = (period + patch - text.len()).min(period);
            text.extend_from_within(..more);
        }
        Self { text: text.into(), period }
    }

    /// `size` bytes of a job's log from an offset on.
    pub(super) fn piece(&self, job: u64, at: u64, size: usize) -> Bytes {
        let begins = (job.wrapping_mul(APART) % self.period as u64 + at % self.period as u64) % self.period as u64;
        let begins = usize::try_from(begins).unwrap_or_default();
        self.text.slice(begins..begins + size)
    }

    /// The first `size` bytes of a job's log, a piece at a time.
    fn pieces(&self, job: u64, size: u64) -> impl Iterator<Item = Bytes> + '_ {
        let longest = (self.text.len() - self.period).max(1);
        let step = longest as u64;
        (0..size.div_ceil(step)).map(move |turn| {
            let left = usize::try_from(size - turn * step).unwrap_or(longest);
            self.piece(job, turn * step, left.min(longest))
        })
    }

    pub(super) fn crc32(&self, job: u64, size: u64) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.pieces(job, size).for_each(|piece| hasher.update(&piece));
        hasher.finalize()
    }

    pub(super) fn sha256(&self, job: u64, size: u64) -> [u8; 32] {
        let mut hasher = Sha256::new();
        self.pieces(job, size).for_each(|piece| hasher.update(&piece));
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_the_same_whatever_pieces_it_is_taken_in() {
        let content = Content::new(7, 3_000_000);
        let size = 3_000_000;
        let mut whole = Vec::new();
        while whole.len() < size {
            whole.extend_from_slice(&content.piece(5, whole.len() as u64, 4099.min(size - whole.len())));
        }
        assert!(content.piece(5, 0, size) == whole);
        for content in [&content, &Content::new(7, 1)] {
            assert_eq!(content.crc32(5, size as u64), crc32fast::hash(&whole));
            assert_eq!(content.sha256(5, size as u64), <[u8; 32]>::from(Sha256::digest(&whole)));
        }
        assert_ne!(content.piece(5, 0, 1000), content.piece(6, 0, 1000));
        assert_ne!(content.piece(5, 0, 100_000), Content::new(8, 100_000).piece(5, 0, 100_000));
    }
}
