//! A backup of the model's database, and what a restore makes of it. Accounts are left as they are.

use std::collections::BTreeMap;

use veritail::store::database::Job;
use veritail::trace::{ChunkIndex, JobId, Timestamp};

use super::database::{ModelDatabase, Row};
use super::drills::Drills;
use super::mismatches::Mismatches;
use super::objects::Object;
use super::verifications;

/// Everything about traces that the database held at some moment.
pub struct Backup {
    jobs: (i64, BTreeMap<JobId, Job>),
    drills: Drills,
    rows: BTreeMap<(JobId, ChunkIndex), Row>,
    mismatches: Mismatches,
    verifications: verifications::Tables,
    deletions: (i64, BTreeMap<i64, (JobId, Timestamp)>),
    bytes: BTreeMap<String, Object>,
}

impl ModelDatabase {
    /// A copy of what there is.
    pub fn back_up(&self) -> Backup {
        let tables = self.tables();
        Backup {
            jobs: (tables.jobs_made, tables.jobs.clone()),
            drills: tables.drills.clone(),
            rows: tables.rows.clone(),
            mismatches: tables.mismatches.clone(),
            verifications: tables.verifications.clone(),
            deletions: (tables.deletions_made, tables.deletions.clone()),
            bytes: self.chunk_bytes().objects().clone(),
        }
    }

    /// Goes back to a backup. Jobs that were made since are forgotten.
    pub fn restore(&self, backup: &Backup) {
        let mut tables = self.tables();
        (tables.jobs_made, tables.jobs) = backup.jobs.clone();
        tables.drills = backup.drills.clone();
        tables.rows = backup.rows.clone();
        tables.mismatches = backup.mismatches.clone();
        tables.verifications = backup.verifications.clone();
        (tables.deletions_made, tables.deletions) = backup.deletions.clone();
        *self.chunk_bytes().objects() = backup.bytes.clone();
    }
}
