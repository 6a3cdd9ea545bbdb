//! `veritail runner|token|project`: who may come in, over the API of a running server.

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Connection};
use super::inspect::table;
use super::{Failed, exit};
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;

/// Items that one request asks for.
const PER_PAGE: u32 = 100;

/// Make, list and revoke runners: whoever asks for pending jobs.
#[derive(Debug, Args)]
pub(super) struct Runner {
    #[command(subcommand)]
    action: RunnerAction,
}

#[derive(Debug, Subcommand)]
enum RunnerAction {
    /// Make a runner and show its token, once. It goes to `token` in gitlab-runner's config.toml.
    #[command(after_help = exit::OF_OTHERS)]
    Create {
        /// What people call it.
        description: String,
        #[command(flatten)]
        projects: Projects,
        #[command(flatten)]
        to: To,
    },
    /// List all runners, also the revoked ones.
    #[command(after_help = exit::OF_OTHERS)]
    List {
        #[command(flatten)]
        to: To,
    },
    /// Revoke a runner: it gets no more jobs; those that it runs go on.
    #[command(after_help = exit::OF_OTHERS)]
    Revoke {
        /// Its number, as in the list.
        #[arg(value_name = "RUNNER")]
        number: i64,
        #[command(flatten)]
        to: To,
    },
}

/// Make, list, rotate and revoke tokens for the API.
#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    action: TokenAction,
}

#[derive(Debug, Subcommand)]
enum TokenAction {
    /// Make a token and show its secret, once.
    #[command(after_help = exit::OF_OTHERS)]
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        projects: Projects,
        /// What it is good for: read, or admin (with --all-projects only).
        #[arg(long = "scope", value_name = "SCOPE", default_value = "read", value_parser = ["read", "admin"])]
        scopes: Vec<String>,
        #[command(flatten)]
        expiry: Expiry,
        #[command(flatten)]
        to: To,
    },
    /// List all tokens, also those that are not good any more.
    #[command(after_help = exit::OF_OTHERS)]
    List {
        #[command(flatten)]
        to: To,
    },
    /// Give a token another secret, shown once; the old one is good for nothing at once.
    #[command(after_help = exit::OF_OTHERS)]
    Rotate {
        /// Its number, as in the list.
        #[arg(value_name = "TOKEN")]
        number: i64,
        #[command(flatten)]
        expiry: Expiry,
        #[command(flatten)]
        to: To,
    },
    /// Revoke a token. Other nodes may let it in for `http.auth_ttl` more.
    #[command(after_help = exit::OF_OTHERS)]
    Revoke {
        /// Its number, as in the list.
        #[arg(value_name = "TOKEN")]
        number: i64,
        #[command(flatten)]
        to: To,
    },
}

/// List projects.
#[derive(Debug, Args)]
pub(super) struct Project {
    #[command(subcommand)]
    action: ProjectAction,
}

#[derive(Debug, Subcommand)]
enum ProjectAction {
    /// List all projects. A project is made with its first job.
    #[command(after_help = exit::OF_OTHERS)]
    List {
        #[command(flatten)]
        to: To,
    },
}

/// Where to, and for whom the answer is.
#[derive(Debug, Args)]
struct To {
    #[command(flatten)]
    connection: Connection,
    /// Print the document as it is.
    #[arg(long)]
    json: bool,
}

/// Whose jobs: one of both must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Projects {
    /// For this project, by number or path; may be repeated.
    #[arg(long = "project", value_name = "PROJECT")]
    projects: Vec<String>,
    /// For all projects, there are and will be.
    #[arg(long)]
    all_projects: bool,
}

impl Projects {
    fn document(&self) -> Value {
        if self.all_projects {
            return "all".into();
        }
        let one = |project: &String| project.parse::<i64>().map_or_else(|_| json!(project), |number| json!(number));
        self.projects.iter().map(one).collect()
    }
}

/// Until when.
#[derive(Debug, Args)]
struct Expiry {
    /// How long it is good, such as 90d or 12h. Without it: as long as the one before, or for ever.
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
}

impl Runner {
    pub(super) async fn run(self) -> Result<(), Failed> {
        match self.action {
            RunnerAction::Create { description, projects, to } => {
                let wanted = json!({ "description": description, "projects": projects.document() });
                to.made("/api/v1/runners", &wanted, "runner").await
            }
            RunnerAction::List { to } => to.list("/api/v1/runners", RUNNERS).await,
            RunnerAction::Revoke { number, to } => to.revoked("/api/v1/runners", "runner", number).await,
        }
    }
}

impl Token {
    pub(super) async fn run(self) -> Result<(), Failed> {
        match self.action {
            TokenAction::Create { name, projects, scopes, expiry, to } => {
                let mut wanted = json!({ "name": name, "projects": projects.document(), "scopes": scopes });
                expiry.add_to(&mut wanted);
                to.made("/api/v1/tokens", &wanted, "token").await
            }
            TokenAction::List { to } => to.list("/api/v1/tokens", TOKENS).await,
            TokenAction::Rotate { number, expiry, to } => {
                let mut wanted = json!({});
                expiry.add_to(&mut wanted);
                to.made(&format!("/api/v1/tokens/{number}/rotate"), &wanted, &format!("token {number} that is good"))
                    .await
            }
            TokenAction::Revoke { number, to } => to.revoked("/api/v1/tokens", "token", number).await,
        }
    }
}

impl Project {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ProjectAction::List { to } = self.action;
        to.list("/api/v1/projects", PROJECTS).await
    }
}

