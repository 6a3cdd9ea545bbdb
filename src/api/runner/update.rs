//! The body of a runner's PUT, read as leniently as GitLab does.

use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{Parameters, parameter};
use crate::api::text::Text;
use crate::trace::claim::{BadChecksum, parse_checksum};
use crate::trace::{ByteSize, Claim, Crc32, Ending, JobStatus, Origin};

/// What a runner sends; odd fields count as absent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "read leniently, field by field; here it is described")]
pub(in crate::api) struct StateOfJob {
    /// The job's token, unless it is in the header.
    token: Option<String>,
    /// `running`, `success`, `failed` or `canceled`.
    #[schema(example = "running")]
    state: Option<String>,
    /// The script's exit code.
    exit_code: Option<i64>,
    /// Why it failed, such as `script_failure`.
    failure_reason: Option<String>,
    /// The checksum of the whole log, from older runners.
    checksum: Option<String>,
    /// Checksum and size of the whole log.
    output: Option<Output>,
    /// What the runner is and can.
    #[schema(value_type = Option<Object>)]
    info: Option<Value>,
}

/// Checksum and size of a whole log.
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the description")]
pub(in crate::api) struct Output {
    /// `crc32:` and hexadecimal digits.
    checksum: Option<String>,
    /// Bytes in the log.
    bytesize: Option<i64>,
}

/// What a runner says of its job.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// It goes on.
    Running,
    /// It ended.
    Ended(Ending),
    /// A state that no runner has.
    Unknown,
}

/// A PUT, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Update {
    /// The token in it.
    pub(super) token: Option<String>,
    /// What it says of the job.
    pub(super) said: Said,
    /// Whether the runner can send its log again.
    pub(super) trace_reset: Option<bool>,
    /// The length of a checksum that cannot be read. It counts as absent.
    pub(super) unreadable_checksum: Option<usize>,
}

/// The body of a final PUT as a runner of our own sends it: one that can send its log again, and says all there is to say of
/// it. What becomes of it is read in [`read`].
pub fn final_update(token: &str, state: &str, exit_code: Option<i64>, (crc32, size): (Crc32, ByteSize)) -> Value {
    let checksum = format!("crc32:{crc32}");
    json!({
        "token": token, "state": state, "exit_code": exit_code, "checksum": checksum,
        "output": { "checksum": checksum, "bytesize": size.0 },
        "info": { "features": { "trace_reset": true, "trace_checksum": true, "trace_size": true } },
    })
}

/// A body that is not a JSON object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON object")]
pub(super) struct Malformed;

/// The longest failure reason that is kept.
const REASON_MAX: usize = 255;

/// Reads a body whatever its `Content-Type` says; parameters stand in for what it lacks. Odd fields count as absent.
pub(super) fn read(body: &[u8], parameters: &Parameters) -> Result<Update, Malformed> {
    let json: Value = if body.trim_ascii().is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(body).map_err(|_| Malformed)?
    };
    if !json.is_object() {
        return Err(Malformed);
    }
    let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty()).or_else(|| parameter(parameters, name));
    let (claim, unreadable_checksum) = claim(&json);
    let said = match text("state") {
        Some("running") => Said::Running,
        Some(state) => match state.parse::<JobStatus>() {
            Ok(status) if status.is_final() => Said::Ended(Ending {
                status,
                failure_reason: text("failure_reason").and_then(reason),
                exit_code: whole(&json["exit_code"]),
                claim,
                origin: Origin::Runner,
            }),
            _ => Said::Unknown,
        },
        None => Said::Unknown,
    };
    let trace_reset = json["info"]["features"]["trace_reset"].as_bool();
    Ok(Update { token: text("token").map(str::to_owned), said, trace_reset, unreadable_checksum })
}

/// Why a job failed, cut to what is kept. One that cannot be kept counts as absent: the job has ended all the same.
fn reason(text: &str) -> Option<String> {
    text.parse().ok().map(|Text(text)| text.chars().take(REASON_MAX).collect())
}

