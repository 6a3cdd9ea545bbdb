//! Tokens: made, read from requests, compared. Only hashes are kept.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::seams::Chance;
use crate::trace::Sha256;

/// What a job's token begins with, so that a leaked one is recognised.
pub const JOB_PREFIX: &str = "vtj_";
/// What a reader's or admin's token that was made over the API begins with.
pub const READER_PREFIX: &str = "vtr_";
/// What a runner's token begins with.
pub const RUNNER_PREFIX: &str = "vtk_";
/// What an admin token that Veritail made begins with.
pub const ADMIN_PREFIX: &str = "vta_";

/// The hash of a token.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token as a client sent it.
    pub fn of(token: &str) -> Self {
        Self(Sha256::of(token.as_bytes()).0)
    }

    /// Compares in a time that says nothing about where they differ.
    pub fn is(&self, other: &[u8; 32]) -> bool {
        self.0.ct_eq(other).into()
    }
}

/// Makes a token: a prefix that says what it is for, and 160 random bits.
pub fn make(prefix: &str, chance: &dyn Chance) -> String {
    let last = chance.bits() & 0xffff_ffff;
    format!("{prefix}{:016x}{:016x}{last:08x}", chance.bits(), chance.bits())
}

/// A job's token in a header, as its runner sends it.
pub fn job_token(headers: &HeaderMap) -> Option<&str> {
    text(headers, "job-token")
}

/// A runner's own token in a header.
pub fn runner_token(headers: &HeaderMap) -> Option<&str> {
    text(headers, "runner-token")
}

/// A reader's token, in any of the headers that clients use.
pub fn reader_token(headers: &HeaderMap) -> Option<&str> {
    let bearer = text(headers, AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    text(headers, "private-token").or(bearer).or_else(|| job_token(headers))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::real::SystemChance;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_readers_token_is_found_in_every_header_that_clients_use() {
        for (name, value) in
            [("PRIVATE-TOKEN", "t"), ("Authorization", "Bearer t"), ("authorization", "bearer  t"), ("Job-Token", "t")]
        {
            assert_eq!(reader_token(&headers(&[(name, value)])), Some("t"), "{name}");
        }
        for (name, value) in [("PRIVATE-TOKEN", " "), ("Authorization", "Basic t"), ("Authorization", "t")] {
            assert_eq!(reader_token(&headers(&[(name, value)])), None, "{name}");
        }
    }

    #[test]
    fn tokens_carry_their_prefix_and_160_bits() {
        let token = make(JOB_PREFIX, &SystemChance);
        assert_eq!(token.len(), 4 + 40);
        assert_ne!(token, make(JOB_PREFIX, &SystemChance));
        assert!(TokenHash::of(&token).is(&Sha256::of(token.as_bytes()).0));
        assert!(!TokenHash::of(&token).is(&TokenHash::of("other").0));
    }
}
