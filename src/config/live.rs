//! Settings of the live store.

use std::path::PathBuf;

use super::settings::settings;
use super::value::Secret;

settings! {
    /// Where the open ends of traces are.
    Live, "live." {
        /// URL of a Redis or Valkey, such as `redis://127.0.0.1:6379/0`. Also `redis-sentinel://host:26379,host:26379/mymaster`, `redis-cluster://host:6379,host:6379`, each with `rediss` for TLS, and `redis+unix:///path`. Unset: the embedded store in `<data_dir>/live`.
        redis_url: Option<Secret> = None, env "VERITAIL_REDIS_URL";
        /// True to accept a Redis that may evict keys. It can then lose log bytes that nobody else has.
        allow_eviction: bool = false, env "VERITAIL_REDIS_ALLOW_EVICTION";
        /// File with the certificates to trust for `rediss`, PEM. Unset: those that the system trusts.
        redis_ca: Option<PathBuf> = None, env "VERITAIL_REDIS_CA";
        /// File with Veritail's own certificate for `rediss`, PEM, where the server asks for one. Needs `live.redis_key`.
        redis_certificate: Option<PathBuf> = None, env "VERITAIL_REDIS_CERTIFICATE";
        /// File with the key of `live.redis_certificate`, PEM.
        redis_key: Option<PathBuf> = None, env "VERITAIL_REDIS_KEY";
        /// User that the Sentinels know, where they want one. The URL's user and password are for the master.
        redis_sentinel_user: Option<Secret> = None, env "VERITAIL_REDIS_SENTINEL_USER";
        /// Password of the Sentinels themselves.
        redis_sentinel_password: Option<Secret> = None, env "VERITAIL_REDIS_SENTINEL_PASSWORD";
    }
}
