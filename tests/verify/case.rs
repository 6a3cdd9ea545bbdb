//! One case of the matrix: what is damaged, who has to find it, and how it has to end.

use std::fmt;

use veritail::store::database::Resolution;
use veritail::trace::{ChunkIndex, DataStore, Detector, Kind};

use crate::cells::Moment;
use crate::damage::Damage;
use crate::ground::{Keeps, Place};

/// Which of the verifier's walks looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// One tick of it.
    Hot,
    /// One cycle of it.
    Full,
}

/// One job that is damaged once.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub store: DataStore,
    pub moment: Moment,
    pub damage: Damage,
    /// Whether its runner can send its log again.
    pub resends: bool,
    pub walk: Walk,
    /// The live store's name on this side.
    pub live: DataStore,
}

/// How a mismatch ends.
pub type Ends = Option<Resolution>;

impl Case {
    /// Which chunk is damaged.
    pub fn chunk(&self) -> ChunkIndex {
        ChunkIndex(u32::from(self.moment == Moment::Live))
    }

    /// A copy, or rows about it.
    pub fn is_of_copy(&self) -> bool {
        matches!(self.damage, Damage::Copy)
    }

    /// Where the job's chunks have to be kept, and how far they get.
    pub fn place(&self) -> Place {
        let keeps = if self.is_of_copy() && self.store == DataStore::Database {
            Keeps::InDatabase
        } else {
            Keeps::InObjectStore
        };
        match self.moment {
            Moment::Live | Moment::Sealed => Place::Rests,
            // What nobody looks at before the row names it is looked at once it does.
            Moment::Migrating if self.is_of_copy() && self.store != self.live => Place::PausesUntilDamaged(keeps),
            Moment::Migrating => Place::Pauses,
            Moment::Persisted | Moment::Released | Moment::Closed => Place::Moves(keeps),
        }
    }

    /// What has to be found: chunk, kind, store, and who finds it.
    pub fn found(&self) -> (Option<ChunkIndex>, Kind, DataStore, Detector) {
        let is_whole = matches!(self.kind, Kind::TraceChecksum | Kind::TraceSize);
        let detector = match (self.kind, self.walk) {
            // The runner goes on at an offset that is not there any more.
            (Kind::Gap, _) => Detector::Append,
            (_, Walk::Hot) => Detector::Hot,
            (_, Walk::Full) => Detector::Full,
        };
        ((!is_whole).then(|| self.chunk()), self.kind, self.store, detector)
    }

    /// The same as [`found`](Self::found), or by the node that keeps chunks in the database: now and then it tries whether
    /// the object store takes one of them again, and looks at it first.
    pub fn may_be(&self, found: (Option<ChunkIndex>, Kind, DataStore, Detector)) -> bool {
        let (chunk, kind, store, detector) = self.found();
        let tries = Place::Moves(Keeps::InDatabase) == self.place() && found.3 == Detector::Migrate;
        found == (chunk, kind, store, if tries { Detector::Migrate } else { detector })
    }

    /// How it ends: healed from a good copy, sent again, or open.
    pub fn ends(&self) -> Ends {
        let by_runner = (self.resends && self.moment != Moment::Closed).then_some(Resolution::Resent);
        match self.damage {
            Damage::Record(column) if column.is_of_stored_bytes() => Some(Resolution::Repaired),
            Damage::Record(_) => by_runner,
            Damage::Copy if self.store == self.live => match self.moment {
                Moment::Live | Moment::Sealed => by_runner,
                _ => Some(Resolution::Repaired),
            },
            // The live copy is still there.
            Damage::Copy if self.moment <= Moment::Persisted => Some(Resolution::Repaired),
            Damage::Copy => by_runner,
            Damage::WholeChecksum | Damage::WholeSize | Damage::LastRow | Damage::OpenEnd => None,
        }
    }

    /// What is found besides, once the job goes on: a client that cannot send again goes on behind the lost open chunk.
    pub fn leaves_gap(&self) -> bool {
        self.moment == Moment::Live && self.kind != Kind::Gap && !self.resends
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, store, moment, damage, resends, walk, .. } = self;
        let runner = if *resends { "sends again" } else { "cannot send again" };
        write!(f, "{kind} in {store}, {moment}, by {damage:?}, runner {runner}, {walk:?}")
    }
}
