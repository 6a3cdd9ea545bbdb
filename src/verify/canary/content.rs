//! What the canary says: known from its job's number alone, so that any node can tell, at any time, whether it was kept.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::trace::{JobId, Sha256};

/// The size of its log in bytes: two chunks and a part.
pub(super) const SIZE: u32 = 40_000;

/// The log of a job. No line is in it twice, nor in that of another job: bytes at the wrong place show.
pub(super) fn of(job: JobId) -> Bytes {
    let size = SIZE as usize;
    let mut text = String::with_capacity(size + 128);
    let mut line = 0u32;
    while text.len() < size {
        let noise = Sha256::of(format!("{job} {line}").as_bytes());
        // Writing to a string does not fail.
        let _ = writeln!(text, "canary {job} line {line:05} {noise}");
        line += 1;
    }
    text.truncate(size);
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_log_is_always_the_same_and_no_two_are_alike() {
        let log = of(JobId(7));
        assert_eq!((log.len(), &log), (SIZE as usize, &of(JobId(7))));
        let text = [of(JobId(7)), of(JobId(8))].concat();
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
    }
}
