//! The `traceparent` of a request, as W3C Trace Context has it: version, trace, span, flags.

use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};

/// The span that a request is part of, at its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// The text is no `traceparent`: it is as if there were none.
#[derive(Debug, PartialEq, Eq)]
pub struct NoTraceParent;

/// The length of version 00; a later one may be longer and begins the same.
const LENGTH: usize = 55;

impl FromStr for TraceParent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
        let known = text.get(..LENGTH).ok_or(NoTraceParent)?;
        let mut parts = known.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(NoTraceParent)?;
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if !part.bytes().all(is_hex) {
                return Err(NoTraceParent);
            }
            u128::from_str_radix(part, 16).map_err(|_| NoTraceParent)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let rest = &text[LENGTH..];
        let fits = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let span = u64::try_from(span).map_err(|_| NoTraceParent)?;
        if version == 0xff || trace == 0 || span == 0 || !fits {
            return Err(NoTraceParent);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl TraceParent {
    /// The trace's id.
    pub(super) fn trace(self) -> u128 {
        self.trace
    }

    /// As the parent of a span.
    pub(super) fn context(self) -> Context {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, span) = (TraceId::from(self.trace), SpanId::from(self.span));
        Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::default()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let parent: TraceParent = GOOD.parse().expect("good");
        assert_eq!(parent.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parent.span, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let later = GOOD.replacen("00-", "01-", 1) + "-more";
        assert_eq!(later.parse(), Ok(parent), "of a later version what is known counts");
        let unsampled: TraceParent = GOOD.replace("-01", "-00").parse().expect("good");
        assert!(!unsampled.sampled);
    }

    #[test]
    fn anything_else_is_none() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &format!("{GOOD} "),
            &GOOD.replacen("00-", "ff-", 1),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("00f067aa0ba902b7", "+0f067aa0ba902b7"),
            &GOOD.replace('-', "_"),
            &GOOD.replacen("00-", "01-", 1).replace("-01", "-01x"),
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,80}") {
            let _ = text.parse::<TraceParent>();
        }
    }
}
