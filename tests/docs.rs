//! The pages of this repository: generated ones are what the code says, commands run, links lead somewhere.
#![allow(clippy::disallowed_methods, reason = "a test waits for a process, with a limit of its own")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use veritail::config::Config;
use veritail::telemetry::family::{Start, Type};
use veritail::telemetry::table;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails if the page is not the generated one; with `VERITAIL_UPDATE_DOCS=1` it is rewritten instead.
fn hold_to(page: &str, generated: &str) {
    let path = root().join(page);
    if std::env::var_os("VERITAIL_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, generated).expect("written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == generated, "{page} is old: VERITAIL_UPDATE_DOCS=1 cargo test --test docs");
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const GENERATED: &str = "Generated from the code by `VERITAIL_UPDATE_DOCS=1 cargo test --test docs`; do not edit.";

#[test]
fn the_settings_page_is_what_the_code_says() {
    let mut page = format!(
        "# Settings\n\n{GENERATED}\n\n\
         Defaults, then the file of `--config` (TOML), then variables, then flags; the later wins. A key that nobody knows and a\n\
         value outside its range stop the start, with a message that says where.\n\n\
         | key | variable | default | allowed | meaning |\n|---|---|---|---|---|\n"
    );
    for row in Config::rows() {
        let range = row.range.map_or_else(String::new, |range| format!("`{range}`"));
        // `unset` is a word of this page and no value that could be written down.
        let default = if row.default == "unset" { row.default } else { format!("`{}`", cell(&row.default)) };
        let (key, variable, help) = (row.key, row.variable, cell(row.help));
        writeln!(page, "| `{key}` | `{variable}` | {default} | {range} | {help} |").expect("a string");
    }
    hold_to("docs/reference/settings.md", &page);
}

#[test]
fn the_metrics_page_is_what_the_code_says() {
    let mut page = format!(
        "# Metrics\n\n{GENERATED}\n\n\
         Exposed at `/metrics` in Prometheus' text format. Labels are closed sets. *From the start*: the series are there at zero\n\
         before the first event, so that `rate` and `increase` see that event too.\n"
    );
    for row in table::rows() {
        let kind = match row.metric_type {
            Type::Counter => "Counter",
            Type::Gauge => "Gauge",
            Type::Histogram => "Histogram",
        };
        let start = match row.start {
            Start::Zero => "all series from the start",
            Start::Listed(_) => "those combinations that make sense, all from the start",
            Start::Used(_) => "those combinations that make sense, from the start, of the stores that a node has",
            Start::WhenKnown => "series appear when their value is known",
        };
        let unit = if row.unit().is_empty() { String::new() } else { format!(" in {}", row.unit()) };
        writeln!(page, "\n## `{}`\n\n{}\n\n{kind}{unit}; {start}.", row.name, row.help).expect("a string");
        if !row.labels.is_empty() {
            page.push('\n');
        }
        for (label, values) in &row.labels {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            writeln!(page, "- `{label}`: {}", values.join(", ")).expect("a string");
        }
    }
    page.push_str("\n## `veritail_build_info`\n\nConstant 1, with the `version` and `revision` that run. The revision is what \
         `VERITAIL_REVISION` was when\nthe program was built (`VERITAIL_REVISION=$(git rev-parse --short HEAD) cargo build --release`), else \
         `unknown`.\n");
    page.push_str("\nBeside these: `process_*`, about the process itself.\n");
    hold_to("docs/reference/metrics.md", &page);
}

/// The table of a type's fields.
fn schema_of(page: &mut String, name: &str, schema: &Value) {
    writeln!(page, "\n### `{name}`\n").expect("a string");
    if let Some(description) = schema["description"].as_str() {
        writeln!(page, "{}\n", one_line(description)).expect("a string");
    }
    let Some(fields) = schema["properties"].as_object() else {
        writeln!(page, "{}", type_of(schema)).expect("a string");
        return;
    };
    page.push_str("| field | type | meaning |\n|---|---|---|\n");
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (field, of) in fields {
        let optional = if required.contains(&Value::from(field.as_str())) { "" } else { ", optional" };
        let meaning = cell(&one_line(of["description"].as_str().unwrap_or_default()));
        writeln!(page, "| `{field}` | {}{optional} | {meaning} |", cell(&type_of(of))).expect("a string");
    }
}

/// A type in few words.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[`{name}`](#{})", name.to_lowercase());
    }
    if let Some(all) = schema["oneOf"].as_array() {
        return all.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("`{}`", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let name = |name: &Value| match name.as_str() {
        Some("array") => format!("list of {}", type_of(&schema["items"])),
        Some("string") if schema["format"] == "date-time" => "moment".to_owned(),
        other => other.unwrap_or("anything").to_owned(),
    };
    match schema["type"].as_array() {
        Some(several) => several.iter().map(name).collect::<Vec<_>>().join(" or "),
        None => name(&schema["type"]),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One operation: what it is for, what it takes, what it answers.
fn operation_of(page: &mut String, path: &str, method: &str, operation: &Value) {
    writeln!(page, "\n### `{} {path}`\n", method.to_uppercase()).expect("a string");
    for text in ["summary", "description"].iter().filter_map(|part| operation[*part].as_str()) {
        writeln!(page, "{}\n", one_line(text)).expect("a string");
    }
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &parameters {
        let (name, place) = (&parameter["name"], &parameter["in"]);
        let meaning = one_line(parameter["description"].as_str().unwrap_or_default());
        let [name, place] = [name, place].map(|text| text.as_str().unwrap_or_default());
        writeln!(page, "- `{name}` ({place}, {}): {meaning}", type_of(&parameter["schema"])).expect("a string");
    }
    for (media, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        writeln!(page, "- body, `{media}`: {}", type_of(&body["schema"])).expect("a string");
    }
    if page.ends_with("\n\n") {
        page.truncate(page.len() - 1);
    }
    page.push_str("\n| status | meaning | body | headers |\n|---|---|---|---|\n");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let contents = answer["content"].as_object();
        let bodies = contents.into_iter().flatten().map(|(_, body)| type_of(&body["schema"]));
        let headers = answer["headers"].as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`"));
        let [bodies, headers] = [bodies.collect::<Vec<_>>(), headers.collect()].map(|parts| cell(&parts.join(", ")));
        let meaning = cell(&one_line(answer["description"].as_str().unwrap_or_default()));
        writeln!(page, "| {status} | {meaning} | {bodies} | {headers} |").expect("a string");
    }
}

/// A command and everything below it, as its `--help` has it.
fn describe(command: &mut clap::Command, path: &str, page: &mut String) {
    let path = if path.is_empty() { command.get_name().to_owned() } else { format!("{path} {}", command.get_name()) };
    let subcommands: Vec<String> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(|sub| sub.get_name().to_owned()).collect();
    // Some with subcommands do something without one too.
    if subcommands.is_empty() || command.is_args_conflicts_with_subcommands_set() {
        // As wide as a page is, whatever the terminal of whoever writes it.
        let command = command.clone().term_width(120).bin_name(&path);
        // Nor with what the environment holds.
        let mut command = command.mut_args(|argument| argument.hide_env_values(true));
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## `{path}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).expect("a string");
    }
    for name in subcommands {
        if let Some(sub) = command.find_subcommand_mut(&name).filter(|sub| sub.get_name() != "help") {
            describe(sub, &path, page);
        }
    }
}

#[test]
fn the_http_api_page_is_what_the_code_says() {
    let document = serde_json::to_value(veritail::api::openapi::document()).expect("JSON");
    let mut page = format!(
        "# HTTP API\n\n{GENERATED}\n\n\
         The same as OpenAPI 3.1 is at `/openapi.json` of a running server. Tokens go into `PRIVATE-TOKEN`, `Authorization: Bearer`\n\
         or `JOB-TOKEN`. A moment is RFC 3339 in UTC. Unknown parameters of a query are ignored.\n"
    );
    for tag in document["tags"].as_array().expect("tags") {
        let [name, description] = ["name", "description"].map(|part| tag[part].as_str().unwrap_or_default());
        writeln!(page, "\n## {name}\n\n{description}").expect("a string");
        for (path, item) in document["paths"].as_object().expect("paths") {
            let of_tag = item.as_object().into_iter().flatten().filter(|(_, operation)| operation["tags"][0] == *name);
            of_tag.for_each(|(method, operation)| operation_of(&mut page, path, method, operation));
        }
    }
    page.push_str("\n## Types\n");
    for (name, schema) in document["components"]["schemas"].as_object().expect("types") {
        schema_of(&mut page, name, schema);
    }
    hold_to("docs/reference/http-api.md", &page);
}

#[test]
fn the_commands_page_is_what_the_code_says() {
    let mut page = format!("# Commands\n\n{GENERATED}\n\nEach as its `--help` has it, with its exit codes.\n");
    describe(&mut <veritail::cli::Cli as clap::CommandFactory>::command(), "", &mut page);
    hold_to("docs/reference/commands.md", &page);
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(info), None) => open = Some((info.trim().to_owned(), String::new())),
            (None, Some((info, text))) => open = Some((info, text + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The commands of the README, as they stand there but for the program, which is built already, and the port.
#[test]
fn every_command_of_the_readme_works() {
    let readme = blocks(&read(&root().join("README.md")));
    let rest: Vec<&str> =
        readme.iter().filter(|(info, _)| info != "sh test" && info != "text").map(|(_, text)| text.as_str()).collect();
    // What runs elsewhere: the demo in tests/demo.rs, and the whole of the tests.
    let [other, config] = rest.as_slice() else { panic!("a block that no test runs: {rest:?}") };
    assert!(config.starts_with("[[runners]]"), "{config}");
    let commands: Vec<&str> = other.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands, ["cargo run --release -- demo", "tests/run"]);
    assert!(root().join("tests/run").is_file());

    // Twice in the same folder: nobody has an empty one for ever.
    let folder = tempfile::tempdir().expect("a folder");
    for number in [1, 3] {
        let page = run_blocks_in(folder.path(), &readme);
        let lines: Vec<&str> = page.lines().collect();
        for expected in [r#"{"message":"202 Accepted"}"#, r#"{"message":"200 OK"}"#, "abcd", "no mismatches"] {
            assert!(lines.contains(&expected), "{expected} is no line of\n{page}");
        }
        for expected in
            [r#""verdict":"verified""#, "ed82cd11", &format!("job {number}: verified"), "everything settled"]
        {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
    }
}

/// Runs the blocks marked `sh test` of a page one after the other, in a folder of their own and on a free port, with the
/// program in the path. What they wrote, errors too.
fn run_blocks(page: &[(String, String)]) -> String {
    run_blocks_in(tempfile::tempdir().expect("a folder").path(), page)
}

fn run_blocks_in(folder: &Path, page: &[(String, String)]) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    // Whatever it started ends with it.
    let mut script = "set -eu\nexec 2>&1\ntrap 'kill $(jobs -p) || true' EXIT\n".to_owned();
    page.iter().filter(|(info, _)| info == "sh test").for_each(|(_, text)| script.push_str(text));
    let program = Path::new(env!("CARGO_BIN_EXE_veritail"));
    let script = script.replace("cargo run --release --", &program.display().to_string());
    let script = script.replace("localhost:8080", &format!("localhost:{port}"));
    let mut path = program.parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(folder)
        .env("PATH", path)
        .env("VERITAIL_LISTEN", format!("127.0.0.1:{port}"))
        .env("VERITAIL_URL", format!("http://127.0.0.1:{port}"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("no_proxy", "*")
        // Its jobs would come between those of the page, if the moment was right.
        .env("VERITAIL_VERIFY_CANARY", "off")
        // The program refuses variables that it does not know.
        .env_remove("VERITAIL_SIM_SEEDS")
        .env_remove("VERITAIL_UPDATE_DOCS")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{page}", output.status);
    page
}

/// Lines of the guide that no test here can run, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo install --path .", "builds everything again"),
    ("export VERITAIL_URL=https://logs.example VERITAIL_TOKEN=vtr_...", "there is no such server"),
    ("veritail runner create --all-projects builder-1", "the page on tokens does it"),
    ("veritail job create --project group/demo --name hello --payload hello.json", "its job waits for a runner"),
    ("veritail cat 1 --follow", "waits for a runner's log"),
    ("make 2>&1 | veritail send --project group/demo --name build --tee", "there is nothing to make"),
];

#[test]
fn every_command_of_the_guide_works() {
    let wanted: &[(&str, &[&str])] = &[
        (
            "first-ten-minutes",
            &["job 1: 588895 bytes, proven", "100000\n", "no mismatches", "job 2: 588895 bytes, proven"],
        ),
        ("reading", &["1\n2\n3\n", "100000\n", "verified", "\"verdict\""]),
        ("runners", &[]),
        ("tokens", &["vtj_", "vtk_", "vtr_", "\"pending\""]),
        ("operating", &["veritail.toml", "127.0.0.1/32", "job 1: 6 bytes, proven", "hello\n", "\"dependencies\""]),
    ];
    let mut pages: Vec<String> = std::fs::read_dir(root().join("docs/guide"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path().file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    pages.sort();
    let mut listed: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(pages, listed);
    for (name, expected) in wanted {
        let page = blocks(&read(&root().join(format!("docs/guide/{name}.md"))));
        for (_, text) in page.iter().filter(|(info, _)| info == "sh") {
            for line in text.lines() {
                assert!(NOT_RUN.iter().any(|(known, _)| *known == line), "{name}: no test runs {line:?}");
            }
        }
        if page.iter().any(|(info, _)| info == "sh test") {
            let said = run_blocks(&page);
            for expected in *expected {
                assert!(said.contains(expected), "{name}: {expected} is not in\n{said}");
            }
        }
    }
}

/// Whoever looks for the tests finds them all on one page.
#[test]
fn every_suite_is_named_on_the_testing_page() {
    let page = read(&root().join("docs/testing.md"));
    for entry in std::fs::read_dir(root().join("tests")).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        assert!(page.contains(&format!("`tests/{name}`")), "tests/{name} is not on the page");
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    pages
}

#[test]
fn every_link_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = read(&page);
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            seen += 1;
            let place = page.parent().expect("a folder").join(file);
            assert!(place.exists(), "{}: {target} leads nowhere", page.display());
        }
    }
    assert!(seen > 10, "{seen} links were found");
}

/// Pages name files of the source in backticks; what is renamed is renamed there too.
#[test]
fn every_file_that_a_page_names_is_there() {
    let mut seen = 0;
    for page in pages() {
        for word in read(&page).split('`').skip(1).step_by(2) {
            let is_file = ["src/", "tests/", "migrations/", "deploy/"].iter().any(|begin| word.starts_with(begin))
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_.-".contains(&b));
            if is_file {
                seen += 1;
                assert!(root().join(word).exists(), "{}: `{word}` is not there", page.display());
            }
        }
    }
    assert!(seen > 10, "{seen} files were found");
}

/// Each dashboard, as it is and with damage, in both themes.
#[test]
fn every_dashboard_has_its_pictures() {
    let mut expected = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(root().join("dashboards")).expect("dashboards") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("veritail-").and_then(|name| name.strip_suffix(".json")) else { continue };
        for state in ["healthy", "damage"] {
            expected.extend(["dark", "light"].map(|theme| format!("{name}-{state}-{theme}.png")));
        }
    }
    let entries = std::fs::read_dir(root().join("docs/pictures")).expect("pictures");
    let found = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(expected, found);
}