/// The runner's checksum: in `output`, or beside it in older ones. One that cannot be read is told by its length.
fn claim(json: &Value) -> (Option<Claim>, Option<usize>) {
    let text = json["output"]["checksum"].as_str().or_else(|| json["checksum"].as_str()).unwrap_or_default();
    let size = || whole(&json["output"]["bytesize"]).and_then(|size| u64::try_from(size).ok()).map(ByteSize);
    match parse_checksum(text) {
        Ok(crc32) => (Some(Claim { crc32, size: size() }), None),
        Err(BadChecksum) => (None, Some(text.len()).filter(|length| *length > 0)),
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_json(json: &Value) -> Update {
        read(json.to_string().as_bytes(), &Vec::new()).expect("readable")
    }

    #[test]
    fn a_runner_of_our_own_is_understood() {
        let (crc32, size) = (Crc32(0x00bc_614e), ByteSize(7));
        let update = read_json(&final_update("glcbt-1", "failed", Some(3), (crc32, size)));
        assert_eq!((update.token.as_deref(), update.trace_reset), (Some("glcbt-1"), Some(true)));
        let ending = ending(update.said);
        assert_eq!((ending.status, ending.exit_code), (JobStatus::Failed, Some(3)));
        assert_eq!(ending.claim, Some(Claim { crc32, size: Some(size) }));
    }

    fn ending(said: Said) -> Ending {
        match said {
            Said::Ended(ending) => ending,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_gitlab_runner_sends_is_understood() {
        let update = read_json(&json!({
            "info": {"features": {"trace_reset": true, "trace_checksum": true}},
            "token": "t", "state": "failed", "failure_reason": "script_failure", "exit_code": 3,
            "checksum": "crc32:1", "output": {"checksum": "crc32:d4777540", "bytesize": 262_161},
        }));
        assert_eq!((update.token.as_deref(), update.trace_reset), (Some("t"), Some(true)));
        let ending = ending(update.said);
        assert_eq!((ending.status, ending.exit_code), (JobStatus::Failed, Some(3)));
        assert_eq!(ending.failure_reason.as_deref(), Some("script_failure"));
        assert_eq!(ending.claim, Some(Claim { crc32: Crc32(0xd477_7540), size: Some(ByteSize(262_161)) }));
    }

    #[test]
    fn odd_fields_count_as_absent() {
        let update = read_json(&json!({
            "state": "success", "exit_code": null, "failure_reason": null, "checksum": "crc32:ed82cd11",
            "output": null, "info": {"features": {"trace_reset": "yes"}}, "token": 7, "more": [],
        }));
        assert_eq!((update.token, update.trace_reset), (None, None));
        let known = ending(update.said);
        assert_eq!((known.exit_code, known.failure_reason), (None, None));
        assert_eq!(known.claim, Some(Claim { crc32: Crc32(0xed82_cd11), size: None }));
        let odd = json!({"state": "success", "output": {"checksum": "md5:x", "bytesize": -1}});
        let odd = read_json(&odd);
        assert_eq!((odd.unreadable_checksum, ending(odd.said).claim), (Some(5), None));
    }

    #[test]
    fn a_reason_that_cannot_be_kept_counts_as_absent() {
        let known = ending(read_json(&json!({"state": "failed", "failure_reason": "script\0failure"})).said);
        assert_eq!((known.status, known.failure_reason), (JobStatus::Failed, None));
    }

    #[test]
    fn unknown_states_and_malformed_bodies_are_told_apart() {
        for state in ["", "pending", "canceling", "done"] {
            assert_eq!(read_json(&json!({ "state": state })).said, Said::Unknown, "{state}");
        }
        assert_eq!(read_json(&json!({"state": "running"})).said, Said::Running);
        for body in ["{", "[]", "\"running\"", "state=running"] {
            assert_eq!(read(body.as_bytes(), &Vec::new()), Err(Malformed), "{body}");
        }
    }

    #[test]
    fn parameters_stand_in_for_what_the_body_lacks() {
        let parameters = vec![("token".to_owned(), "q".to_owned()), ("state".to_owned(), "running".to_owned())];
        let update = read(b"", &parameters).expect("readable");
        assert_eq!((update.token.as_deref(), update.said), (Some("q"), Said::Running));
        let update = read(br#"{"token":"b"}"#, &parameters).expect("readable");
        assert_eq!(update.token.as_deref(), Some("b"));
    }

    proptest! {
        #[test]
        fn no_body_makes_reading_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, &Vec::new());
        }
    }
}
