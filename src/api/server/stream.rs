//! A connection's bytes: whether any came yet, and an end where the client takes nothing of its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::seams::{Clock, Task};

/// Whether a connection has brought a byte of a request.
#[derive(Clone, Default)]
pub(super) struct HasBegun(Arc<AtomicBool>);

impl HasBegun {
    pub(super) fn has(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// What came so far was no request.
    pub(super) fn again(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A stream that knows whether it has begun.
pub(super) trait Begun {
    fn begun(&self) -> HasBegun;
}

/// A connection that breaks where nothing of an answer is taken for a while.
pub(super) struct Watched {
    stream: TcpStream,
    clock: Arc<dyn Clock>,
    stall: Duration,
    begun: HasBegun,
    /// Runs while bytes wait to be taken.
    stalled: Option<Task>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, clock: Arc<dyn Clock>, stall: Duration) -> Self {
        Self { stream, clock, stall, begun: HasBegun::default(), stalled: None }
    }

    /// Passes on what came of writing, or an error where it has been pending for too long.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let (clock, stall) = (&self.clock, self.stall);
        let stalled = self.stalled.get_or_insert_with(|| {
            let clock = clock.clone();
            Box::pin(async move { clock.sleep(stall).await })
        });
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nobody takes the answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Begun for Watched {
    fn begun(&self) -> HasBegun {
        self.begun.clone()
    }
}

/// The same stream is below it.
impl Begun for TlsStream<Watched> {
    fn begun(&self) -> HasBegun {
        self.get_ref().0.begun()
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.begun.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
