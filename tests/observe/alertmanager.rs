//! The example of Alertmanager's configuration: who hears of what, and what must never be muted.

use crate::alerts::{alerts, folder, judged, read};

const FILE: &str = "alertmanager.example.yml";
/// Wrong bytes, and a watcher that does not see them.
const NEVER_MUTED: &[&str] = &[
    "VeritailChecksumMismatch",
    "VeritailCorruptTracesUnresolved",
    "VeritailEndToEndChecksumMismatch",
    "VeritailCanaryMismatch",
    "VeritailCanaryNotCaught",
];

fn example() -> String {
    read(&folder().join(FILE))
}

#[test]
fn alertmanager_accepts_the_example() {
    let (content, said) = judged("amtool", &["check-config", FILE]);
    assert!(content && said.contains("1 templates"), "{said}");
}

#[test]
fn every_alert_goes_where_its_severity_says() {
    for rule in alerts() {
        let severity = rule.value("severity").expect("a severity");
        let expected = match severity.as_str() {
            "critical" => "pager",
            "warning" => "tickets",
            _ => "watchdog",
        };
        let labels = [format!("alertname={}", rule.name), format!("severity={severity}")];
        let config = format!("--config.file={FILE}");
        let receivers = format!("--verify.receivers={expected}");
        let mut arguments = vec!["config", "routes", "test", &config, &receivers];
        arguments.extend(labels.iter().map(String::as_str));
        let (content, said) = judged("amtool", &arguments);
        assert!(content, "{}: {said}", rule.name);
    }
}

#[test]
fn nothing_mutes_a_page_about_wrong_bytes() {
    let example = example();
    let (_, rules) = example.split_once("\ninhibit_rules:\n").expect("inhibitions");
    let targets: Vec<&str> =
        rules.split("target_matchers:").skip(1).map(|rest| rest.split("equal:").next().unwrap_or(rest)).collect();
    assert!(targets.len() > 5, "the targets are found");
    for target in targets {
        assert!(
            target.contains("alertname=\"") || target.contains("alertname=~\""),
            "a target without a name: {target}"
        );
        assert!(!target.contains(".*") && !target.contains(".+"), "a target that is open: {target}");
        for name in NEVER_MUTED {
            assert!(!target.contains(name), "{name} is muted: {target}");
        }
    }
}

/// What is newly wrong must not join a message about what is known, and be taken for more of it.
#[test]
fn every_kind_and_store_of_wrong_bytes_is_a_message_of_its_own() {
    let example = example();
    let routes = example.split("    - matchers:").skip(1);
    let mut of_bytes = routes.filter(|route| NEVER_MUTED.iter().all(|name| route.contains(name)));
    let route = of_bytes.next().expect("a route for wrong bytes");
    assert!(route.contains("group_by: [job, alertname, kind, store]") && route.contains("receiver: pager"), "{route}");
    assert!(of_bytes.next().is_none());
}

#[test]
fn every_name_in_the_example_is_an_alert() {
    let known: Vec<String> = alerts().into_iter().map(|rule| rule.name).collect();
    let example = example();
    let mut seen = 0;
    for at in example.match_indices("Veritail").map(|(at, _)| at) {
        let name = example[at..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        assert!(known.iter().any(|known| known == name), "{name} is no alert");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    for name in NEVER_MUTED {
        assert!(known.iter().any(|known| known == name), "{name} is no alert");
    }
}

#[test]
fn the_text_of_a_message_says_since_when_and_where_to_look() {
    let text = r#"{{ template "veritail.subject" . }}|{{ template "veritail.text" . }}"#;
    let (content, said) =
        judged("amtool", &["template", "render", "--template.glob=veritail.tmpl", &format!("--template.text={text}")]);
    assert!(content, "{said}");
    for part in ["firing:", "firing since 2", "UTC", "what to do:", "to look:"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}
