//! What a store's errors mean: sorted by what the caller does next, said so that an operator knows what to do.
//!
//! An answer is never shown as it came: bodies of S3 and Azure repeat what was signed and with which key. Shown are its
//! status, its code and the first line of its message.

use std::error::Error as StdError;
use std::io;

use object_store::Error;
use object_store::client::HttpError;

use super::cloud::Service;
use crate::store::StoreError;
use crate::trace::DataStore;

/// Its name in messages and labels.
pub(super) const NAME: &str = DataStore::ObjectStore.as_str();
/// Characters shown of what a store says.
const SHOWN_MAX: usize = 300;

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put,
    Get,
    Delete,
    List,
}

impl Operation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }

    /// What credentials need for it.
    fn right(self, service: Service) -> &'static str {
        match (service, self) {
            (Service::Folder, _) => "read, write and search access to the folder",
            (Service::S3, Self::Put) => "s3:PutObject on the bucket's objects",
            (Service::S3, Self::Get) => {
                "s3:GetObject on the bucket's objects and s3:ListBucket on the bucket (without the latter S3 answers 403 \
                 instead of 404 where there is no object)"
            }
            (Service::S3, Self::Delete) => "s3:DeleteObject on the bucket's objects",
            (Service::S3, Self::List) => "s3:ListBucket on the bucket",
            (Service::Gcs, _) => "the role Storage Object User (roles/storage.objectUser) on the bucket",
            (Service::Azure, _) => "the role Storage Blob Data Contributor on the container",
        }
    }
}

