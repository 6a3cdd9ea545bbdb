//! Cutting a request's body into slices: each is stored by one script, so a slice lies within one chunk and is bounded.

use std::collections::VecDeque;

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
    /// What came and was not given out yet, as it came; none of them is empty.
    pieces: VecDeque<Bytes>,
    /// Bytes in them.
    held: usize,
    ended: bool,
}

impl<B: Stream<Item = Result<Bytes, BodyBroken>> + Unpin + Send> Slices<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, pieces: VecDeque::new(), held: 0, ended: false }
    }

    /// The next slice: exactly `room` bytes (at most [`SLICE_MAX`]), or what is left. `None` at the end of the body.
    /// A body that ends early loses only its last, incomplete slice.
    pub(super) async fn next(&mut self, room: ByteSize) -> Result<Option<Bytes>, BodyBroken> {
        let wanted = room.min(SLICE_MAX).as_usize();
        while self.held < wanted && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    self.held += bytes.len();
                    self.pieces.push_back(bytes);
                }
                Some(Err(broken)) => return Err(broken),
                None => self.ended = true,
            }
        }
        let size = self.held.min(wanted);
        Ok((size > 0).then(|| self.take(size)))
    }

    /// The first `size` bytes. Most bodies come in one piece, which is not copied.
    fn take(&mut self, size: usize) -> Bytes {
        let first = self.take_from_first(size);
        if first.len() == size {
            return first;
        }
        let mut whole = BytesMut::with_capacity(size);
        whole.extend_from_slice(&first);
        while whole.len() < size {
            let next = self.take_from_first(size - whole.len());
            whole.extend_from_slice(&next);
        }
        whole.freeze()
    }

    /// At most `size` bytes of the first piece.
    fn take_from_first(&mut self, size: usize) -> Bytes {
        let Some(first) = self.pieces.front_mut() else { return Bytes::new() };
        let taken = first.split_to(first.len().min(size));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.held -= taken.len();
        taken
    }
}
