//! The tables, version by version, compiled into the program.
//!
//! A version only adds: while nodes are replaced one by one, those of the version before go on with the tables of the new
//! one. A node that is *started* on tables which it does not know says so and does not run.
//!
//! Most starts change nothing, and then the tables are only looked at, which needs no right to make any. Otherwise one
//! node at a time goes on, under a lock of the server; the others wait and find it done.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;

use super::super::NAME;
use super::super::migrations::{Version, migrator, not_migrated};
use super::errors::failed;
use crate::store::{Result, StoreError};

/// Every version, in order.
const VERSIONS: &[Version] = &[
    (1, "traces", include_str!("../../../../migrations/postgres/0001_traces.sql")),
    (2, "accounts", include_str!("../../../../migrations/postgres/0002_accounts.sql")),
    (3, "listing", include_str!("../../../../migrations/postgres/0003_listing.sql")),
    (4, "facts", include_str!("../../../../migrations/postgres/0004_facts.sql")),
    (5, "started_at", include_str!("../../../../migrations/postgres/0005_started_at.sql")),
    (6, "chunk_bytes", include_str!("../../../../migrations/postgres/0006_chunk_bytes.sql")),
    (7, "leases", include_str!("../../../../migrations/postgres/0007_leases.sql")),
    (8, "audit", include_str!("../../../../migrations/postgres/0008_audit.sql")),
    (9, "verifications", include_str!("../../../../migrations/postgres/0009_verifications.sql")),
    (11, "drills", include_str!("../../../../migrations/postgres/0011_drills.sql")),
];

/// Brings the tables up to date. Fails if a newer version of Veritail was here.
pub(super) async fn run(connection: &mut PgConnection) -> Result<()> {
    let migrator = migrator(VERSIONS).await?;
    if up_to_date(&migrator, connection).await? {
        return Ok(());
    }
    // A change of a large table, or waiting for another node that makes it, takes longer than a statement may.
    sqlx::query("SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false)")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    migrator.run_direct(None, connection, false).await.map_err(|error| not_migrated(error, failed))
}

/// True if every version is there. What is there and differs is left to the migrator, which says so.
async fn up_to_date(migrator: &Migrator, connection: &mut PgConnection) -> Result<bool> {
    let there = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !there.fetch_one(&mut *connection).await.map_err(failed)? {
        return Ok(false);
    }
    let applied = sqlx::query_as::<_, (i64, Vec<u8>)>("SELECT version, checksum FROM _sqlx_migrations WHERE success");
    let applied = applied.fetch_all(&mut *connection).await.map_err(failed)?;
    let known: BTreeMap<i64, &[u8]> = migrator.iter().map(|version| (version.version, &*version.checksum)).collect();
    if let Some((version, _)) = applied.iter().find(|(version, _)| !known.contains_key(version)) {
        let message = format!("its tables are of version {version}, which is newer than this program");
        return Err(StoreError::unreadable(NAME, message));
    }
    let same = |(version, checksum): &(i64, Vec<u8>)| known.get(version) == Some(&checksum.as_slice());
    Ok(applied.len() == known.len() && applied.iter().all(same))
}
