//! Readers: at any time, of any job, and never served a wrong byte.

use std::pin::pin;

use futures::StreamExt;
use veritail::pipeline::{Mode, OpenedReading, Pipeline, ReadError};
use veritail::store::StoreError;
use veritail::trace::{JobId, Offset};

use super::machine::Dice;
use super::world::World;

/// What a reader got.
#[derive(Debug)]
pub struct Read {
    pub bytes: Vec<u8>,
    /// The size that was announced.
    pub announced: u64,
    /// Why the stream broke off.
    pub broken: Option<ReadError>,
}

pub async fn read(node: &Pipeline, job: JobId) -> Result<Read, StoreError> {
    let OpenedReading::Open(reading) = node.open_reading(job, Mode::Verified).await? else {
        return Ok(Read { bytes: Vec::new(), announced: 0, broken: None });
    };
    let announced = reading.size().0;
    let mut stream = pin!(reading.stream(Offset::ZERO..Offset(announced)));
    let mut read = Read { bytes: Vec::new(), announced, broken: None };
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => read.bytes.extend_from_slice(&bytes),
            Err(error) => read.broken = Some(error),
        }
    }
    Ok(read)
}

/// Reads some jobs now and then until the storm is over.
pub async fn read_now_and_then(world: std::sync::Arc<World>, dice: Dice, jobs: Vec<JobId>) {
    while world.is_stormy() {
        world.sleep_ms(dice.between(500, 15_000)).await;
        let job = *dice.pick(&jobs);
        let erased_before = world.oracle.lock().expect("not poisoned").is_erased(job);
        let read = world.request(&dice, move |node| async move { read(&node, job).await }).await;
        if let Ok(Ok(read)) = read {
            world.oracle.lock().expect("not poisoned").was_read(job, &read, erased_before);
        }
    }
}
