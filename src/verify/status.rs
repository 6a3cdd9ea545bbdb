//! How the verifier stands, by the database: the same on every node.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Result;
use crate::store::database::verifications::{Cursor, RunFilter, RunId};
use crate::trace::{JobId, RunState, Schedule, Tally, Timestamp};

use super::shards::{Shard, Standing};
use super::{RunReport, Verifier};

/// How the verifier stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = VerifierStatus)]
pub struct Status {
    /// How well everything that is kept is covered by the full run.
    pub coverage: Coverage,
    /// Every schedule with its newest runs.
    pub schedules: Vec<ScheduleStatus>,
    /// The walks of the full run, once they have begun.
    pub shards: Vec<ShardStatus>,
}

/// How well everything that is kept is covered by the full run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Coverage {
    /// Chunks to look at, as the last cycles counted them.
    pub eligible: u64,
    /// Those that were looked at within the promised time.
    pub covered: u64,
    /// Seconds since the look that is longest ago.
    pub oldest_look_age_seconds: f64,
    /// How long the slowest walk will take, as a share of the promised time: above 1 it is late.
    pub projected_cycle_ratio: f64,
}

/// A schedule with its newest runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScheduleStatus {
    /// The schedule.
    pub schedule: Schedule,
    /// Its newest run; null where there was none.
    #[schema(required)]
    pub newest: Option<RunReport>,
    /// When the newest run that looked at everything ended, RFC 3339; null where there was none.
    #[schema(required, format = DateTime)]
    pub completed_at: Option<String>,
}

/// How one walk of the full run stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShardStatus {
    /// Its name: `fresh/03`, `old/15`.
    pub shard: String,
    /// The run that its present cycle is written down as.
    pub run_id: RunId,
    /// The job that it is at.
    pub at_job: JobId,
    /// When the present cycle began, RFC 3339.
    #[schema(format = DateTime)]
    pub cycle_started_at: String,
    /// The promised time of a cycle, in seconds.
    pub promised_seconds: u64,
    /// How much of the way is behind it, 0 to 1.
    pub walked: f64,
    /// How much should be by now, 0 to 1.
    pub due: f64,
    /// When the present cycle will end at this pace, RFC 3339.
    #[schema(format = DateTime)]
    pub projected_end: String,
    /// What the present cycle saw so far.
    pub tally: Tally,
    /// The cycle before; null in the first.
    #[schema(required)]
    pub previous: Option<CycleReport>,
}

/// A cycle that came to its end.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CycleReport {
    /// When it began, RFC 3339.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it ended, RFC 3339.
    #[schema(format = DateTime)]
    pub ended_at: String,
    /// Chunks that it looked at.
    pub chunks: u64,
}

impl Verifier {
    /// How the verifier stands now.
    pub async fn status(&self) -> Result<Status> {
        let way = self.way().await?;
        let mut shards = Vec::new();
        for cursor in self.verifications().cursors().await? {
            // A version with other shards may have left some.
            if let Some(shard) = Shard::all().find(|shard| shard.to_string() == cursor.shard) {
                shards.push((shard, self.standing(shard, &cursor, &way), cursor));
            }
        }
        let (covered, projected) = self.coverage(&shards);
        let mut schedules = Vec::new();
        for schedule in Schedule::ALL {
            schedules.push(self.status_of(*schedule).await?);
        }
        Ok(Status {
            coverage: Coverage {
                eligible: covered.eligible,
                covered: covered.covered,
                oldest_look_age_seconds: covered.oldest.as_secs_f64(),
                projected_cycle_ratio: projected,
            },
            schedules,
            shards: shards.iter().map(|(shard, standing, cursor)| self.shown(*shard, standing, cursor)).collect(),
        })
    }

    async fn status_of(&self, schedule: Schedule) -> Result<ScheduleStatus> {
        let filter = RunFilter { schedule: Some(schedule), state: None, before: None, limit: 1 };
        let newest = self.verifications().runs(filter).await?;
        let complete = RunFilter { state: Some(RunState::Complete), ..filter };
        let complete = self.verifications().runs(complete).await?;
        Ok(ScheduleStatus {
            schedule,
            newest: newest.first().map(RunReport::from),
            completed_at: complete.first().and_then(|run| run.ended_at).map(Timestamp::to_rfc3339),
        })
    }

    fn shown(&self, shard: Shard, standing: &Standing, cursor: &Cursor) -> ShardStatus {
        let promised = self.promised(shard.tier);
        ShardStatus {
            shard: cursor.shard.clone(),
            run_id: cursor.run,
            at_job: cursor.at.job,
            cycle_started_at: cursor.started_at.to_rfc3339(),
            promised_seconds: promised.as_secs(),
            walked: standing.walked,
            due: standing.due,
            projected_end: projected_end(cursor.started_at, promised.as_secs_f64() * standing.projected).to_rfc3339(),
            tally: cursor.tally,
            previous: cursor.previous.map(|cycle| CycleReport {
                started_at: cycle.started_at.to_rfc3339(),
                ended_at: cycle.ended_at.to_rfc3339(),
                chunks: cycle.chunks,
            }),
        }
    }
}

/// A walk that hardly moves would end after the last year that can be written down: then that is said.
#[allow(clippy::cast_possible_truncation, reason = "it is bounded, and seconds are enough")]
fn projected_end(started_at: Timestamp, seconds: f64) -> Timestamp {
    const LAST: i64 = 253_402_207_200_000;
    let ms = (seconds * 1000.0).clamp(0.0, 1e15) as i64;
    Timestamp(started_at.0.saturating_add(ms).min(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projected_end_can_always_be_written_down() {
        assert_eq!(projected_end(Timestamp(500), 2.0), Timestamp(2_500));
        for seconds in [f64::INFINITY, 1e300, f64::NAN] {
            assert!(!projected_end(Timestamp(1_700_000_000_000), seconds).to_rfc3339().is_empty(), "{seconds}");
        }
    }
}
