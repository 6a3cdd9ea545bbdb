//! What is shipped to run the rules with: manifests for Kubernetes, and the Compose file.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::alerts::{files, read, root};
use crate::support::program::installed;

/// YAML as JSON, all documents of it, read by a library of others.
fn documents(yaml: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";
    let mut python = Command::new(installed("python/bin/python"))
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = python.stdin.take().expect("piped");
    let text = yaml.to_owned();
    let writes = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, text.as_bytes()));
    let output = python.wait_with_output().expect("Python ends");
    writes.join().expect("no panic").expect("Python reads");
    assert!(output.status.success(), "no YAML:\n{yaml}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Those of one kind.
fn of_kind<'a>(manifests: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    manifests.iter().filter(move |manifest| manifest["kind"] == kind)
}

fn manifests(arguments: &[&str]) -> Vec<Value> {
    let output = Command::new(root().join("deploy/kubernetes")).args(arguments).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    documents(&String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn the_manifests_for_kubernetes_hold_the_plain_files() {
    let manifests = manifests(&["--namespace", "monitoring", "--label", "release=prometheus"]);
    for manifest in &manifests {
        assert_eq!(manifest["metadata"]["namespace"], "monitoring");
        assert_eq!(manifest["metadata"]["labels"]["release"], "prometheus");
    }
    let rules = files(".rules.yml");
    assert_eq!(of_kind(&manifests, "PrometheusRule").count(), rules.len());
    for file in rules {
        let stem = file.file_name().unwrap_or_default().to_string_lossy().replace(".rules.yml", "");
        let name = format!("veritail-{stem}");
        let manifest =
            of_kind(&manifests, "PrometheusRule").find(|manifest| manifest["metadata"]["name"] == name.as_str());
        assert_eq!(manifest.expect("a manifest")["spec"], documents(&read(&file))[0], "{name}");
    }
    let boards: Vec<_> = std::fs::read_dir(root().join("dashboards"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("veritail-")))
        .collect();
    assert_eq!(of_kind(&manifests, "ConfigMap").count(), boards.len());
    for file in boards {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let held =
            of_kind(&manifests, "ConfigMap").find_map(|manifest| manifest["data"][&name].as_str()).expect("a manifest");
        assert_eq!(held.trim_end(), read(&file).trim_end(), "{name}");
    }
}

#[test]
fn the_manifests_lead_to_the_places_that_are_named() {
    let places = ["--runbooks", "https://wiki.test/v?a=1&page=", "--grafana", "https://g.test"];
    let text = serde_json::to_string(&manifests(&places)).expect("JSON");
    assert!(text.contains("https://wiki.test/v?a=1&page=/VeritailChecksumMismatch"), "runbooks");
    assert!(text.contains("https://g.test/d/veritail-integrity"), "dashboards");
    assert!(text.contains("PrometheusRule"), "rules");
    assert!(!text.contains("veritail.example") && !text.contains("grafana.example"), "no example is left");
}

#[test]
fn the_compose_file_mounts_what_is_there() {
    let compose = documents(&read(&root().join("deploy/compose.yaml"))).remove(0);
    let services = compose["services"].as_object().expect("services");
    for name in ["veritail", "redis", "postgres", "s3", "prometheus", "alertmanager", "grafana"] {
        assert!(services.contains_key(name), "{name}");
    }
    let mut mounted = 0;
    for (name, service) in services {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().and_then(|volume| volume.split(':').next()).unwrap_or_default();
            if source.starts_with('.') {
                mounted += 1;
                let is_board = source.starts_with("../dashboards") && !root().join("dashboards").exists();
                assert!(is_board || root().join("deploy").join(source).exists(), "{name}: {source}");
            } else {
                assert!(
                    compose["volumes"].as_object().is_some_and(|known| known.contains_key(source)),
                    "{name}: {source}"
                );
            }
        }
    }
    assert!(mounted >= 5, "{mounted}");
    let prometheus = documents(&read(&root().join("deploy/prometheus.yml"))).remove(0);
    assert_eq!(prometheus["scrape_configs"][0]["job_name"], "veritail");
    assert_eq!(prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0], "alertmanager:9093");
}
