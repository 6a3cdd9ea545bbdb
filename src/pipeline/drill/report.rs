//! What is shown of a drill.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::database::drills::{Drill, DrillId};
use crate::trace::{ChunkIndex, DataStore, Detection, Detector, JobId, Kind, Timestamp};

/// A drill, as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DrillReport {
    /// Its number.
    pub id: DrillId,
    /// The job.
    pub job_id: JobId,
    /// The chunk.
    pub chunk_index: ChunkIndex,
    /// What was announced to be wrong.
    pub kind: Kind,
    /// Where.
    pub store: DataStore,
    /// Who did it: `canary`, or a person by their token's name.
    pub by: String,
    /// When it was announced, RFC 3339.
    pub announced_at: String,
    /// When the damage was done, RFC 3339; null where it was not.
    #[schema(required, format = DateTime)]
    pub damaged_at: Option<String>,
    /// Until when it has to be found, RFC 3339.
    pub must_be_found_by: String,
    /// When it was found, RFC 3339.
    #[schema(required, format = DateTime)]
    pub found_at: Option<String>,
    /// As what it was found.
    #[schema(required)]
    pub found_kind: Option<Kind>,
    /// Where it was found.
    #[schema(required)]
    pub found_store: Option<DataStore>,
    /// Who found it.
    #[schema(required)]
    pub found_by: Option<Detector>,
    /// What came of it; null while it is under way, or where it was called off.
    #[schema(required)]
    pub result: Option<Detection>,
    /// When it ended, RFC 3339.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<&Drill> for DrillReport {
    fn from(drill: &Drill) -> Self {
        let what = &drill.what;
        Self {
            id: drill.id,
            job_id: what.job,
            chunk_index: what.chunk,
            kind: what.kind,
            store: what.store,
            by: what.by.clone(),
            announced_at: what.at.to_rfc3339(),
            damaged_at: drill.damaged_at.map(Timestamp::to_rfc3339),
            must_be_found_by: what.must_be_found_by.to_rfc3339(),
            found_at: drill.found.map(|found| found.at.to_rfc3339()),
            found_kind: drill.found.map(|found| found.kind),
            found_store: drill.found.map(|found| found.store),
            found_by: drill.found.map(|found| found.detector),
            result: drill.result,
            ended_at: drill.ended_at.map(Timestamp::to_rfc3339),
        }
    }
}
