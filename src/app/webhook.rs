//! The webhook over HTTP, as [Standard Webhooks](https://www.standardwebhooks.com) has it.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use sha2::Sha256;

use super::CannotStart;
use crate::config::Verify;
use crate::pipeline::{Message, NotDelivered, Webhook};
use crate::telemetry::errors::innermost;
use crate::telemetry::exporter::VERSION;

/// What a key is written with in front.
const KEY_PREFIX: &str = "whsec_";
/// How long a key may be, in bytes.
const KEY_SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// A webhook as configured.
pub(super) struct HttpWebhook {
    http: Client,
    url: Url,
    key: Option<Vec<u8>>,
}

impl HttpWebhook {
    /// `None` where no URL is configured. Neither URL nor key are repeated in an error.
    pub(super) fn of(config: &Verify) -> Result<Option<Self>, CannotStart> {
        let Some(url) = &config.webhook_url else { return Ok(None) };
        let url = Url::parse(url.reveal()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or(CannotStart::Webhook(
            "verify.webhook_url (VERITAIL_WEBHOOK_URL) is not a URL such as \"https://alerts.example/veritail\"",
        ))?;
        let key = config.webhook_secret.as_ref().map(|secret| key_of(secret.reveal())).transpose()?;
        // Where a redirection leads is for whoever configured this to say.
        let http = Client::builder().redirect(Policy::none()).build();
        let http = http.map_err(|_| CannotStart::Webhook("the webhook's HTTP client cannot be made"))?;
        Ok(Some(Self { http, url, key }))
    }
}

fn key_of(text: &str) -> Result<Vec<u8>, CannotStart> {
    let key = text.strip_prefix(KEY_PREFIX).and_then(|key| STANDARD.decode(key).ok());
    key.filter(|key| KEY_SIZES.contains(&key.len())).ok_or(CannotStart::Webhook(
        "verify.webhook_secret (VERITAIL_WEBHOOK_SECRET) is not \"whsec_\" and the base64 of 24 to 64 bytes; \
         `echo whsec_$(openssl rand -base64 32)` makes one",
    ))
}

/// The signature of a message that is sent in this second.
fn signature(key: &[u8], id: &str, second: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{second}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[async_trait]
impl Webhook for HttpWebhook {
    async fn deliver(&self, message: &Message) -> Result<(), NotDelivered> {
        let second = message.at.0.div_euclid(1000);
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, format!("veritail/{VERSION}"))
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", second);
        if let Some(signature) = self.key.as_ref().and_then(|key| signature(key, &message.id, second, &message.body)) {
            request = request.header("webhook-signature", signature);
        }
        let answer = request.body(message.body.clone()).send().await;
        let answer = answer.map_err(|error| NotDelivered::Unreachable(innermost(&error.without_url())))?;
        if answer.status().is_success() { Ok(()) } else { Err(NotDelivered::Refused(answer.status().as_u16())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Secret;

    /// The example of Standard Webhooks.
    #[test]
    fn a_message_is_signed_as_others_check_it() {
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn what_cannot_be_used_is_said_and_not_repeated() {
        let config = |url: &str, secret: &str| Verify {
            webhook_url: Some(Secret::new(url)),
            webhook_secret: Some(Secret::new(secret)),
            ..Verify::default()
        };
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let bad = [
            ("alerts.example/s3cret", good),
            ("ftp://alerts.example/s3cret", good),
            ("https://alerts.example", "s3cret"),
            ("https://alerts.example", "whsec_s3cret"),
            ("https://alerts.example", "whsec_czNjcmV0"),
        ];
        for (url, secret) in bad {
            let error = HttpWebhook::of(&config(url, secret)).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("verify.webhook_") && !error.contains("s3cret"), "{error}");
        }
        assert!(HttpWebhook::of(&Verify::default()).expect("nothing is configured").is_none());
    }
}
