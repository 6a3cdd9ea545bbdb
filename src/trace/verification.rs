//! The words of verification: who runs when, how a run ended, and what it saw.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::ids::ByteSize;
use super::state::names;
use super::verdict::Look;

names! {
    /// What a run of the verifier is for.
    Schedule {
        /// The frequent run over what is live or fresh.
        Hot = "hot",
        /// The continuous, paced run over every persisted byte.
        Full = "full",
        /// The comparison of what the stores list with what the database names.
        Inventory = "inventory",
        /// A synthetic trace, damaged on purpose now and then.
        Canary = "canary",
        /// A person's command.
        Manual = "manual",
    }
}

names! {
    /// How far a run is.
    RunState {
        /// At work, or its node died: then another takes it for failed once it is silent for long enough.
        Running = "running",
        /// It looked at everything that it was for.
        Complete = "complete",
        /// It ended early, for want of time or because some of it could not be reached.
        Partial = "partial",
        /// It could not be done, or its node went away.
        Failed = "failed",
        /// Somebody stopped it.
        Stopped = "stopped",
    }
}

names! {
    /// What came of damage that was announced and done on purpose.
    Detection {
        /// It was found in time and named rightly.
        Found = "found",
        /// It was named rightly, and too late.
        Late = "late",
        /// It was not found.
        Missed = "missed",
        /// It was found, and named as something else or somewhere else.
        WrongLabel = "wrong_label",
    }
}

/// What looks have come to, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Tally {
    /// Chunks looked at, each with all its copies; in an inventory, things that a store or the database lists.
    pub chunks: u64,
    /// Copies looked at.
    pub looks: u64,
    /// Copies as recorded.
    pub sound: u64,
    /// Confirmed differences, new or known.
    pub differs: u64,
    /// Looks at something that changed meanwhile.
    pub moved: u64,
    /// Looks at a store that could not be asked.
    pub unreachable: u64,
    /// Differences that this run healed.
    pub repaired: u64,
    /// Bytes read from the stores.
    pub bytes: ByteSize,
}

impl Tally {
    /// Counts one look at a copy.
    pub fn count(&mut self, look: Look, read: ByteSize) {
        self.looks += 1;
        self.bytes = self.bytes + read;
        *match look {
            Look::Sound => &mut self.sound,
            Look::Differs(_) => &mut self.differs,
            Look::Moved => &mut self.moved,
            Look::Unreachable => &mut self.unreachable,
        } += 1;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.chunks += more.chunks;
        self.looks += more.looks;
        self.sound += more.sound;
        self.differs += more.differs;
        self.moved += more.moved;
        self.unreachable += more.unreachable;
        self.repaired += more.repaired;
        self.bytes = self.bytes + more.bytes;
    }
}
