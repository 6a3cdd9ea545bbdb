//! A request's body: bounded in time, counted, and read on for a while before a refusal.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use crate::pipeline::BodyBroken;
use crate::seams::{Clock, within};
use crate::trace::ByteSize;

/// What is read of a body that will be refused: closing early reaches Go clients as a transport error instead of the
/// answer. gitlab-runner sends at most this much.
const READ_BEFORE_REFUSAL: u64 = 1024 * 1024;

/// A body as it comes in.
pub(super) struct Incoming<'a> {
    body: BodyDataStream,
    clock: &'a dyn Clock,
    patience: Duration,
    received: u64,
    done: bool,
}

impl<'a> Incoming<'a> {
    /// `patience` is how long the body may bring nothing.
    pub(super) fn new(body: Body, clock: &'a dyn Clock, patience: Duration) -> Self {
        Self { body: body.into_data_stream(), clock, patience, received: 0, done: false }
    }

    /// The next bytes; `None` at the end. A body that stalls or breaks off is broken, and stays so.
    async fn next(&mut self) -> Option<Result<Bytes, BodyBroken>> {
        if self.done {
            return None;
        }
        match within(self.clock, self.patience, self.body.next()).await {
            Some(Some(Ok(bytes))) => {
                self.received += bytes.len() as u64;
                Some(Ok(bytes))
            }
            Some(None) => {
                self.done = true;
                None
            }
            Some(Some(Err(_))) | None => {
                self.done = true;
                Some(Err(BodyBroken))
            }
        }
    }

    /// The body as a stream that leaves the rest behind when it is dropped.
    pub(super) fn chunks(&mut self) -> impl Stream<Item = Result<Bytes, BodyBroken>> + Send + Unpin + '_ {
        Box::pin(stream::unfold(self, |body| async move { body.next().await.map(|item| (item, body)) }))
    }

    /// Reads on before a refusal, up to a limit that counts from the body's start, and for no longer than a body may
    /// bring nothing.
    pub(super) async fn read_on(&mut self) {
        let (clock, patience) = (self.clock, self.patience);
        let reading = async {
            while self.received < READ_BEFORE_REFUSAL {
                match self.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(BodyBroken)) | None => return,
                }
            }
        };
        // What came by then will do: the answer is on its way either way.
        let _ = within(clock, patience, reading).await;
    }

    /// The whole body; `None` if it is longer than `limit`.
    pub(super) async fn whole(&mut self, limit: ByteSize) -> Result<Option<Bytes>, BodyBroken> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await {
            whole.extend_from_slice(&bytes?);
            if ByteSize::of(&whole) > limit {
                return Ok(None);
            }
        }
        Ok(Some(whole.freeze()))
    }

    /// How much came.
    pub(super) fn received(&self) -> ByteSize {
        ByteSize(self.received)
    }
}
