//! Settings of what is found to be wrong.

use super::settings::settings;
use super::value::Secret;

settings! {
    /// Who is told of what is found to be wrong.
    Verify, "verify." {
        /// Where every new mismatch is sent, as a POST with JSON, until it is taken: an `http` or `https` URL. Unset: nowhere.
        webhook_url: Option<Secret> = None, env "VERITAIL_WEBHOOK_URL";
        /// The key that those messages are signed with, in the form of Standard Webhooks: `whsec_` and the base64 of 24 to
        /// 64 bytes. Unset: they are not signed.
        webhook_secret: Option<Secret> = None, env "VERITAIL_WEBHOOK_SECRET";
    }
}
