//! The tables, version by version, compiled into the program.

use std::borrow::Cow;

use futures::future::BoxFuture;
use sqlx::SqlSafeStr;
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

use crate::store::{Result, StoreError};

use super::NAME;
use super::errors::failed;

/// Every version, in order. One that was released is never changed: its checksum is in people's databases.
const VERSIONS: &[(i64, &str, &str)] = &[
    (1, "traces", include_str!("../../../../migrations/sqlite/0001_traces.sql")),
    (2, "accounts", include_str!("../../../../migrations/sqlite/0002_accounts.sql")),
    (3, "listing", include_str!("../../../../migrations/sqlite/0003_listing.sql")),
    (4, "facts", include_str!("../../../../migrations/sqlite/0004_facts.sql")),
    (5, "started_at", include_str!("../../../../migrations/sqlite/0005_started_at.sql")),
    (6, "chunk_bytes", include_str!("../../../../migrations/sqlite/0006_chunk_bytes.sql")),
    (7, "leases", include_str!("../../../../migrations/sqlite/0007_leases.sql")),
    (8, "audit", include_str!("../../../../migrations/sqlite/0008_audit.sql")),
];

#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, std::result::Result<Vec<Migration>, BoxDynError>> {
        let migrations = VERSIONS.iter().map(|(version, name, sql)| {
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, (*sql).into_sql_str(), false)
        });
        let migrations = migrations.collect();
        Box::pin(async move { Ok(migrations) })
    }
}

/// Brings the tables up to date. Fails if a newer version of Veritail was here.
pub(super) async fn run(writer: &SqlitePool) -> Result<()> {
    let migrator = Migrator::new(Embedded).await.map_err(|error| StoreError::unreadable(NAME, error))?;
    // One transaction around all of it: several nodes may open a new file at the same moment.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    migrator.run_direct(None, &mut *transaction, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        error => StoreError::unreadable(NAME, error),
    })?;
    transaction.commit().await.map_err(failed)
}