/// Codes of an answer that says: there is no such bucket.
const NO_BUCKET: &[&str] = &["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"];
/// Codes of an answer that says: there is no room.
const FULL: &[&str] = &["InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"];
/// Codes of an answer that says: who you are is not known.
const UNKNOWN_CREDENTIALS: &[&str] = &[
    "AuthenticationFailed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
/// Codes of an answer that says: the bucket is elsewhere.
const WRONG_REGION: &[&str] =
    &["AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"];

/// The operation was not answered in time.
pub(super) fn late(operation: Operation, limit: std::time::Duration) -> StoreError {
    StoreError::unavailable(NAME, format!("no answer to {} within {limit:?}", operation.as_str()))
}

/// True if the answer says that there is no object, and not that there is no bucket.
pub(super) fn is_no_object(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !Answer::of(error).code_is_in(NO_BUCKET)
}

/// Sorts an error, and says what to do about it.
pub(super) fn failed(service: Service, operation: Operation, error: &Error) -> StoreError {
    let answer = Answer::of(error);
    let (seen, asked) = (answer.show(), operation.as_str());
    if io_kind(error).is_some_and(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
        || answer.status == Some(507)
        || answer.code_is_in(FULL)
    {
        return StoreError::Full { store: NAME, message: seen };
    }
    if matches!(error, Error::InvalidPath { .. }) {
        return StoreError::unreadable(NAME, seen);
    }
    let is_refused = matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || answer.code.as_deref() == Some("AccessDenied")
        || io_kind(error) == Some(io::ErrorKind::PermissionDenied);
    let advice = if answer.code_is_in(NO_BUCKET) {
        "the bucket is not there: make it, or correct object.url (VERITAIL_OBJECT_STORE_URL)".to_owned()
    } else if answer.code_is_in(UNKNOWN_CREDENTIALS) {
        "the store does not accept the credentials: see which ones the environment gives".to_owned()
    } else if answer.code.as_deref() == Some("RequestTimeTooSkewed") {
        "this machine's clock is wrong".to_owned()
    } else if answer.code_is_in(WRONG_REGION) || answer.text.contains("redirect") {
        "the bucket is in another region: set AWS_REGION to it".to_owned()
    } else if is_refused {
        format!("{asked} was refused: it needs {}", operation.right(service))
    } else if answer.text.contains("169.254.169.254") || answer.text.contains("metadata.google.internal") {
        "no credentials are given, and this machine's metadata service gives none: set them in the environment"
            .to_owned()
    } else if operation == Operation::Put
        && answer.code.as_deref().is_some_and(|code| matches!(code, "NotImplemented" | "InvalidRequest"))
    {
        "if it takes no checksums with uploads, set object.upload_checksum = false".to_owned()
    } else {
        return StoreError::unavailable(NAME, format!("{asked} failed: {seen}"));
    };
    StoreError::unavailable(NAME, format!("{advice} ({seen})"))
}

/// An error's causes, itself first.
fn causes<'a>(error: &'a Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next: Option<&'a (dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind)
}

/// What can be told of an answer, or of its absence.
struct Answer {
    /// Everything, for looking into and not for showing.
    text: String,
    status: Option<u16>,
    code: Option<String>,
    message: String,
}

impl Answer {
    fn of(error: &Error) -> Self {
        let text = error.to_string();
        let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let bulk = || text.split_once("(code: ").and_then(|(_, rest)| rest.split(')').next()).map(str::to_owned);
        let code = element(&text, "Code").or_else(bulk).filter(|code| code.bytes().all(|b| b.is_ascii_alphanumeric()));
        let message = element(&text, "Message").unwrap_or_else(|| root(error, status));
        let message = message.lines().next().unwrap_or_default().chars().take(SHOWN_MAX).collect();
        Self { status, code, message, text }
    }

    fn code_is_in(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    fn show(&self) -> String {
        let status = self.status.map(|status| status.to_string());
        let head: Vec<&str> = status.as_deref().into_iter().chain(self.code.as_deref()).collect();
        match (head.is_empty(), self.message.is_empty()) {
            (true, _) => self.message.clone(),
            (false, true) => head.join(" "),
            (false, false) => format!("{}: {}", head.join(" "), self.message),
        }
    }
}

/// The text of an element of an XML answer.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split('<').next()?.trim().to_owned())
}

/// The first cause: of an answer with a status nothing, for it ends in the answer's body.
fn root(error: &Error, status: Option<u16>) -> String {
    if status.is_some() {
        return String::new();
    }
    let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
    let is_transport = causes(error).any(|error| error.is::<HttpError>());
    let shown = last.split(['<', '?']).next().unwrap_or_default().trim().to_owned();
    if is_transport { format!("the connection failed: {shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.into() }
    }

    const SIGNED: &str = "Error performing PUT https://host/bucket/key in 3ms - Server returned non-2xx status code: 403 \
        Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.\nSecond line</Message>\
        <AWSAccessKeyId>AKIAVERYSECRET</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 cafe</StringToSign></Error>";

    #[test]
    fn no_key_or_signature_is_shown() {
        let text = failed(Service::S3, Operation::Put, &answered(SIGNED)).to_string();
        assert!(text.contains("403 SignatureDoesNotMatch: Check your key."), "{text}");
        for hidden in ["AKIA", "HMAC", "cafe", "Second", "https://"] {
            assert!(!text.contains(hidden), "{text}");
        }
        let signed_url = answered("error sending request for https://account/container/a?sig=c2VjcmV0&se=2030");
        let text = failed(Service::Azure, Operation::Get, &signed_url).to_string();
        assert!(!text.contains("sig="), "{text}");
    }

    #[test]
    fn a_refusal_says_which_right_is_missing() {
        let denied = || Error::PermissionDenied { path: "a".to_owned(), source: "status code: 403 Forbidden: ".into() };
        for (operation, right) in [
            (Operation::Put, "s3:PutObject"),
            (Operation::Get, "s3:GetObject"),
            (Operation::Delete, "s3:DeleteObject"),
            (Operation::List, "s3:ListBucket"),
        ] {
            let error = failed(Service::S3, operation, &denied());
            assert!(matches!(&error, StoreError::Unavailable { message, .. } if message.contains(right)), "{error}");
        }
    }

    #[test]
    fn errors_are_sorted() {
        let full = answered("status code: 507 Insufficient Storage: ");
        assert!(matches!(failed(Service::S3, Operation::Put, &full), StoreError::Full { .. }));
        let source = io::Error::from(io::ErrorKind::StorageFull).into();
        let full = Error::Generic { store: "LocalFileSystem", source };
        assert!(matches!(failed(Service::Folder, Operation::Put, &full), StoreError::Full { .. }));
        let slow = answered("status code: 503 Slow Down: <Error><Code>SlowDown</Code></Error>");
        let text = failed(Service::S3, Operation::Put, &slow).to_string();
        assert_eq!(text, "object_store is unavailable: put failed: 503 SlowDown");
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        let absent = |code| Error::NotFound { path: "a".to_owned(), source: format!("<Code>{code}</Code>").into() };
        assert!(is_no_object(&absent("NoSuchKey")) && !is_no_object(&absent("NoSuchBucket")));
        assert!(!is_no_object(&absent("ContainerNotFound")));
        let text = failed(Service::S3, Operation::Get, &absent("NoSuchBucket")).to_string();
        assert!(text.contains("VERITAIL_OBJECT_STORE_URL"), "{text}");
    }
}
