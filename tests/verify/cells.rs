//! The matrix: kind x store x moment, out of the enums themselves. Each cell is run, or is here with the reason why not.

use std::fmt;

use veritail::trace::{DataStore, Kind};

use crate::case::{Case, Walk};
use crate::damage::{Column, Damage};
use crate::ground::Side;

/// How far the damaged chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It takes bytes: no record in the database, everything in the live store.
    Live,
    /// Full and recorded, not migrated.
    Sealed,
    /// Its copy is in the persistent store and was read back; the row does not name it yet.
    Migrating,
    /// The row names the copy; the live copy is still there.
    Persisted,
    /// The live copy is gone, the job runs.
    Released,
    /// The trace is over, the live copies are gone.
    Closed,
}

impl Moment {
    /// All of them, in the order of a chunk's life.
    pub const ALL: &'static [Self] =
        &[Self::Live, Self::Sealed, Self::Migrating, Self::Persisted, Self::Released, Self::Closed];

    fn has_live_copy(self) -> bool {
        self <= Self::Persisted
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// Why a cell is not run; `None`: it is.
pub fn reason(kind: Kind, store: DataStore, moment: Moment) -> Option<&'static str> {
    let is_live = matches!(store, DataStore::Redis | DataStore::Embedded);
    match kind {
        _ if store == DataStore::ArchiveMirror => Some("traces are not archived, so nothing has a mirror"),
        Kind::Orphan => Some("bytes that no row names are no copy of a chunk: the inventory finds them"),
        Kind::Gap => gap(is_live, moment),
        Kind::TraceChecksum | Kind::TraceSize if store != DataStore::Database => {
            Some("what the chunks of a trace add up to is the database's word")
        }
        Kind::TraceChecksum | Kind::TraceSize if moment != Moment::Closed => {
            Some("a trace has no proven whole before it closes")
        }
        Kind::Record if store != DataStore::Database => {
            Some("a wrong record is the database's, wherever the copy lies that shows it")
        }
        Kind::Record if moment == Moment::Live => Some("a chunk that takes bytes has no record in the database"),
        Kind::TraceChecksum | Kind::TraceSize | Kind::Record => None,
        Kind::Checksum | Kind::Size | Kind::Missing | Kind::StaleCopy | Kind::Undecodable if is_live => {
            live_copy(kind, moment)
        }
        Kind::Checksum | Kind::Size | Kind::Missing | Kind::StaleCopy | Kind::Undecodable => {
            persistent_copy(kind, store, moment)
        }
    }
}

fn gap(is_live: bool, moment: Moment) -> Option<&'static str> {
    match moment {
        _ if !is_live => Some("bytes without a record are in the live store alone"),
        Moment::Live => None,
        Moment::Closed => {
            Some("said too late by a node that was cut off: the sweep notes it (tests/properties/late.rs)")
        }
        _ => Some("a recorded chunk that is lost is missing; a gap is of bytes without a record"),
    }
}

fn live_copy(kind: Kind, moment: Moment) -> Option<&'static str> {
    match kind {
        Kind::Undecodable => Some("live copies are kept as they came"),
        _ if !moment.has_live_copy() => Some("there is no live copy any more"),
        Kind::StaleCopy if moment == Moment::Live => {
            Some("bytes and their checksum state lie side by side: those of an earlier epoch are a checksum or a size")
        }
        Kind::Missing if moment == Moment::Persisted => {
            Some("a proven chunk needs no live copy: it may go at any time")
        }
        _ => None,
    }
}

fn persistent_copy(kind: Kind, store: DataStore, moment: Moment) -> Option<&'static str> {
    match moment {
        Moment::Live | Moment::Sealed => Some("nothing of the chunk is there yet"),
        Moment::Migrating if kind == Kind::Undecodable => {
            Some("what is read back is decoded before a row can say that it was written so")
        }
        Moment::Migrating if kind == Kind::Missing && store == DataStore::Database => {
            Some("the statement that makes the row name bytes in the database asks for them")
        }
        _ => None,
    }
}

/// The ways in which a cell is damaged.
fn damages(kind: Kind, moment: Moment) -> Vec<Damage> {
    match kind {
        Kind::Orphan => Vec::new(),
        Kind::Gap => vec![Damage::OpenEnd],
        Kind::TraceChecksum => vec![Damage::WholeChecksum],
        Kind::TraceSize => vec![Damage::WholeSize, Damage::LastRow],
        Kind::Record if moment < Moment::Persisted => Column::OF_RECORD.iter().map(|of| Damage::Record(*of)).collect(),
        Kind::Record => Column::ALL.iter().map(|of| Damage::Record(*of)).collect(),
        Kind::Checksum | Kind::Size | Kind::Missing | Kind::StaleCopy | Kind::Undecodable => vec![Damage::Copy],
    }
}

/// Whether a walk looks at what shows this.
fn covers(walk: Walk, kind: Kind, moment: Moment) -> bool {
    match walk {
        Walk::Hot => !matches!(kind, Kind::TraceChecksum | Kind::TraceSize),
        Walk::Full => moment >= Moment::Persisted,
    }
}

/// Every case of these stores that this walk has to find.
pub fn cases(side: Side, walk: Walk) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, store, moment) in product() {
        let is_other_side = matches!(store, DataStore::Redis | DataStore::Embedded) && store != side.live();
        if reason(kind, store, moment).is_some() || is_other_side || !covers(walk, kind, moment) {
            continue;
        }
        for damage in damages(kind, moment) {
            // A runner that can send again leaves no gap.
            for resends in [true, false].into_iter().filter(|resends| kind != Kind::Gap || !resends) {
                cases.push(Case { kind, store, moment, damage, resends, walk, live: side.live() });
            }
        }
    }
    cases
}

fn product() -> impl Iterator<Item = (Kind, DataStore, Moment)> {
    let of_kind = |kind: Kind| DataStore::ALL.iter().map(move |store| (kind, *store));
    let pairs = Kind::ALL.iter().flat_map(move |kind| of_kind(*kind));
    pairs.flat_map(|(kind, store)| Moment::ALL.iter().map(move |moment| (kind, store, *moment)))
}

#[test]
fn every_cell_is_run_or_explained() {
    let sides = [Side::Embedded, Side::Production];
    let walks = [Walk::Hot, Walk::Full];
    let all: Vec<Case> = sides.iter().flat_map(|side| walks.iter().flat_map(move |walk| cases(*side, *walk))).collect();
    let (mut run, mut explained) = (0, 0);
    for (kind, store, moment) in product() {
        let of_cell = all.iter().filter(|case| (case.kind, case.store, case.moment) == (kind, store, moment)).count();
        match reason(kind, store, moment) {
            Some(reason) => {
                explained += 1;
                println!("{kind} in {store}, {moment}: {reason}");
                assert_eq!(of_cell, 0, "{kind} in {store}, {moment}: explained, and run");
            }
            None => {
                run += 1;
                assert!(of_cell > 0, "{kind} in {store}, {moment}: neither run nor explained");
            }
        }
    }
    println!("{run} cells are run, in {} cases; {explained} are explained", all.len());
    assert_eq!(run + explained, Kind::ALL.len() * DataStore::ALL.len() * Moment::ALL.len());
}
