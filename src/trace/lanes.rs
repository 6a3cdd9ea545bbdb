//! SHA-256 of several byte strings at a time, each in a lane of its own of wide registers (FIPS 180-4, section 6.2).
//!
//! The steps of one SHA-256 wait for one another, in a processor's instructions for it too. Those of eight do not.
#![allow(clippy::needless_range_loop, reason = "see `Compress`")]

use std::arch::x86_64::__m256i;
use std::sync::OnceLock;

use pulp::NullaryFnOnce;
use pulp::x86::V4;
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

const LANES: usize = 8;
/// Fewer at a time are faster one after the other.
const WORTH_IT: usize = 6;

type Block = [u8; 64];
type Vector = __m256i;

/// Registers of 32 bytes with the instructions of AVX-512 (AVX-512VL).
#[derive(Clone, Copy)]
pub(super) struct Lanes(V4);

impl Lanes {
    /// Those of this processor, if it has any and they compute what `sha2` does here. That is looked at once.
    pub(super) fn trusted() -> Option<Self> {
        static TRUSTED: OnceLock<Option<Lanes>> = OnceLock::new();
        *TRUSTED.get_or_init(|| Self::of_this_processor().filter(|lanes| lanes.are_right()))
    }

    fn of_this_processor() -> Option<Self> {
        V4::try_new().map(Self)
    }

    /// One and two blocks of padding, and with and without whole blocks before them; more than there are lanes.
    fn are_right(self) -> bool {
        let bytes: Vec<u8> = (0..=255).cycle().take(24 * 23).collect();
        let parts: Vec<&[u8]> = (0..24).map(|count| &bytes[..count * 23]).collect();
        self.sha256_of_each(&parts).iter().zip(parts).all(|(digest, part)| *digest == Sha256::digest(part)[..])
    }

    /// The SHA-256 of each.
    pub(super) fn sha256_of_each(self, parts: &[&[u8]]) -> Vec<[u8; 32]> {
        let messages: Vec<Message<'_>> = parts.iter().map(|part| Message::of(part)).collect();
        // The longest first: the last lanes to be filled then end at about the same time.
        let mut longest_first: Vec<usize> = (0..messages.len()).collect();
        longest_first.sort_by_key(|&message| std::cmp::Reverse(parts[message].len()));
        let mut waiting = longest_first.into_iter();

        let mut digests = vec![[0; 32]; messages.len()];
        let mut lanes: [Option<Lane>; LANES] = [None; LANES];
        let mut state = [[0; LANES]; 8];
        loop {
            for (at, lane) in lanes.iter_mut().enumerate() {
                if lane.is_none()
                    && let Some(message) = waiting.next()
                {
                    *lane = Some(Lane { message, begin: 0 });
                    set(&mut state, at, INITIAL);
                }
            }
            let rest = lanes.map(|lane| lane.map(|lane| messages[lane.message].blocks_from(lane.begin)));
            let filled = rest.iter().flatten();
            let Some(shortest) =
                filled.clone().min_by_key(|blocks| blocks.len()).filter(|_| filled.count() >= WORTH_IT)
            else {
                break;
            };
            let count = shortest.len();
            // A lane that is not filled goes along with another's blocks.
            let blocks = rest.map(|blocks| &blocks.unwrap_or(shortest)[..count]);
            self.0.vectorize(Compress { simd: self.0, state: &mut state, blocks });
            for (at, lane) in lanes.iter_mut().enumerate() {
                let Some(Lane { message, begin }) = lane else { continue };
                *begin += count;
                if messages[*message].blocks_from(*begin).is_empty() {
                    digests[*message] = digest(get(&state, at));
                    *lane = None;
                }
            }
        }
        for (at, lane) in lanes.into_iter().enumerate() {
            let Some(Lane { message, mut begin }) = lane else { continue };
            let mut state = get(&state, at);
            while let blocks @ [_, ..] = messages[message].blocks_from(begin) {
                compress256(&mut state, blocks);
                begin += blocks.len();
            }
            digests[message] = digest(state);
        }
        digests
    }
}

/// What is hashed in a lane, and how many of its blocks were.
#[derive(Clone, Copy)]
struct Lane {
    message: usize,
    begin: usize,
}

