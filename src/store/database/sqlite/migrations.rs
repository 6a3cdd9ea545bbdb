//! The tables, version by version, compiled into the program.

use sqlx::sqlite::SqlitePool;

use super::super::migrations::{Version, migrator, not_migrated};
use super::errors::failed;
use crate::store::Result;

/// Every version, in order.
const VERSIONS: &[Version] = &[
    (1, "traces", include_str!("../../../../migrations/sqlite/0001_traces.sql")),
    (2, "accounts", include_str!("../../../../migrations/sqlite/0002_accounts.sql")),
    (3, "listing", include_str!("../../../../migrations/sqlite/0003_listing.sql")),
    (4, "facts", include_str!("../../../../migrations/sqlite/0004_facts.sql")),
    (5, "started_at", include_str!("../../../../migrations/sqlite/0005_started_at.sql")),
    (6, "chunk_bytes", include_str!("../../../../migrations/sqlite/0006_chunk_bytes.sql")),
    (7, "leases", include_str!("../../../../migrations/sqlite/0007_leases.sql")),
    (8, "audit", include_str!("../../../../migrations/sqlite/0008_audit.sql")),
    (9, "verifications", include_str!("../../../../migrations/sqlite/0009_verifications.sql")),
    (11, "drills", include_str!("../../../../migrations/sqlite/0011_drills.sql")),
];

/// Brings the tables up to date. Fails if a newer version of Veritail was here.
pub(super) async fn run(writer: &SqlitePool) -> Result<()> {
    let migrator = migrator(VERSIONS).await?;
    // One transaction around all of it: several nodes may open a new file at the same moment.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    migrator.run_direct(None, &mut *transaction, false).await.map_err(|error| not_migrated(error, failed))?;
    transaction.commit().await.map_err(failed)
}
