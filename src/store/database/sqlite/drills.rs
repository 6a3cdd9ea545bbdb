//! The table `drills`: damage that is done on purpose.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::SqliteDatabase;
use super::errors::failed;
use crate::store::database::drills::{CANARY_PROJECT, Drill, DrillFilter, DrillId, Drills, NewDrill};
use crate::store::database::rows::drills::{self as statements, REMOVED_MAX, read_drill};
use crate::store::database::rows::jobs;
use crate::store::database::rows::number;
use crate::store::database::{Job, NAME};
use crate::store::{Result, StoreError};
use crate::trace::{Sha256, Timestamp, Version};

impl SqliteDatabase {
    async fn change(&self, statement: Query<'_, sqlx::Sqlite, SqliteArguments>) -> Result<u64> {
        Ok(statement.execute(&mut *self.writing().await?).await.map_err(failed)?.rows_affected())
    }
}

#[async_trait]
impl Drills for SqliteDatabase {
    async fn announce(&self, new: &NewDrill) -> Result<DrillId> {
        let announce = sqlx::query(statements::ANNOUNCE)
            .bind(new.job.0)
            .bind(new.chunk.0)
            .bind(new.kind.as_str())
            .bind(new.store.as_str())
            .bind(&new.by)
            .bind(new.at.0)
            .bind(new.must_be_found_by.0);
        let rows = announce.fetch_all(&mut *self.writing().await?).await.map_err(failed)?;
        let row = rows.first().ok_or_else(|| StoreError::unreadable(NAME, "an insertion answered no row"))?;
        number(row, "id").map(DrillId)
    }

    async fn note_damaged(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        self.change(sqlx::query(statements::NOTE_DAMAGED).bind(drill.0).bind(at.0)).await.map(drop)
    }

    async fn call_off(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        self.change(sqlx::query(statements::CALL_OFF).bind(drill.0).bind(at.0)).await.map(drop)
    }

    async fn damage_record(&self, drill: DrillId, version: Version, wrong: Sha256) -> Result<bool> {
        let damage = sqlx::query(statements::DAMAGE_RECORD).bind(drill.0).bind(version.0).bind(wrong.0.to_vec());
        Ok(self.change(damage).await? == 1)
    }

    async fn drill(&self, drill: DrillId) -> Result<Option<Drill>> {
        let row = sqlx::query(statements::DRILL)
            .bind(drill.0)
            .fetch_optional(&mut *self.reader().await?)
            .await
            .map_err(failed)?;
        row.as_ref().map(read_drill).transpose()
    }

    async fn drills(&self, filter: &DrillFilter) -> Result<Vec<Drill>> {
        let list = sqlx::query(statements::drills(filter))
            .bind(filter.job.map(|job| job.0))
            .bind(&filter.by)
            .bind(filter.under_way)
            .bind(filter.before.map_or(i64::MAX, |before| before.0))
            .bind(filter.limit_or_default());
        list.fetch_all(&mut *self.reader().await?).await.map_err(failed)?.iter().map(read_drill).collect()
    }

    async fn settle_drills(&self, now: Timestamp) -> Result<Vec<Drill>> {
        let mut settled = Vec::new();
        for statement in [statements::SETTLE_FOUND, statements::SETTLE_MISSED] {
            let rows =
                sqlx::query(statement).bind(now.0).fetch_all(&mut *self.writing().await?).await.map_err(failed)?;
            for row in &rows {
                settled.push(read_drill(row)?);
            }
        }
        Ok(settled)
    }

    async fn canary_jobs(&self, limit: u32) -> Result<Vec<Job>> {
        let list = sqlx::query(statements::CANARY_JOBS).bind(CANARY_PROJECT).bind(limit);
        list.fetch_all(&mut *self.reader().await?).await.map_err(failed)?.iter().map(jobs::read).collect()
    }

    async fn remove_canary_jobs(&self, before: Timestamp) -> Result<u64> {
        let mut removed = 0;
        // Jobs last: by them the others are found.
        for statement in
            [statements::REMOVE_CANARY_MISMATCHES, statements::REMOVE_CANARY_DRILLS, statements::REMOVE_CANARY_JOBS]
        {
            let remove = sqlx::query(statement).bind(CANARY_PROJECT).bind(before.0).bind(REMOVED_MAX);
            removed = self.change(remove).await?;
        }
        Ok(removed)
    }
}
