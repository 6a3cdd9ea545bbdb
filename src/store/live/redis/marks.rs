//! Marks: how a server that lost its last writes is known.
//!
//! Each process keeps a number of its own on every master and raises it every second. A master that answers a smaller
//! number than it acknowledged, or none, came back without its last writes: a restart without them, a replica that was
//! behind, a `FLUSHALL`. Nobody else writes the number, so several processes do not disturb each other; and what a
//! process does not remember, because it has just started, it does not miss. What was lost within the last second may
//! escape this; the appends and the sweep find it by the bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use super::cluster::{self, SLOTS};
use super::node::Introduction;

/// A mark that nobody raises any more goes after that time: a process that ended leaves nothing behind.
pub(super) const STAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How a master came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackKind {
    /// Without anything of it.
    Empty,
    /// With an older state.
    Younger,
}

/// A master that holds less than it acknowledged.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// What it holds.
    pub kind: RollbackKind,
    /// Where it is.
    pub master: String,
    acknowledged: u64,
    found: Option<u64>,
    before: Introduction,
    now: Introduction,
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged mark {} and ", self.master, self.acknowledged)?;
        match self.found {
            Some(found) => write!(f, "has {found}")?,
            None => f.write_str("has none")?,
        }
        let same =
            |before: &str, now: &str| if before == now { "the same".to_owned() } else { format!("{before} -> {now}") };
        let run = same(&self.before.run_id, &self.now.run_id);
        let replication = same(&self.before.replication_id, &self.now.replication_id);
        write!(f, " (run_id {run}, master_replid {replication})")
    }
}

/// What one process remembers of its marks, by the slot they are in.
#[derive(Default)]
pub(super) struct Marks(BTreeMap<u16, Mark>);

struct Mark {
    /// The greatest number that the master acknowledged; `None` before the first.
    acknowledged: Option<u64>,
    /// The greatest number that was sent. Its answer may be lost and the number still be there.
    sent: u64,
    introduction: Introduction,
}

impl Marks {
    /// The number to send next.
    pub(super) fn raise(&mut self, slot: u16) -> u64 {
        let new = || Mark { acknowledged: None, sent: 0, introduction: Introduction::default() };
        let mark = self.0.entry(slot).or_insert_with(new);
        mark.sent += 1;
        mark.sent
    }

    /// Takes the answer: `found` is what the mark was before `sent` took its place.
    pub(super) fn answered(
        &mut self,
        slot: u16,
        master: &str,
        sent: u64,
        found: Option<u64>,
        now: Introduction,
    ) -> Option<Rollback> {
        let mark = self.0.get_mut(&slot)?;
        let before = std::mem::replace(&mut mark.introduction, now.clone());
        let acknowledged = mark.acknowledged.replace(sent)?;
        let kind = match found {
            None => RollbackKind::Empty,
            Some(found) if found < acknowledged => RollbackKind::Younger,
            Some(_) => return None,
        };
        Some(Rollback { kind, master: master.to_owned(), acknowledged, found, before, now })
    }

    /// Forgets marks that are not raised any more: they expire.
    pub(super) fn keep(&mut self, slots: &[u16]) {
        self.0.retain(|slot, _| slots.contains(slot));
    }
}

/// The hash tag of the marks in a slot.
pub(super) fn tag(slot: u16) -> String {
    static TAGS: OnceLock<Vec<Option<u32>>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        // About ten times as many as there are slots; a few hundred thousand short checksums, once.
        let mut tags = vec![None; usize::from(SLOTS)];
        let mut left = tags.len();
        for number in 0u32.. {
            let place = &mut tags[usize::from(cluster::slot(&number_tag(number)))];
            if place.is_none() {
                *place = Some(number);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        tags
    });
    number_tag(tags.get(usize::from(slot)).copied().flatten().unwrap_or_default())
}

/// Not a number: a job's tag is one.
fn number_tag(number: u32) -> String {
    format!("m{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(found: &[(bool, Option<u64>)]) -> Vec<Option<RollbackKind>> {
        let mut marks = Marks::default();
        let mut kinds = Vec::new();
        for (answered, found) in found {
            let sent = marks.raise(7);
            if *answered {
                let rollback = marks.answered(7, "a:1", sent, *found, Introduction::default());
                kinds.push(rollback.map(|rollback| rollback.kind));
            }
        }
        kinds
    }

    #[test]
    fn tags_are_in_their_slots() {
        for slot in [0, 1, 5460, 5461, 16383] {
            assert_eq!(cluster::slot(&tag(slot)), slot);
        }
    }

    #[test]
    fn first_start_and_steady_state_are_no_rollbacks() {
        assert_eq!(kinds(&[(true, None), (true, Some(1)), (true, Some(2))]), [None; 3]);
        // Of an earlier life of this process under the same name, were there one.
        assert_eq!(kinds(&[(true, Some(9)), (true, Some(1))]), [None; 2]);
    }

    #[test]
    fn lost_answer_is_no_rollback_whether_or_not_the_number_got_in() {
        assert_eq!(kinds(&[(true, None), (false, None), (true, Some(1))]), [None; 2]);
        assert_eq!(kinds(&[(true, None), (false, None), (true, Some(2))]), [None; 2]);
    }

    #[test]
    fn empty_and_younger_are_told_once() {
        let empty = [(true, None), (true, Some(1)), (true, None), (true, Some(3))];
        assert_eq!(kinds(&empty), [None, None, Some(RollbackKind::Empty), None]);
        let younger = [(true, None), (true, Some(1)), (true, Some(1)), (true, Some(3))];
        assert_eq!(kinds(&younger), [None, None, Some(RollbackKind::Younger), None]);
    }
}