impl Expiry {
    fn add_to(&self, wanted: &mut Value) {
        if let Some(expires_in) = &self.expires_in {
            wanted["expires_in"] = expires_in.as_str().into();
        }
    }
}

/// How a column is shown.
#[derive(Clone, Copy)]
enum Show {
    Plain,
    Time,
}

/// Columns: head, field, how.
type Columns = &'static [(&'static str, &'static str, Show)];

const RUNNERS: Columns = &[
    ("runner", "id", Show::Plain),
    ("description", "description", Show::Plain),
    ("state", "state", Show::Plain),
    ("projects", "projects", Show::Plain),
    ("last contact", "last_contact_at", Show::Time),
    ("created", "created_at", Show::Time),
];
const TOKENS: Columns = &[
    ("token", "id", Show::Plain),
    ("name", "name", Show::Plain),
    ("state", "state", Show::Plain),
    ("scopes", "scopes", Show::Plain),
    ("projects", "projects", Show::Plain),
    ("expires", "expires_at", Show::Time),
    ("last used", "last_used_at", Show::Time),
    ("created", "created_at", Show::Time),
];
const PROJECTS: Columns = &[("project", "id", Show::Plain), ("path", "path", Show::Plain)];

impl To {
    fn client(&self) -> Result<Client, Failed> {
        self.connection.client()
    }

    /// Makes something that has a secret. The secret alone goes to standard output, so that a script can keep it.
    async fn made(&self, path: &str, wanted: &Value, what: &str) -> Result<(), Failed> {
        let client = self.client()?;
        let answer = client.send(client.request(Method::POST, path).json(wanted), what).await?;
        let made: Value = answer.json().await.map_err(Failed::because)?;
        if self.json {
            println!("{made:#}");
            return Ok(());
        }
        let what = what.split(' ').next().unwrap_or(what);
        eprintln!("{what} {} made; its secret is shown this once:", cell(&made["id"]));
        println!("{}", cell(&made["token"]));
        Ok(())
    }

    async fn revoked(&self, path: &str, what: &str, number: i64) -> Result<(), Failed> {
        let client = self.client()?;
        let request = client.request(Method::DELETE, &format!("{path}/{number}"));
        let answer = client.send(request, &format!("{what} {number}")).await?;
        let revoked: Value = answer.json().await.map_err(Failed::because)?;
        if self.json {
            println!("{revoked:#}")
        } else {
            println!("{what} {number} is revoked")
        }
        Ok(())
    }

    /// All pages; as one array for machines.
    async fn list(&self, path: &str, columns: Columns) -> Result<(), Failed> {
        let client = self.client()?;
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Value = client.get(&format!("{path}?per_page={PER_PAGE}&cursor={cursor}"), "such list").await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) if next != cursor => next.clone_into(&mut cursor),
                _ => break,
            }
        }
        if self.json {
            println!("{:#}", Value::Array(items));
        } else if items.is_empty() {
            eprintln!("none yet");
        } else {
            // People read how long ago; what goes elsewhere has the moments themselves.
            let now = std::io::stdout().is_terminal().then(|| SystemClock.now().0);
            render(&items, columns, now).iter().for_each(|line| println!("{line}"));
        }
        Ok(())
    }
}

fn render(items: &[Value], columns: Columns, now: Option<i64>) -> Vec<String> {
    let head: Vec<&str> = columns.iter().map(|(head, ..)| *head).collect();
    let row = |item: &Value| {
        let cells = columns.iter().map(|(_, field, show)| match (show, now) {
            (Show::Time, Some(now)) => relative(&item[field], now),
            _ => cell(&item[field]),
        });
        cells.collect()
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    table(&head, &rows).skip(1).map(|line| line.trim_end().to_owned()).collect()
}

/// A value in a table: printable, whatever its maker called it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// `3 h ago`, `in 2 d`.
fn relative(value: &Value, now: i64) -> String {
    let Some(at) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else { return cell(value) };
    let away = at.as_millisecond().saturating_sub(now);
    let seconds = away.unsigned_abs() / 1000;
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    if away > 0 { format!("in {number} {unit}") } else { format!("{number} {unit} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_table() {
        let items = [
            json!({"id": 1, "description": "builds\u{1b}[2J", "state": "active", "projects": "all",
                   "last_contact_at": "1970-01-01T00:00:05Z", "created_at": "1970-01-01T00:00:00Z"}),
            json!({"id": 12, "description": "b", "state": "revoked", "projects": [1, 7],
                   "last_contact_at": null, "created_at": "1970-01-01T00:00:00Z"}),
        ];
        let expected = "\
runner  description  state    projects  last contact  created
1       builds?[2J   active   all       55 s ago      1 min ago
12      b            revoked  1,7       -             1 min ago";
        assert_eq!(render(&items, RUNNERS, Some(60_000)).join("\n"), expected);
        assert!(render(&items, RUNNERS, None)[1].ends_with("1970-01-01T00:00:05Z  1970-01-01T00:00:00Z"));
    }

    #[test]
    fn moments_are_told_from_now() {
        for (at, expected) in [
            ("1970-01-01T00:00:00Z", "0 s ago"),
            ("1970-01-01T00:02:00Z", "in 2 min"),
            ("1970-01-01T05:00:00Z", "in 5 h"),
            ("1970-01-11T00:00:00Z", "in 10 d"),
        ] {
            assert_eq!(relative(&json!(at), 0), expected);
        }
    }
}
