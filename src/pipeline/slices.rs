//! Cutting a request's body into slices: each is stored by one script, so a slice lies within one chunk and is bounded.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use crate::trace::ByteSize;

/// The client's body ended before it was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's body ended early")]
pub struct BodyBroken;

/// The most bytes in one slice: 256 KiB take a Redis script well under a millisecond.
pub(super) const SLICE_MAX: ByteSize = ByteSize(256 * 1024);

/// A body, taken slice by slice in constant memory.
pub(super) struct Slices<B> {
    body: B,
    buffered: BytesMut,
    ended: bool,
}

impl<B: Stream<Item = Result<Bytes, BodyBroken>> + Unpin + Send> Slices<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, buffered: BytesMut::new(), ended: false }
    }

    /// The next slice: exactly `room` bytes (at most [`SLICE_MAX`]), or what is left. `None` at the end of the body.
    /// A body that ends early loses only its last, incomplete slice.
    pub(super) async fn next(&mut self, room: ByteSize) -> Result<Option<Bytes>, BodyBroken> {
        let wanted = room.min(SLICE_MAX).as_usize();
        while self.buffered.len() < wanted && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffered.extend_from_slice(&bytes),
                Some(Err(broken)) => return Err(broken),
                None => self.ended = true,
            }
        }
        let size = self.buffered.len().min(wanted);
        Ok((size > 0).then(|| self.buffered.split_to(size).freeze()))
    }
}
