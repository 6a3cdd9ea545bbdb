//! TLS with a certificate of the test's own: spoken, trusted only where it is told to, read again on SIGHUP.

use std::path::Path;

use crate::program::{Running, Server, code, text};
use crate::support::wait::until_blocking;

/// Writes a certificate that vouches for itself.
fn certify(folder: &Path, name: &str) -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), name.to_owned()]).expect("made");
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, pair.cert.pem()).expect("written");
    std::fs::write(&key, pair.signing_key.serialize_pem()).expect("written");
    (certificate.display().to_string(), key.display().to_string())
}

fn over_tls(server: &Server, arguments: &[&str], trusted: Option<&str>) -> std::process::Command {
    let mut command = server.command(arguments);
    command.env("VERITAIL_URL", server.url().replace("http://", "https://"));
    if let Some(trusted) = trusted {
        command.args(["--ca-certificate", trusted]);
    }
    command
}

#[test]
fn a_log_goes_over_tls_and_a_stranger_is_not_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certify(folder.path(), "one");
    let server = Server::start(&[("VERITAIL_TLS_CERTIFICATE", &certificate), ("VERITAIL_TLS_KEY", &key)]);
    let send = ["send", "--project", "group/demo", "--name", "build"];
    let mut running = Running::start(over_tls(&server, &send, Some(&certificate)));
    running.write(b"over TLS\n");
    let (status, said) = code(&running.end());
    assert_eq!(status, Some(0), "{said}");
    let output = over_tls(&server, &["cat", "1"], Some(&certificate)).output().expect("it runs");
    assert_eq!((code(&output), text(&output.stdout)), ((Some(0), String::new()), "over TLS\n".to_owned()));
    // Links lead back over TLS.
    let list = ["job", "list", "--project", "group/demo", "--json"];
    let output = over_tls(&server, &list, Some(&certificate)).output().expect("it runs");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(list[0]["web_url"].as_str().is_some_and(|url| url.starts_with("https://")), "{list}");
    let (status, said) = code(&over_tls(&server, &["cat", "1"], None).output().expect("it runs"));
    assert_eq!(status, Some(1), "{said}");
}

#[test]
fn the_wrong_scheme_is_answered_with_the_right_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certify(folder.path(), "one");
    let secured = Server::start(&[("VERITAIL_TLS_CERTIFICATE", &certificate), ("VERITAIL_TLS_KEY", &key)]);
    let plain = Server::start(&[]);
    for (command, could_not) in [(["cat", "1"], 1), (["inspect", "1"], 2)] {
        let (status, said) = code(&secured.command(&command).output().expect("it runs"));
        assert!(status == Some(could_not) && said.contains("try https://"), "{said}");
        let (status, said) = code(&over_tls(&plain, &command, Some(&certificate)).output().expect("it runs"));
        assert!(status == Some(could_not) && said.contains("try http://"), "{said}");
    }
}

#[test]
fn a_new_certificate_is_taken_on_sighup_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certify(folder.path(), "one");
    let server = Server::start(&[("VERITAIL_TLS_CERTIFICATE", &certificate), ("VERITAIL_TLS_KEY", &key)]);
    let trusts = |file: &str| {
        let output = over_tls(&server, &["job", "create", "--project", "g/d", "--name", "n"], Some(file)).output();
        output.expect("it runs").status.code() == Some(0)
    };
    let first = folder.path().join("first.pem").display().to_string();
    std::fs::copy(&certificate, &first).expect("copied");
    certify(folder.path(), "two");
    assert!(trusts(&first) && !trusts(&certificate));
    server.signal("HUP");
    until_blocking("the new one", || trusts(&certificate));
    assert!(!trusts(&first));
    std::fs::write(&key, "no key").expect("written");
    server.signal("HUP");
    until_blocking("a word", || server.log().contains("the certificate stays as it was"));
    assert!(trusts(&certificate));
}

#[test]
fn a_server_without_a_whole_pair_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certify(folder.path(), "one");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (_, other) = certify(elsewhere.path(), "two");
    let data = folder.path().join("data").display().to_string();
    for (certificate, key, wanted) in [
        (Some(&certificate), None, "http.tls_key"),
        (Some(&key), Some(&key), "key.pem"),
        (Some(&certificate), Some(&other), "certificate.pem"),
    ] {
        let mut command = crate::program::veritail(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]);
        certificate.into_iter().for_each(|file| {
            command.env("VERITAIL_TLS_CERTIFICATE", file);
        });
        key.into_iter().for_each(|file| {
            command.env("VERITAIL_TLS_KEY", file);
        });
        let (status, said) = code(&command.output().expect("it runs"));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
}
