//! Opening a store by its URL: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`.
//!
//! Where it is and who we are is read from the same variables as the clouds' own programs read (`AWS_...`, `GOOGLE_...`,
//! `AZURE_...`); how long to wait is ours. The variables are handed in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};

use super::bucket::Options;
use super::errors::NAME;
use crate::store::{Result, StoreError};

/// What kind of store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Folder,
    S3,
    Gcs,
    Azure,
}

/// A URL taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Folder(PathBuf),
    Cloud { service: Service, bucket: String, prefix: Path },
}

/// Takes a URL apart. The URL is not repeated in the error: somebody may have written a password into it.
pub(super) fn place(url: &str) -> Result<Place> {
    let wrong = |what: &str| {
        let allowed = "allowed are s3://bucket/prefix, gs://bucket/prefix, az://container/prefix and file:///folder";
        StoreError::unreadable(NAME, format!("{what}; {allowed} (the prefix may be left out)"))
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("the URL has no scheme"))?;
    let service = match scheme {
        "file" if rest.starts_with('/') && !rest.contains(['?', '#', '%']) => return Ok(Place::Folder(rest.into())),
        "file" => return Err(wrong("the folder must be absolute, without ?, # and %")),
        "s3" => Service::S3,
        "gs" => Service::Gcs,
        "az" => Service::Azure,
        _ => return Err(wrong("the URL's scheme is none of these")),
    };
    if rest.contains(['@', '?', '#', '%', ':']) {
        return Err(wrong(
            "the URL names a bucket and a prefix and nothing else: credentials are given in the environment",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let path = Path::parse(prefix).map_err(|_| wrong("the prefix is no path"))?;
    if bucket.is_empty() || path.as_ref() != prefix {
        return Err(wrong("the URL names no bucket, or the prefix is no path"));
    }
    Ok(Place::Cloud { service, bucket: bucket.to_owned(), prefix: path })
}

/// Makes a client of the bucket. Nothing is asked of the store yet.
pub(super) fn client(
    service: Service,
    bucket: &str,
    prefix: Path,
    variables: &[(String, String)],
    options: &Options,
) -> Result<Arc<dyn ObjectStore>> {
    // The HTTP client takes the process's cryptography and panics where none was chosen. If there is one, it stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let built = match service {
        Service::S3 => s3(bucket, variables, options)?,
        Service::Gcs => gcs(bucket, variables, options)?,
        Service::Azure => azure(bucket, variables, options)?,
        Service::Folder => return Err(StoreError::unreadable(NAME, "a folder is no bucket")),
    };
    Ok(if prefix.as_ref().is_empty() { built } else { Arc::new(PrefixStore::new(built, prefix)) })
}

/// Variables whose names begin with `prefix`, in small letters, as `object_store` names its settings. One that is set to
/// nothing is not set.
fn named<'a>(variables: &'a [(String, String)], prefix: &'a str) -> impl Iterator<Item = (String, &'a str)> {
    let ours = variables.iter().filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty());
    ours.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
}

/// What the clients of all clouds are told.
fn timeouts(options: &Options) -> [(ClientConfigKey, String); 2] {
    let shown = |time: Duration| format!("{}ms", time.as_millis());
    [
        (ClientConfigKey::Timeout, shown(options.timeout)),
        (ClientConfigKey::ConnectTimeout, shown(options.connect_timeout)),
    ]
}

fn retry(options: &Options) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: (options.retry_for / 4).max(Duration::from_millis(100)),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 100, retry_timeout: options.retry_for }
}