/// A byte string with its padding: whole blocks, and one or two behind them (section 5.1.1).
struct Message<'a> {
    blocks: &'a [Block],
    last: [Block; 2],
    last_count: usize,
}

impl<'a> Message<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks();
        let mut padded = [0; 128];
        padded[..rest.len()].copy_from_slice(rest);
        padded[rest.len()] = 0x80;
        let last_count = if rest.len() < 56 { 1 } else { 2 };
        padded[last_count * 64 - 8..last_count * 64].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
        let mut last = [[0; 64]; 2];
        last.as_flattened_mut().copy_from_slice(&padded);
        Self { blocks, last, last_count }
    }

    /// Blocks that follow each other from this one on, some or all; none at the end.
    fn blocks_from(&self, begin: usize) -> &[Block] {
        match self.blocks.get(begin..) {
            Some(blocks @ [_, ..]) => blocks,
            _ => &self.last[begin - self.blocks.len()..self.last_count],
        }
    }
}

/// A word of the state in all lanes, for each of the eight words.
type State = [[u32; LANES]; 8];

fn set(state: &mut State, lane: usize, words: [u32; 8]) {
    for (word, value) in state.iter_mut().zip(words) {
        word[lane] = value;
    }
}

fn get(state: &State, lane: usize) -> [u32; 8] {
    state.map(|word| word[lane])
}

fn digest(state: [u32; 8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    digest
}

/// Takes blocks into the state, as many in each lane.
///
/// From here on loops count, and nothing is handed to functions of the standard library: what is not inlined here is compiled
/// without the instructions, and many times slower.
struct Compress<'a> {
    simd: V4,
    state: &'a mut State,
    blocks: [&'a [Block]; LANES],
}

impl NullaryFnOnce for Compress<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, state, blocks } = self;
        let mut vectors = [pulp::cast(state[0]); 8];
        for word in 0..8 {
            vectors[word] = pulp::cast(state[word]);
        }
        for at in 0..blocks[0].len() {
            compress(simd, &mut vectors, &blocks, at);
        }
        for word in 0..8 {
            state[word] = pulp::cast(vectors[word]);
        }
    }
}

/// The block at a place, in each lane (section 6.2.2).
#[inline(always)]
fn compress(simd: V4, state: &mut [Vector; 8], blocks: &[&[Block]; LANES], at: usize) {
    let (avx, avx2, avx512) = (simd.avx, simd.avx2, simd.avx512vl);
    let add = |a, b| avx2._mm256_add_epi32(a, b);
    let xor3 = |a, b, c| avx512._mm256_ternarylogic_epi32::<0b1001_0110>(a, b, c);
    let choose = |e, f, g| avx512._mm256_ternarylogic_epi32::<0b1100_1010>(e, f, g);
    let majority = |a, b, c| avx512._mm256_ternarylogic_epi32::<0b1110_1000>(a, b, c);
    macro_rules! right {
        (rotate $by:literal $word:expr) => {
            avx512._mm256_ror_epi32::<$by>($word)
        };
        (shift $by:literal $word:expr) => {
            avx2._mm256_srli_epi32::<$by>($word)
        };
    }
    let mut schedule = words(simd, blocks, at);
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for round in 0..4 {
        for t in 0..16 {
            if round > 0 {
                let (two, fifteen) = (schedule[(t + 14) % 16], schedule[(t + 1) % 16]);
                let small_0 = xor3(right!(rotate 7 fifteen), right!(rotate 18 fifteen), right!(shift 3 fifteen));
                let small_1 = xor3(right!(rotate 17 two), right!(rotate 19 two), right!(shift 10 two));
                schedule[t] = add(add(schedule[t], small_0), add(schedule[(t + 9) % 16], small_1));
            }
            let constant = avx._mm256_set1_epi32(ROUNDS[16 * round + t].cast_signed());
            let big_1 = xor3(right!(rotate 6 e), right!(rotate 11 e), right!(rotate 25 e));
            let t1 = add(add(add(h, big_1), add(choose(e, f, g), constant)), schedule[t]);
            let big_0 = xor3(right!(rotate 2 a), right!(rotate 13 a), right!(rotate 22 a));
            let t2 = add(big_0, majority(a, b, c));
            (h, g, f, e) = (g, f, e, add(d, t1));
            (d, c, b, a) = (c, b, a, add(t1, t2));
        }
    }
    let by = [a, b, c, d, e, f, g, h];
    for word in 0..8 {
        state[word] = add(state[word], by[word]);
    }
}

