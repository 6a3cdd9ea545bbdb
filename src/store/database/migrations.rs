//! The versions of a database's tables, compiled into the program.

use std::borrow::Cow;

use futures::future::BoxFuture;
use sqlx::SqlSafeStr;
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};

use super::NAME;
use crate::store::{Result, StoreError};

/// Its number, its name, and its statements. One that was released is never changed: its checksum is in people's
/// databases.
pub(super) type Version = (i64, &'static str, &'static str);

#[derive(Debug)]
struct Embedded(&'static [Version]);

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, std::result::Result<Vec<Migration>, BoxDynError>> {
        let migrations = self.0.iter().map(|(version, name, sql)| {
            Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, (*sql).into_sql_str(), false)
        });
        let migrations = migrations.collect();
        Box::pin(async move { Ok(migrations) })
    }
}

/// What brings the tables to the last of these versions. It fails where a newer version of Veritail was.
pub(super) async fn migrator(versions: &'static [Version]) -> Result<Migrator> {
    Migrator::new(Embedded(versions)).await.map_err(|error| StoreError::unreadable(NAME, error))
}

/// Sorts an error of the migrator; `failed` sorts those of the database.
pub(super) fn not_migrated(error: MigrateError, failed: fn(sqlx::Error) -> StoreError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => failed(error),
        error => StoreError::unreadable(NAME, error),
    }
}
