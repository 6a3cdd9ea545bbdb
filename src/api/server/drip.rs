//! A request's body may not drip: after a first while it has to bring so many bytes a second on average.
//!
//! Only the time counts in which the client was waited for: a store that takes its time is not the client's fault.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use crate::seams::{Clock, within};

/// How fast a body has to be.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// For so long it may bring nothing.
    pub(super) stall: Duration,
    /// For so long it may be as slow as it likes.
    pub(super) grace: Duration,
    /// After that, bytes a second on average; 0 = any.
    pub(super) rate: u64,
}

/// `body`, broken where it does not keep the pace.
pub(super) fn bounded(body: Body, clock: Arc<dyn Clock>, pace: Pace) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let dripping = Dripping { body: body.into_data_stream(), clock, pace, waited: Duration::ZERO, received: 0 };
    Body::from_stream(stream::unfold(Some(dripping), |dripping| async move {
        let mut dripping = dripping?;
        match dripping.next().await? {
            Ok(bytes) => Some((Ok(bytes), Some(dripping))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Dripping {
    body: BodyDataStream,
    clock: Arc<dyn Clock>,
    pace: Pace,
    waited: Duration,
    received: u64,
}

impl Dripping {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let began = self.clock.now();
        let next = within(self.clock.as_ref(), self.patience(), self.body.next()).await;
        self.waited += Duration::from_millis(self.clock.now().ms_since(began));
        match next {
            Some(Some(Ok(bytes))) => {
                self.received += bytes.len() as u64;
                Some(Ok(bytes))
            }
            Some(Some(Err(error))) => Some(Err(io::Error::other(error))),
            Some(None) => None,
            None => Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the body comes too slowly"))),
        }
    }

    /// How long the next bytes may take.
    fn patience(&self) -> Duration {
        let Some(earned) = self.received.saturating_mul(1000).checked_div(self.pace.rate) else {
            return self.pace.stall;
        };
        let allowed = self.pace.grace.saturating_add(Duration::from_millis(earned));
        allowed.saturating_sub(self.waited).min(self.pace.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::real::SystemClock;

    fn dripping(rate: u64, received: u64, waited_ms: u64) -> Dripping {
        let body = Body::empty().into_data_stream();
        let pace = Pace { stall: Duration::from_secs(60), grace: Duration::from_secs(60), rate };
        let waited = Duration::from_millis(waited_ms);
        Dripping { body, clock: Arc::new(SystemClock), pace, waited, received }
    }

    #[test]
    fn a_body_may_stall_for_as_long_as_its_rate_allows() {
        // At once, after a byte a second for a minute at a rate of 100, with much received, and with no rate asked for.
        for (rate, received, waited_ms, seconds) in [(100, 0, 0, 60), (100, 60, 60_000, 0), (100, 10_000, 60_000, 60)] {
            assert_eq!(dripping(rate, received, waited_ms).patience().as_secs(), seconds, "{rate} {received}");
        }
        assert_eq!(dripping(0, 0, 1_000_000).patience().as_secs(), 60);
    }
}