/// The words of the block at a place, which are big-endian, each of all lanes.
#[inline(always)]
fn words(simd: V4, blocks: &[&[Block]; LANES], at: usize) -> [Vector; 16] {
    let avx2 = simd.avx2;
    let swapped: Vector = pulp::cast(SWAPPED);
    let mut words = [swapped; 16];
    for half in 0..2 {
        let mut rows = [swapped; 8];
        for lane in 0..LANES {
            let (halves, _) = blocks[lane][at].as_chunks::<32>();
            rows[lane] = avx2._mm256_shuffle_epi8(pulp::cast(halves[half]), swapped);
        }
        let columns = transposed(simd, rows);
        for word in 0..8 {
            words[8 * half + word] = columns[word];
        }
    }
    words
}

/// Rows become columns.
#[inline(always)]
fn transposed(simd: V4, rows: [Vector; 8]) -> [Vector; 8] {
    let avx2 = simd.avx2;
    // Within the half of a register: words of two rows beside each other, then of four.
    let mut two = rows;
    for i in [0, 2, 4, 6] {
        two[i] = avx2._mm256_unpacklo_epi32(rows[i], rows[i + 1]);
        two[i + 1] = avx2._mm256_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut four = two;
    for i in [0, 4] {
        four[i] = avx2._mm256_unpacklo_epi64(two[i], two[i + 2]);
        four[i + 1] = avx2._mm256_unpackhi_epi64(two[i], two[i + 2]);
        four[i + 2] = avx2._mm256_unpacklo_epi64(two[i + 1], two[i + 3]);
        four[i + 3] = avx2._mm256_unpackhi_epi64(two[i + 1], two[i + 3]);
    }
    let mut columns = four;
    for i in 0..4 {
        columns[i] = avx2._mm256_permute2x128_si256::<0x20>(four[i], four[i + 4]);
        columns[i + 4] = avx2._mm256_permute2x128_si256::<0x31>(four[i], four[i + 4]);
    }
    columns
}

/// Where each byte is from in a register whose words change their order of bytes.
const SWAPPED: [u8; 32] = {
    let mut from = [0; 32];
    let mut at = 0;
    while at < 32 {
        #[allow(clippy::cast_possible_truncation, reason = "below 16")]
        let byte = ((at % 16) ^ 3) as u8;
        from[at] = byte;
        at += 1;
    }
    from
};

/// Section 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Section 4.2.2.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one_by_one(parts: &[&[u8]]) -> Vec<[u8; 32]> {
        parts.iter().map(|part| Sha256::digest(part).into()).collect()
    }

    proptest! {
        /// Of all lengths around the ends of blocks, more and fewer than there are lanes.
        #[test]
        fn each_is_as_by_itself(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..24)) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            if let Some(lanes) = Lanes::of_this_processor() {
                prop_assert_eq!(lanes.sha256_of_each(&parts), one_by_one(&parts));
            }
        }
    }

    #[test]
    fn lanes_are_trusted_where_there_are_any() {
        assert_eq!(Lanes::trusted().is_some(), Lanes::of_this_processor().is_some());
    }

    #[test]
    fn every_length_is_padded_as_it_should_be() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
        let parts: Vec<&[u8]> = (0..300).map(|length| &bytes[..length]).collect();
        if let Some(lanes) = Lanes::of_this_processor() {
            assert_eq!(lanes.sha256_of_each(&parts), one_by_one(&parts));
        }
    }

    #[test]
    fn a_long_one_among_short_ones_is_finished_by_itself() {
        let long: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let parts = [&b"a"[..], b"b", b"", b"d", b"e", &long, b"g", b"h", b"i"];
        if let Some(lanes) = Lanes::of_this_processor() {
            assert_eq!(lanes.sha256_of_each(&parts), one_by_one(&parts));
        }
    }
}
