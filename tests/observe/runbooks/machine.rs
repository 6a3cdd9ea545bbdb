//! The machine of a node, as the runbooks speak of it, and a shell there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{Block, page};
use crate::support::production::{IN_SECONDS, Production};
use crate::support::program::{in_path, installed};
use crate::support::runner;
use crate::support::server::{ADMIN_TOKEN, Answer, Binary, Client, Job, PROGRAM, Send as _};
use crate::support::wait::until;
use crate::way::Way;

/// Beside what is seconds here: nobody looks for damage but the runbooks' own commands.
const VARIABLES: &[(&str, &str)] = &[
    ("VERITAIL_SWEEP_INTERVAL", "200ms"),
    ("VERITAIL_LIVE_SWEEP_INTERVAL", "1s"),
    ("VERITAIL_VERIFY_HOT", "off"),
    ("VERITAIL_VERIFY_FULL", "off"),
    ("VERITAIL_VERIFY_INVENTORY", "off"),
    ("VERITAIL_VERIFY_INVENTORY_REQUESTS_PER_SECOND", "0"),
    ("VERITAIL_VERIFY_JITTER", "0s"),
];
/// Commands that say nothing when all is well; a line of any other has to show something.
const SILENT: &[&str] = &["set ", "export ", "cp ", "KEY=", "aws s3api delete-object "];
/// Others that may show nothing, and why.
const EXCUSED: &[(&str, &str)] = &[("panic: ", "no test makes the program say it")];

/// What is said where there is nothing: by most programs, by `psql` below the names of the columns, and by `veritail` in lists.
fn is_nothing(output: &str) -> bool {
    output.is_empty() || output.ends_with("(0 rows)") || output == "none"
}

