//! Settings of the live store.

use super::settings::settings;
use super::value::Secret;

settings! {
    /// Where the open ends of traces are.
    Live, "live." {
        /// URL of a Redis or Valkey, such as `redis://127.0.0.1:6379/0`. Unset: the embedded store in `<data_dir>/live`.
        redis_url: Option<Secret> = None, env "VERITAIL_REDIS_URL";
        /// True to accept a Redis that may evict keys. It can then lose log bytes that nobody else has.
        allow_eviction: bool = false, env "VERITAIL_REDIS_ALLOW_EVICTION";
    }
}
