//! Rows that cannot be read: no version of Veritail wrote them, so what changed is the database's own record.

use crate::store::database::Found;
use crate::store::database::verifications::Place;
use crate::store::{Result, StoreError};
use crate::telemetry::verification as telemetry;
use crate::trace::{ByteSize, ChunkIndex, ChunkRow, DataStore, Detector, Epoch, JobId, Kind, Look, Tally};

use super::{Examined, Examiner, Pipeline};

/// Rows of a trace that are looked at, however long it says it is.
const ROWS_MAX: u32 = 1 << 16;
/// Rows that are made before there is a byte for them.
const ROWS_AHEAD: u32 = 2;

impl Pipeline {
    /// A trace could not be moved on, for a row cannot be read: writes down which. Rows without a persistent copy are met by no
    /// run of the verifier but a person's.
    pub(in crate::pipeline) async fn name_unreadable(&self, id: JobId) -> Result<()> {
        let examiner = Examiner { detector: Detector::Sweep, run: None, heals: false };
        let job = match self.stores().database.job(id).await {
            Err(error) if error.is_unreadable() => return self.examine_unreadable(id, None, examiner).await.map(drop),
            job => job?,
        };
        let Some(job) = job else { return Ok(()) };
        if self.all_rows(id).await.is_ok() {
            // It is not the rows, or one that was named already.
            return Ok(());
        }
        let last = job.chunk_size.index_of(job.acked_length).0.saturating_add(ROWS_AHEAD).min(ROWS_MAX);
        let places = (0..=last).map(|index| Place { job: id, index: ChunkIndex(index) });
        for Place { index, .. } in self.each_row(places).await?.1 {
            self.examine_unreadable(id, Some(index), examiner).await?;
        }
        Ok(())
    }

    /// The rows at these places, each read by itself, and where there are others that cannot be read.
    pub async fn each_row(
        &self,
        places: impl IntoIterator<Item = Place, IntoIter: Send>,
    ) -> Result<(Vec<(JobId, ChunkRow)>, Vec<Place>)> {
        let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
        for place in places {
            match self.stores().database.chunk(place.job, place.index).await {
                Ok(row) => rows.extend(row.map(|row| (place.job, row))),
                Err(error) if error.is_unreadable() => unreadable.push(place),
                Err(error) => return Err(error),
            }
        }
        Ok((rows, unreadable))
    }

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
