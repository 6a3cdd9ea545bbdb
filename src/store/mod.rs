//! The three stores, each behind one small trait: what a store promises is written on the trait, and one conformance
//! suite per trait holds every implementation to it.
//!
//! | role | decides | implementations |
//! |---|---|---|
//! | [`live`] | how long the open end of a trace is | [`live::redis`], [`live::embedded`] |
//! | [`database`] | everything else about a trace | [`database::postgres`], [`database::sqlite`] |
//! | [`object`] | nothing; it keeps bytes under keys that are never used twice | [`object::bucket`] |

pub mod copies;
pub mod database;
pub mod hashing;
pub mod hooked;
pub mod live;
pub mod object;

/// Why a store did not do what it was asked; coarse, by what the caller does next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or answered that it cannot now. Whether the call had its effect is not known: ask again
    /// later, and look before believing either.
    #[error("{store} is unavailable: {message}")]
    Unavailable {
        /// Which store, by its name in messages and labels.
        store: &'static str,
        /// What it said.
        message: String,
    },
    /// The store has no room; nothing was changed.
    #[error("{store} is full: {message}")]
    Full {
        /// Which store.
        store: &'static str,
        /// What it said.
        message: String,
    },
    /// The store answered something that no version of Veritail wrote. Asking again does not help; a person must look.
    #[error("{store} answered something unreadable: {message}")]
    Unreadable {
        /// Which store.
        store: &'static str,
        /// What was wrong.
        message: String,
    },
}

impl StoreError {
    /// The store did not answer.
    pub fn unavailable(store: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unavailable { store, message: error.to_string() }
    }

    /// True if the store answered, and what it said makes no sense: asking again does not help.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Unreadable { .. })
    }

    /// The store answered nonsense.
    pub fn unreadable(store: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Unreadable { store, message: error.to_string() }
    }
}

/// What every call to a store returns.
pub type Result<T> = std::result::Result<T, StoreError>;