/// See the module. All of it ends with this value.
pub struct Machine {
    node: Binary,
    /// Where its stores are: `secrets.env`.
    stores: Vec<(String, String)>,
    /// What the runbooks have as an example, and what it is here.
    examples: Vec<(&'static str, String)>,
    production: Option<(Production, Way)>,
    folder: TempDir,
}

/// What the lines of a block said, in their order.
pub struct Said(Vec<String>);

impl Machine {
    /// A node over Redis, PostgreSQL and S3 of its own, with settings besides those of all. It uses the database as a role
    /// that owns nothing there. The first job is 42, and the first mismatch 17.
    pub async fn start(own: &[(&str, &str)]) -> Self {
        let production = Production::start().await;
        let database = &production.database;
        let (role, other) = (format!("{}_app", database.name()), format!("{}_other", database.name()));
        for sql in [
            format!("CREATE ROLE {role} LOGIN"),
            format!("CREATE ROLE {other} LOGIN"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
            format!("GRANT pg_signal_backend TO {role}"),
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {other}"),
            "ALTER TABLE jobs ALTER COLUMN id RESTART WITH 42".to_owned(),
            "ALTER TABLE mismatches ALTER COLUMN id RESTART WITH 17".to_owned(),
        ] {
            database.execute(sql).await;
        }
        let way = Way::to(production.s3_port()).await;
        let mut stores = production.variables(way.port());
        for (name, value) in &mut stores {
            if name == "VERITAIL_DATABASE_URL" {
                *value = value.replace("://postgres@", &format!("://{role}@"));
            }
            if let Some((_, own)) = own.iter().find(|(own, _)| own == name) {
                *value = (*own).replace("BUCKET", value);
            }
        }
        let own = own.iter().filter(|(name, _)| stores.iter().all(|(store, _)| store != name)).copied().collect();
        Self::over(stores, own, Some((production, way)))
    }

    /// A node over the stores that are part of the program.
    pub fn start_alone() -> Self {
        Self::over(Vec::new(), Vec::new(), None)
    }

    fn over(stores: Vec<(String, String)>, own: Vec<(&str, &str)>, production: Option<(Production, Way)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the machine");
        let below = |path: &str| folder.path().join(path);
        for path in ["etc/veritail", "backup/objects", "home", "bin"] {
            std::fs::create_dir_all(below(path)).expect("a folder");
        }
        let mut secrets: String = stores.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        secrets += "AWS_DEFAULT_REGION=us-east-1\n";
        std::fs::write(below("etc/veritail/secrets.env"), secrets).expect("a file");
        std::fs::write(below("etc/veritail/veritail.toml"), "").expect("a file");
        let url = stores.iter().find(|(name, _)| name == "VERITAIL_OBJECT_STORE_URL").map(|(_, url)| url.as_str());
        let (bucket, prefix) = url.and_then(|url| url.strip_prefix("s3://")).map_or(("", String::new()), |place| {
            place.split_once('/').map_or((place, String::new()), |(bucket, prefix)| (bucket, format!("{prefix}/")))
        });
        let of_stores = stores.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let settings: Vec<_> = of_stores.chain([IN_SECONDS, VARIABLES, &own].concat()).collect();
        let node = tokio::task::block_in_place(|| Binary::start(&settings));
        std::fs::write(node.data_dir().join("admin-token"), ADMIN_TOKEN).expect("a file");
        programs(folder.path(), &node);
        let examples = [
            ("/etc/veritail", below("etc/veritail").display().to_string()),
            ("/var/lib/veritail", node.data_dir().display().to_string()),
            ("/backup/", below("backup/").display().to_string()),
            ("BUCKET=veritail-logs PREFIX=\n", format!("BUCKET={bucket} PREFIX={prefix}\n")),
            ("http://127.0.0.1:8080", format!("http://{}", node.client().address())),
            ("/proc/42/", format!("/proc/{}/", node.pid())),
        ];
        let examples = examples.into();
        Self { node, stores, examples, production, folder }
    }

    /// The role that its node has in the database.
    pub fn role(&self) -> String {
        format!("{}_app", self.production().database.name())
    }

    /// The URL of its database, for a user that is not its node's.
    pub fn as_another_user(&self) -> String {
        let database = &self.production().database;
        database.url().replace("://postgres@", &format!("://{}_other@", database.name()))
    }

    /// A client with the admin's token.
    pub fn client(&self) -> &Client {
        self.node.client()
    }

    /// Its engines.
    pub fn production(&self) -> &Production {
        &self.production.as_ref().expect("it has engines of its own").0
    }

    /// The way to its bucket.
    pub fn way(&self) -> &Way {
        &self.production.as_ref().expect("it has a bucket").1
    }

    /// A file or folder there.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Its node.
    pub fn node(&self) -> &Binary {
        &self.node
    }

    /// What a variable of `secrets.env` is set to.
    pub fn variable(&self, name: &str) -> &str {
        &self.stores.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is not set")).1
    }

    /// A log that is proven, and has one copy of each chunk, in this store.
    pub async fn kept(&self, log: &[u8], store: &str) -> Job {
        runner::kept(self.client(), log, |found| found == store).await.0
    }

    /// A mismatch, as it is now.
    pub async fn mismatch(&self, number: i64) -> Value {
        let answer = self.ask(number).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Waits until a mismatch is there and in this state.
    pub async fn until(&self, number: i64, state: &str) {
        until(format!("mismatch {number} is {state}"), async || {
            let answer = self.ask(number).await;
            answer.status == 200 && answer.json()["state"] == state
        })
        .await;
    }

    async fn ask(&self, number: i64) -> Answer {
        self.client().admin(Method::GET, &format!("/api/v1/mismatches/{number}")).answer().await
    }

    /// Runs a block of a runbook behind that of the first page. Every line has to end well, and to show something. These
    /// examples of it, each of which is there, are other than written.
    pub fn run(&self, block: &Block, examples: &[(&str, &str)]) -> Said {
        self.attempt(block, examples).unwrap_or_else(|why| panic!("{}: {why}", block.page))
    }

    /// The same of lines that are in no runbook.
    pub fn shell(&self, lines: &str) -> Said {
        self.run(&Block { page: "the test".to_owned(), info: "sh".to_owned(), text: lines.to_owned() }, &[])
    }

    /// The same; what is wrong with it, if anything is.
    pub fn attempt(&self, block: &Block, examples: &[(&str, &str)]) -> Result<Said, String> {
        let first = page("README").into_iter().find(|block| block.info == "sh").expect("a first block").text;
        let (mut first, mut text) = (first, block.text.clone());
        for (example, here) in &self.examples {
            first = first.replace(example, here);
            text = text.replace(example, here);
        }
        for (example, here) in examples {
            if !text.contains(example) {
                return Err(format!("{example} is not in\n{text}"));
            }
            text = text.replace(example, here);
        }
        // A command is a line: its mark stands before it.
        let is_command = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
        let lines: Vec<&str> = text.lines().filter(is_command).collect();
        let before: Vec<&str> = first.lines().filter(is_command).collect();
        let commands: Vec<String> = match block.info.as_str() {
            "sh" => lines.iter().map(|line| (*line).to_owned()).collect(),
            "sql" => lines.iter().map(|line| statement(line)).collect(),
            other => panic!("{}: nobody runs a block of {other:?}", block.page),
        };
        let (code, outputs) = self.bash(&[before.iter().map(|line| (*line).to_owned()).collect(), commands].concat());
        let outputs = outputs.split('\u{1e}').skip(1).map(str::trim);
        let said: Vec<(&str, String)> = before.iter().chain(&lines).copied().zip(outputs.map(str::to_owned)).collect();
        if code != Some(0) {
            let (line, output) = said.last().cloned().unwrap_or_default();
            return Err(format!("{line}\nended with {code:?}, and said\n{output}"));
        }
        let is_silent = |line: &str| SILENT.iter().any(|silent| line.starts_with(silent));
        let is_excused = |line: &str| is_silent(line) || EXCUSED.iter().any(|(part, _)| line.contains(part));
        if let Some((line, output)) = said.iter().find(|(line, output)| is_nothing(output) && !is_excused(line)) {
            return Err(format!("this shows nothing:\n{line}\n{output}"));
        }
        Ok(Said(said.into_iter().skip(before.len()).map(|(_, output)| output).collect()))
    }

    /// Runs lines one after the other in one shell, in an environment of its own, up to the first that fails. The output
    /// of each comes behind a mark.
    fn bash(&self, lines: &[String]) -> (Option<i32>, String) {
        let mut script = "set -e -o pipefail\nexec 2>&1\n".to_owned();
        // A variable that nobody set is a mistake, unless it is that of an engine that is not there.
        script += if self.production.is_some() { "set -u\n" } else { "" };
        lines.iter().for_each(|line| script += &format!("printf '\\036'\n{line}\n"));
        let programs = self.path("bin").display().to_string();
        let output = Command::new("timeout")
            .args(["120", "bash", "-c", &script])
            .env_clear()
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").expect("a path of programs")))
            .env("HOME", self.path("home"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Said {
    /// What a line said.
    pub fn line(&self, number: usize) -> &str {
        &self.0[number]
    }

    /// All of it.
    pub fn all(&self) -> String {
        self.0.join("\n")
    }
}

/// A statement, as a command.
fn statement(sql: &str) -> String {
    format!("psql \"${{VERITAIL_DATABASE_URL:?}}\" -v ON_ERROR_STOP=1 <<'SQL'\n{sql}\nSQL")
}

/// The programs that the runbooks call, where they are not as they stand in the path: `veritail` and `grep` end well also where
/// they tell something bad, `redis-cli` does not where it is refused, and what there is no systemd for in a test says
/// what it would.
fn programs(folder: &Path, node: &Binary) {
    let (log, pid) = (node.log_file(), node.pid());
    let found = |name: &str| in_path(name).unwrap_or_else(|| panic!("{name} is missing")).display().to_string();
    let scripts = [
        // Exit codes as `--help` has them.
        (
            "veritail",
            format!(
                "code=0; '{PROGRAM}' \"$@\" || code=$?\n\
                 case \"$code $1 ${{2:-}}\" in\n  \
                 '1 inspect '* | '1 verify '[0-9]* | '1 verify --'* | '1 verify watch' | '5 cat '*) exit 0 ;;\n\
                 esac\nexit $code\n"
            ),
        ),
        ("grep", format!("code=0; '{}' \"$@\" || code=$?\n[ $code = 1 ] || exit $code\n", found("grep"))),
        ("redis-cli", format!("exec '{}' -e \"$@\"\n", found("redis-cli"))),
        ("aws", format!("exec '{}' \"$@\"\n", installed("python/bin/aws").display())),
        ("journalctl", JOURNALCTL.replace("LOG", &log.display().to_string())),
        (
            "systemctl",
            format!(
                "[ \"$*\" = 'status veritail' ]\necho 'Active: active (running)'; echo 'Main PID: {pid} (veritail)'\n"
            ),
        ),
        ("timedatectl", "[ $# = 0 ]\necho 'System clock synchronized: yes'\n".to_owned()),
    ];
    for (name, script) in scripts {
        let file = folder.join("bin").join(name);
        std::fs::write(&file, format!("#!/usr/bin/env bash\nset -eu\n{script}")).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("its own file");
    }
}

/// The node's log, and a kernel that had trouble with a disk and with memory.
const JOURNALCTL: &str = r#"kernel='' lines=+1
while [ $# -gt 0 ]; do
    case "$1 ${2:-}" in
        "-u veritail") shift 2 ;;
        "--since "*) [[ $2 =~ ^-[0-9]+[smhd]$ ]]; shift 2 ;;
        "-n "*) [[ $2 =~ ^[0-9]+$ ]]; lines=$2; shift 2 ;;
        "-k "*) kernel=yes; shift ;;
        *) echo "journalctl: $* is not known"; exit 1 ;;
    esac
done
if [ -n "$kernel" ]; then
    echo "I/O error, dev sdb, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2"
    echo "Out of memory: Killed process 4242 (veritail) total-vm:1048576kB, anon-rss:524288kB"
else
    tail -n "$lines" "LOG"
fi
"#;