fn s3(bucket: &str, variables: &[(String, String)], options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in named(variables, "AWS_") {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(bucket).with_retry(retry(options));
    for (key, value) in timeouts(options) {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    if options.upload_checksum {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    let endpoint = endpoint.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    let allowed = builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    expect_encrypted(endpoint, allowed, "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP")?;
    Ok(Arc::new(builder.build().map_err(not_built)?))
}

fn gcs(bucket: &str, variables: &[(String, String)], options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (name, value) in named(variables, "GOOGLE_") {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    builder = builder.with_bucket_name(bucket).with_retry(retry(options));
    for (key, value) in timeouts(options) {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let allowed = named(variables, "GOOGLE_").find(|(name, _)| name == "google_allow_http");
    let allowed = allowed.map(|(_, value)| value.to_owned());
    expect_encrypted(endpoint, allowed, "GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP")?;
    Ok(Arc::new(builder.build().map_err(not_built)?))
}

fn azure(container: &str, variables: &[(String, String)], options: &Options) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (name, value) in named(variables, "AZURE_") {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    // Where App Service and Container Apps say that a managed identity answers.
    if let Some((_, endpoint)) = named(variables, "IDENTITY_ENDPOINT").next() {
        builder = builder.with_msi_endpoint(endpoint);
    }
    builder = builder.with_container_name(container).with_retry(retry(options));
    for (key, value) in timeouts(options) {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let allowed = builder.get_config_value(&AzureConfigKey::Client(ClientConfigKey::AllowHttp));
    expect_encrypted(endpoint, allowed, "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP")?;
    Ok(Arc::new(builder.build().map_err(not_built)?))
}

/// Logs and credentials do not travel in the open unless somebody said so.
fn expect_encrypted(endpoint: Option<String>, allowed: Option<String>, named: &str, allows: &str) -> Result<()> {
    let is_open = endpoint.is_some_and(|endpoint| endpoint.to_ascii_lowercase().starts_with("http://"));
    let is_allowed =
        allowed.is_some_and(|word| matches!(&*word.to_ascii_lowercase(), "1" | "true" | "on" | "yes" | "y"));
    if is_open && !is_allowed {
        let message = format!(
            "{named} begins with http://: logs would travel unencrypted. Give an https:// address, or set {allows}=true"
        );
        return Err(StoreError::unreadable(NAME, message));
    }
    Ok(())
}

/// The settings do not fit together: these errors name settings and no secrets.
fn not_built(error: object_store::Error) -> StoreError {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    StoreError::unreadable(NAME, source.unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(service: Service, bucket: &str, prefix: &str) -> Place {
        Place::Cloud { service, bucket: bucket.to_owned(), prefix: Path::from(prefix) }
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(place("s3://traces").unwrap(), cloud(Service::S3, "traces", ""));
        assert_eq!(place("s3://traces/").unwrap(), cloud(Service::S3, "traces", ""));
        assert_eq!(place("gs://traces/a/b/").unwrap(), cloud(Service::Gcs, "traces", "a/b"));
        assert_eq!(place("az://traces/a").unwrap(), cloud(Service::Azure, "traces", "a"));
        assert_eq!(place("file:///var/lib/objects").unwrap(), Place::Folder("/var/lib/objects".into()));
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_repeated() {
        for wrong in [
            "",
            "secret",
            "s3:/secret",
            "s3://",
            "s3:///secret",
            "ftp://secret",
            "s3://key:secret@bucket",
            "s3://bucket/a?token=secret",
            "s3://bucket//secret",
            "s3://bucket/../secret",
            "file://secret/relative",
        ] {
            let error = place(wrong).unwrap_err().to_string();
            assert!(error.contains("s3://bucket/prefix") && !error.contains("secret"), "{wrong}: {error}");
        }
    }

    fn open(service: Service, variables: &[(&str, &str)]) -> Result<Arc<dyn ObjectStore>> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        client(service, "bucket", Path::default(), &variables, &Options::default())
    }

    #[test]
    fn an_open_connection_has_to_be_asked_for() {
        let s3 =
            [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let error = open(Service::S3, &s3).unwrap_err().to_string();
        assert!(error.contains("AWS_ALLOW_HTTP=true"), "{error}");
        assert!(open(Service::S3, &[&s3[..], &[("AWS_ALLOW_HTTP", "true")]].concat()).is_ok());
        assert!(open(Service::S3, &[&s3[..], &[("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:1")]].concat()).is_ok());
        let gcs = [("GOOGLE_BASE_URL", "http://127.0.0.1:1"), ("GOOGLE_SKIP_SIGNATURE", "true")];
        assert!(open(Service::Gcs, &gcs).unwrap_err().to_string().contains("GOOGLE_ALLOW_HTTP=true"));
        let azure = [("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1"), ("AZURE_STORAGE_ACCOUNT_NAME", "a")];
        assert!(open(Service::Azure, &azure).unwrap_err().to_string().contains("AZURE_ALLOW_HTTP=true"));
    }

    #[test]
    fn half_of_the_credentials_are_an_error_that_says_so() {
        let error = open(Service::S3, &[("AWS_SECRET_ACCESS_KEY", "hidden")]).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("access") && !error.contains("hidden"), "{error}");
        assert!(open(Service::Azure, &[]).unwrap_err().to_string().contains("ccount"));
    }
}
