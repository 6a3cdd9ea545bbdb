//! The inventory: what the stores list against what the database names, both ways.
//!
//! A pass is cut into parts, and nodes take turns at them. A turn that came to its end is due again only with the next pass,
//! and one that did not is due at once: so the turns themselves remember how far a pass came. After a crash whoever asks
//! next goes on with what is left, and there is no cursor beside them that could say something else.

mod known;
mod listings;
mod live;
mod merge;
mod quarantine;
mod stored;

use std::fmt;
use std::time::Duration;

use futures::FutureExt as _;

use crate::store::Result;
use crate::store::database::verifications::RunFilter;
use crate::telemetry::verification as telemetry;
use crate::trace::{RunState, Schedule, Tally};

use super::Verifier;
use super::runs::Running;

/// Prefixes of the object store's keys in one part, of 256: after a crash at most so many are listed again.
const PREFIXES: u8 = 4;

/// A part of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Open mismatches of bytes that no row speaks for.
    Known,
    /// The copies below `PREFIXES` prefixes, from this one on, in the object store and in the database.
    Stored(u8),
    /// Bad copies that were kept.
    Quarantine,
    /// The live store.
    Live,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known => f.write_str("known"),
            Self::Stored(prefix) => write!(f, "{prefix:02x}"),
            Self::Quarantine => f.write_str("quarantine"),
            Self::Live => f.write_str("live"),
        }
    }
}

impl Part {
    fn all() -> Vec<Self> {
        let stored = (0..=u8::MAX).step_by(PREFIXES.into()).map(Self::Stored);
        [Self::Known, Self::Quarantine, Self::Live].into_iter().chain(stored).collect()
    }

    fn lease(self) -> String {
        format!("verify/inventory/{self}")
    }
}

/// What came of asking for a part.
enum Asked {
    Done,
    /// Another node has it, or had it in this pass; or it could not be done.
    Left,
    /// The run was stopped.
    Stopped,
}

impl Verifier {
    /// One tick: every part that is due and that no other node has. True if there was one.
    pub(super) async fn inventory(&self) -> Result<bool> {
        let mut run = None;
        let done = self.take_parts(&mut run).await;
        let Some(run) = run else { return done.map(|()| false) };
        let is_complete = run.end(done).await? == RunState::Complete;
        if is_complete {
            telemetry::completed(Schedule::Inventory, self.now());
        }
        Ok(true)
    }

    /// Takes up what a crash left of a pass, when a node starts: the schedule alone would come to it a pass later.
    pub async fn go_on(&self) -> Result<()> {
        let since = self.now().before(self.settings.inventory_interval);
        for state in [RunState::Running, RunState::Partial, RunState::Failed] {
            let newest = RunFilter { schedule: Some(Schedule::Inventory), state: Some(state), before: None, limit: 1 };
            if self.verifications().runs(newest).await?.iter().any(|run| run.started_at >= since) {
                self.tick(Schedule::Inventory).await?;
                break;
            }
        }
        Ok(())
    }

    async fn take_parts(&self, run: &mut Option<Running>) -> Result<()> {
        let mut parts = Part::all();
        // Each node begins somewhere else, so that they do not all ask for the same.
        let first = usize::try_from(self.node.seams().chance.bits() % parts.len() as u64).unwrap_or_default();
        parts.rotate_left(first);
        for is_last in [false, true] {
            let mut left = Vec::new();
            for part in parts {
                match self.take_part(part, run).await? {
                    Asked::Done => {}
                    Asked::Left => left.push(part),
                    Asked::Stopped => return Ok(()),
                }
            }
            if is_last || left.is_empty() || run.is_none() {
                break;
            }
            // Once more, by when the turn of a node has ended that died meanwhile.
            self.node.seams().clock.sleep(self.node.settings().lease_time).await;
            parts = left;
        }
        Ok(())
    }

    async fn take_part(&self, part: Part, run: &mut Option<Running>) -> Result<Asked> {
        let turns = self.node.take_turns_of(vec![part.lease()]).await?;
        if turns.is_empty() {
            return Ok(Asked::Left);
        }
        let run = match run {
            Some(run) => run,
            None => run.insert(self.begin(Schedule::Inventory, "what the stores list".to_owned(), None).await?),
        };
        // A little less than the interval, so that the next pass finds it due whatever the jitter.
        let next_pass = self.settings.inventory_interval.mul_f64(0.75);
        let next_in = |done: &Result<bool>| if matches!(done, Ok(true)) { next_pass } else { Duration::ZERO };
        let done = self.node.hold(&turns, next_in, self.look_over(part, run).boxed()).await;
        match done {
            Ok(true) => Ok(Asked::Done),
            Ok(false) => Ok(Asked::Stopped),
            Err(error) => {
                tracing::warn!(%error, "the inventory's part {part} could not be done");
                run.add(Tally { unreachable: 1, ..Tally::default() }).await?;
                Ok(Asked::Left)
            }
        }
    }

    /// False if the run is to stop.
    async fn look_over(&self, part: Part, run: &mut Running) -> Result<bool> {
        match part {
            Part::Known => self.look_over_known(run).await,
            Part::Stored(first) => self.look_over_stored(first..=first + (PREFIXES - 1), run).await,
            Part::Quarantine => self.look_over_quarantine(run).await,
            Part::Live => self.look_over_live(run).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_parts_are_all_prefixes_once_and_the_rest() {
        let parts = Part::all();
        let leases: BTreeSet<String> = parts.iter().map(|part| part.lease()).collect();
        assert_eq!(leases.len(), parts.len());
        let prefixes: Vec<u8> = parts
            .iter()
            .filter_map(|part| if let Part::Stored(first) = part { Some(*first) } else { None })
            .flat_map(|first| first..=first + (PREFIXES - 1))
            .collect();
        assert_eq!(prefixes, (0..=u8::MAX).collect::<Vec<_>>());
    }
}
