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

/// Smaller pieces are copied together behind the first one: each would cost more than its bytes, and could keep a whole
/// buffer of the connection alive.
const KEPT_MIN: usize = 16 * 1024;

/// A body, taken slice by slice in constant memory.
pub(super) struct Slices<B> {
    body: B,
    /// What came and was not given out yet, as it came; none of them is empty.
    pieces: VecDeque<Bytes>,
    /// What came after them in small pieces.
    small: BytesMut,
    /// Bytes in all of them.
    held: usize,
    ended: bool,
}

impl<B: Stream<Item = Result<Bytes, BodyBroken>> + Unpin + Send> Slices<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, pieces: VecDeque::new(), small: BytesMut::new(), held: 0, ended: false }
    }

    /// The next slice: exactly `room` bytes (at most [`SLICE_MAX`]), or what is left. `None` at the end of the body.
    /// A body that ends early loses only its last, incomplete slice.
    pub(super) async fn next(&mut self, room: ByteSize) -> Result<Option<Bytes>, BodyBroken> {
        let wanted = room.min(SLICE_MAX).as_usize();
        while self.held < wanted && !self.ended {
            match self.body.next().await {
                Some(Ok(bytes)) => self.add(bytes),
                Some(Err(broken)) => return Err(broken),
                None => self.ended = true,
            }
        }
        self.end_small();
        let size = self.held.min(wanted);
        Ok((size > 0).then(|| self.take(size)))
    }

    fn add(&mut self, bytes: Bytes) {
        let is_first = self.held == 0;
        self.held += bytes.len();
        if !is_first && bytes.len() < KEPT_MIN {
            self.small.extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            self.end_small();
            self.pieces.push_back(bytes);
        }
    }

    /// What was copied together is a piece like any other.
    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
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

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// A body that comes in pieces of these sizes, over and over, and then breaks off.
    fn slices(size: usize, pieces: &[usize]) -> Slices<impl Stream<Item = Result<Bytes, BodyBroken>> + Unpin + Send> {
        let (mut at, mut turn) = (0, pieces.iter().cycle().copied());
        let mut body = Vec::new();
        while at < size {
            let piece = turn.next().unwrap().min(size - at);
            body.push(Ok((at..at + piece).map(|at| at as u8).collect()));
            at += piece;
        }
        body.push(Err(BodyBroken));
        Slices::new(stream::iter(body))
    }

    #[tokio::test]
    async fn many_tiny_pieces_cost_little_more_than_their_bytes() {
        for pieces in [&[1][..], &[1, KEPT_MIN], &[KEPT_MIN - 1], &[0, 3]] {
            let mut slices = slices(200_000, pieces);
            assert_eq!(slices.next(SLICE_MAX).await, Err(BodyBroken));
            assert_eq!(slices.held, 200_000);
            assert!(slices.pieces.len() <= 1 + 2 * 200_000 / KEPT_MIN, "{} of {pieces:?}", slices.pieces.len());
        }
    }

    #[tokio::test]
    async fn however_a_body_comes_its_slices_are_its_bytes_in_order() {
        for pieces in [&[1][..], &[7, KEPT_MIN, 0, 3, KEPT_MIN - 1], &[100_000], &[KEPT_MIN, 1, 1]] {
            let mut slices = slices(150_000, pieces);
            let mut whole = Vec::new();
            for room in [10, 99_990, 50_000] {
                let slice = slices.next(ByteSize(room)).await.unwrap().unwrap();
                assert_eq!(slice.len() as u64, room, "{pieces:?}");
                whole.extend_from_slice(&slice);
            }
            assert!(whole.iter().enumerate().all(|(at, byte)| *byte == at as u8), "{pieces:?}");
            assert_eq!(slices.next(ByteSize(1)).await, Err(BodyBroken));
        }
    }

    #[tokio::test]
    async fn a_body_of_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"a few bytes");
        let mut slices = Slices::new(stream::iter([Ok(piece.clone())]));
        let slice = slices.next(SLICE_MAX).await.unwrap().unwrap();
        assert_eq!((slice.as_ptr(), slice.len()), (piece.as_ptr(), piece.len()));
    }
}
