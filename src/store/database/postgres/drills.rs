//! The table `drills`: damage that is done on purpose.

use async_trait::async_trait;

use super::PostgresDatabase;
use super::calls::{Repeat, arguments};
use crate::store::Result;
use crate::store::database::Job;
use crate::store::database::drills::{CANARY_PROJECT, Drill, DrillFilter, DrillId, Drills, NewDrill};
use crate::store::database::rows::drills::{self as statements, REMOVED_MAX, read_drill};
use crate::store::database::rows::jobs;
use crate::store::database::rows::number;
use crate::trace::{Sha256, Timestamp, Version};

#[async_trait]
impl Drills for PostgresDatabase {
    async fn announce(&self, new: &NewDrill) -> Result<DrillId> {
        let arguments = arguments![
            new.job.0,
            i64::from(new.chunk.0),
            new.kind.as_str(),
            new.store.as_str(),
            &new.by,
            new.at.0,
            new.must_be_found_by.0,
        ];
        number(&self.the_row(Repeat::Never, statements::ANNOUNCE, arguments).await?, "id").map(DrillId)
    }

    async fn note_damaged(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        self.change(Repeat::Safe, statements::NOTE_DAMAGED, arguments![drill.0, at.0]).await.map(drop)
    }

    async fn call_off(&self, drill: DrillId, at: Timestamp) -> Result<()> {
        self.change(Repeat::Safe, statements::CALL_OFF, arguments![drill.0, at.0]).await.map(drop)
    }

    async fn damage_record(&self, drill: DrillId, version: Version, wrong: Sha256) -> Result<bool> {
        let arguments = arguments![drill.0, version.0, wrong.0.to_vec()];
        Ok(self.change(Repeat::Never, statements::DAMAGE_RECORD, arguments).await? == 1)
    }

    async fn drill(&self, drill: DrillId) -> Result<Option<Drill>> {
        self.row(Repeat::Safe, statements::DRILL, arguments![drill.0]).await?.as_ref().map(read_drill).transpose()
    }

    async fn drills(&self, filter: &DrillFilter) -> Result<Vec<Drill>> {
        let arguments = arguments![
            filter.job.map(|job| job.0),
            filter.by.as_deref(),
            filter.under_way,
            filter.before.map_or(i64::MAX, |before| before.0),
            i64::from(filter.limit_or_default()),
        ];
        self.rows(Repeat::Safe, statements::drills(filter), arguments).await?.iter().map(read_drill).collect()
    }

    async fn settle_drills(&self, now: Timestamp) -> Result<Vec<Drill>> {
        let mut settled = Vec::new();
        for statement in [statements::SETTLE_FOUND, statements::SETTLE_MISSED] {
            for row in &self.rows(Repeat::Never, statement, arguments![now.0]).await? {
                settled.push(read_drill(row)?);
            }
        }
        Ok(settled)
    }

    async fn canary_jobs(&self, limit: u32) -> Result<Vec<Job>> {
        let arguments = arguments![CANARY_PROJECT, i64::from(limit)];
        self.rows(Repeat::Safe, statements::CANARY_JOBS, arguments).await?.iter().map(jobs::read).collect()
    }

    async fn remove_canary_jobs(&self, before: Timestamp) -> Result<u64> {
        let mut removed = 0;
        // Jobs last: by them the others are found.
        for statement in
            [statements::REMOVE_CANARY_MISMATCHES, statements::REMOVE_CANARY_DRILLS, statements::REMOVE_CANARY_JOBS]
        {
            let arguments = arguments![CANARY_PROJECT, before.0, REMOVED_MAX];
            removed = self.change(Repeat::Safe, statement, arguments).await?;
        }
        Ok(removed)
    }
}
