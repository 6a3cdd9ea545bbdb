//! Settings of the object store.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::settings;
use super::value::Span;

settings! {
    /// Where proven bytes are kept.
    Object, "object." {
        /// The folder for objects. Unset: `<data_dir>/objects`.
        path: Option<PathBuf> = None, env "VERITAIL_OBJECT_PATH";
        /// The store for objects instead of a folder: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`
        /// or `file:///folder`. Credentials and endpoints are given as `AWS_...`, `GOOGLE_...` and `AZURE_...`.
        url: Option<String> = None, env "VERITAIL_OBJECT_STORE_URL";
        /// True to take the store as it is found, although its mark is missing or another one's: for one start after the
        /// objects were moved on purpose.
        adopt: bool = false, env "VERITAIL_OBJECT_ADOPT";
        /// Time for one request to the store, its body included.
        timeout: Span = Span::secs(15), range Span::ms(100)..=Span::secs(300), env "VERITAIL_OBJECT_TIMEOUT";
        /// Time for a connection to the store to be made.
        connect_timeout: Span = Span::secs(5), range Span::ms(100)..=Span::secs(60), env "VERITAIL_OBJECT_CONNECT_TIMEOUT";
        /// How long a failing request is made again. An operation ends after this and one more `object.timeout`.
        retry_for: Span = Span::secs(10), range Span(Duration::ZERO)..=Span::secs(300), env "VERITAIL_OBJECT_RETRY_FOR";
        /// True to send a SHA-256 with every upload to S3, which the store holds against what it received. False for
        /// stores that refuse it.
        upload_checksum: bool = true, env "VERITAIL_OBJECT_UPLOAD_CHECKSUM";
        /// Bytes from which on an object is put in parts.
        multipart_min: u64 = 33_554_432, range 5_242_880..=5_368_709_120, env "VERITAIL_OBJECT_MULTIPART_MIN";
    }
}
