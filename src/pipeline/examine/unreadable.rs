//! Rows that cannot be read: no version of Veritail wrote them, so what changed is the database's own record.

use crate::store::database::Found;
use crate::store::{Result, StoreError};
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, ChunkIndex, DataStore, Epoch, JobId, Kind, Look, Tally};

use super::{Examined, Examiner, Pipeline};

impl Pipeline {
    /// Looks once more at the row of a chunk, or at that of the job, which could not be read, and writes down that it cannot.
    /// `Moved`: it can by now.
    pub async fn examine_unreadable(
        &self,
        job: JobId,
        chunk: Option<ChunkIndex>,
        examiner: Examiner,
    ) -> Result<Examined> {
        let began = self.now();
        let database = self.stores().database.as_ref();
        let read = match chunk {
            Some(index) => database.chunk(job, index).await.map(drop),
            None => database.job(job).await.map(drop),
        };
        let mut examined = Examined { tally: Tally { chunks: 1, ..Tally::default() }, ..Examined::default() };
        let look = match read {
            Ok(()) => Look::Moved,
            Err(error @ StoreError::Unreadable { .. }) => {
                tracing::warn!(job_id = job.0, chunk = chunk.map(|index| index.0), %error, "a row of job {job} cannot be read");
                // Of which epoch it is cannot be read either.
                let label = (Kind::Record, DataStore::Database, examiner.into());
                self.note_without_row((job, chunk, Epoch::FIRST), label, Found::default()).await?;
                examined.differences.push((Kind::Record, DataStore::Database));
                Look::Differs(Kind::Record)
            }
            Err(error) => return Err(error),
        };
        examined.tally.count(look, ByteSize::ZERO);
        telemetry::looked(DataStore::Database, look, ByteSize::ZERO, self.now().ms_since(began));
        Ok(examined)
    }
}
