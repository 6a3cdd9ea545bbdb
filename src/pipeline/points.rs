//! The fail points: a name for every place between two durable steps. The crash tests die at each of them.

/// The row of the chunk exists, no byte of it does.
pub const ROW_INSERTED: &str = "open.row_inserted";
/// Bytes and open end are in the live store, nothing was acknowledged.
pub const COMMITTED: &str = "append.committed";
/// A full chunk's record is in the database.
pub const RECORDED: &str = "append.recorded";
/// The object is written under its new key; no row names it.
pub const PUT: &str = "migrate.put";
/// The object was read back and equals the record; no row names it.
pub const READ_BACK: &str = "migrate.read_back";
/// The row names the object; the live copy does not expire yet.
pub const FLIPPED: &str = "migrate.flipped";
/// The live copy is expiring.
pub const RELEASED: &str = "migrate.released";
/// The database has the new epoch, the live store has not.
pub const RAISED: &str = "rewind.raised";
/// The live store has the new epoch, the database does not know that.
pub const INSTALLED: &str = "rewind.installed";
/// The ending is in the database, the live store still takes appends.
pub const CLAIMED: &str = "finalize.claimed";
/// The last chunk is sealed in the live store only.
pub const SEALED: &str = "finalize.sealed";
/// All records are in the database.
pub const ALL_RECORDED: &str = "finalize.recorded";
/// The trace is open again in the database, not in the live store.
pub const REOPENED: &str = "finalize.reopened";
/// The verdict is known and not written.
pub const DECIDED: &str = "close.decided";
/// The trace is closed in the database, its live entry is still there.
pub const CLOSED: &str = "close.closed";
/// The live entry is a tombstone.
pub const BURIED: &str = "close.buried";

/// The trace is erased in the database, its copies are still there.
pub const ERASED: &str = "erase.erased";

/// All of them.
pub const ALL: &[&str] = &[
    ROW_INSERTED,
    COMMITTED,
    RECORDED,
    PUT,
    READ_BACK,
    FLIPPED,
    RELEASED,
    RAISED,
    INSTALLED,
    CLAIMED,
    SEALED,
    ALL_RECORDED,
    REOPENED,
    DECIDED,
    CLOSED,
    BURIED,
    ERASED,
];
