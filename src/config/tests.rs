use std::io::Write as _;

use super::*;

fn load(toml: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(toml.as_bytes()).expect("written");
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let name = file.path().display().to_string();
    Config::load(Some(file.path()), variables, flags).map_err(|error| error.to_string().replace(&name, "FILE"))
}

#[test]
fn flags_beat_variables_beat_the_file_beats_defaults() {
    let toml =
        "data_dir = 'from-file'\n[http]\nlisten = '127.0.0.1:1'\nbody_timeout = '5s'\n[pipeline]\nresend_attempts = 7";
    let variables = [("VERITAIL_LISTEN", "127.0.0.1:2"), ("VERITAIL_DATA_DIR", "from-variable")];
    let flags = Flags { listen: Some("127.0.0.1:3".to_owned()), data_dir: None };
    let config = load(toml, &variables, &flags).expect("good");
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("from-variable"));
    assert_eq!(config.http.body_timeout, value::Span::secs(5));
    assert_eq!(config.pipeline.resend_attempts, 7);
    assert_eq!(config.pipeline.chunk_size, 131_072);
}

#[test]
fn mistakes_name_the_place_the_value_and_what_is_allowed() {
    let none = Flags::default();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("[http]\nlisen = 'x'", &[], &["FILE", "lisen", "listen"]),
        ("[htp]", &[], &["FILE", "htp", "http"]),
        ("[pipeline]\nfinalize_wait = '3 weeks'", &[], &["FILE", "pipeline.finalize_wait", "3 weeks", "0s"]),
        ("[pipeline]\nmigrate_workers = 0", &[], &["FILE", "pipeline.migrate_workers", "is 0", "1 to 256"]),
        ("", &[("VERITAIL_MIGRATE_WORKERS", "many")], &["VERITAIL_MIGRATE_WORKERS", "many", "1 to 256"]),
        ("", &[("VERITAIL_MIGRATE_WORKERS", "1000")], &["VERITAIL_MIGRATE_WORKERS", "is 1000", "1 to 256"]),
        ("", &[("VERITAIL_REDISURL", "x")], &["VERITAIL_REDISURL", "VERITAIL_REDIS_URL"]),
        ("[telemetry]\nlog_format = 'xml'", &[], &["telemetry.log_format", "xml", "json"]),
        ("", &[("VERITAIL_LISTEN", "x")], &["VERITAIL_LISTEN", "\"x\"", "127.0.0.1:8080"]),
        ("[http]\nlisten = 'localhost:1'", &[], &["FILE", "http.listen", "localhost:1", "127.0.0.1:8080"]),
        ("[http]\nexternal_url = 'ci.example'", &[], &["FILE", "http.external_url", "ci.example", "https://"]),
        ("", &[("VERITAIL_EXTERNAL_URL", "ftp://x")], &["VERITAIL_EXTERNAL_URL", "ftp://x", "https://"]),
        ("", &[("VERITAIL_CHUNK_SIZ", "1")], &["VERITAIL_CHUNK_SIZ:", "did you mean VERITAIL_CHUNK_SIZE?"]),
        ("[pipeline]\nchunk_size = '128KiB'", &[], &["pipeline.chunk_size", "128KiB", "whole number", "16777216"]),
        ("x = [", &[], &["FILE"]),
    ];
    for (toml, variables, wanted) in cases {
        let error = load(toml, variables, &none).expect_err(toml);
        for word in *wanted {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }
}

/// It is there while the program is built, and may be there still when it runs.
#[test]
fn what_was_built_is_no_setting() {
    load("", &[("VERITAIL_REVISION", "0123abc")], &Flags::default()).expect("passed over");
}

#[test]
fn secrets_are_texts_and_are_never_shown() {
    let config = load("", &[("VERITAIL_ADMIN_TOKEN", "12345678901234567890")], &Flags::default()).expect("good");
    assert_eq!(config.http.admin_token.as_ref().map(value::Secret::reveal), Some("12345678901234567890"));
    assert!(!format!("{config:?}").contains("12345678901234567890"));
    let error = load("[http]\nadmin_token = 1234567", &[], &Flags::default()).expect_err("a number");
    assert!(error.contains("http.admin_token") && !error.contains("1234567"), "{error}");
}

#[test]
fn every_setting_has_a_variable_and_can_be_set_by_it() {
    let rows = Config::rows();
    let mut variables: Vec<&str> = rows.iter().map(|row| row.variable).collect();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!(variables.len(), rows.len());
    for row in rows.iter().filter(|row| row.default != "unset") {
        let default = row.default.trim_matches('"');
        load("", &[(row.variable, default)], &Flags::default()).expect(row.variable);
    }
}

#[test]
fn the_pipelines_defaults_are_the_settings_defaults() {
    let pipeline = crate::pipeline::Settings::from(&Pipeline::default());
    assert_eq!(pipeline, crate::pipeline::Settings::default());
    let verify: crate::verify::Settings = (&Config::default().verify).into();
    assert_eq!(verify, crate::verify::Settings::default());
}
