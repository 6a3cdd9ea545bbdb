//! Incidents that the runbooks' own commands end: real damage, found; what the runbook says; and the log reads as it was sent.

use serde_json::Value;

use super::machine::Machine;
use super::{Block, block, text};
use crate::support::postgres_server::TestDatabase;
use crate::support::runner::Runner;
use crate::support::server::{Job, flipped, log};

const CHECKSUM: &str = "VeritailChecksumMismatch";
const UNRESOLVED: &str = "VeritailCorruptTracesUnresolved";
const ORPHANS: &str = "VeritailOrphansFound";

/// What the runbooks have for the only part of a key that no test can choose.
const RANDOM: &str = "356523fd5861df99f7f03828178c0dfb";
/// And for the version of an object.
const VERSION: &str = "6713f5beed74d208daadbf8fce2598e9";

/// The blocks that change what is stored, or what is written down of it: those that this file runs, each to its end.
pub(super) const ACTS: &[(&str, &str)] = &[
    (CHECKSUM, "copy-object"),
    (CHECKSUM, "s3 cp"),
    (CHECKSUM, "chunk.copy"),
    (CHECKSUM, "UPDATE trace_chunks"),
    (CHECKSUM, "mismatches resolve"),
    (UNRESOLVED, "/erase"),
    (UNRESOLVED, "mismatches resolve"),
    (ORPHANS, "delete-object"),
    (ORPHANS, "mismatches resolve"),
    ("VeritailRedisFilling", "job cancel"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_version_of_an_object_is_put_back() {
    let machine = Machine::start(&[]).await;
    machine.shell(
        "aws s3api put-bucket-versioning --bucket \"$BUCKET\" --versioning-configuration Status=Enabled; echo done",
    );
    let log = log(10_000);
    let job = machine.kept(&log, "object_store").await;
    // What is not there is an error to this program: the runbook says which.
    const NO_RULE: &str = "NoSuchLifecycleConfiguration";
    let rules = lines(&block(CHECKSUM, "get-bucket-lifecycle"), 0..1);
    let said = machine.attempt(&rules, &[]).err().expect("the bucket has no rule");
    assert!(said.contains(NO_RULE) && text(CHECKSUM).contains(NO_RULE), "{said}");

    let random = random_of_chunk_1(&machine);
    let rot = rot(&machine, &random);
    let damages = [(17, rot.as_str(), "checksum"), (18, "aws s3 rm \"s3://$BUCKET/$KEY\"", "missing")];
    for (mismatch, damage, kind) in damages {
        machine.shell(&format!("{}\n{damage}", key_line(&random)));
        found(&machine, mismatch, kind, "object_store").await;
        let versions = block(CHECKSUM, "copy-object");
        let listed = machine.run(&lines(&versions, 0..2), &[(RANDOM, &random)]);
        // The last line, as the runbook says.
        let oldest = listed.line(1).lines().last().and_then(|row| row.split_whitespace().nth(2)).expect("a version");
        machine.run(&versions, &[(RANDOM, &random), (VERSION, oldest)]);
        is_repaired(&machine, mismatch, &job, &log).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_put_back_from_another_bucket() {
    // Below a prefix, so that the runbook's PREFIX counts.
    let machine = Machine::start(&[("VERITAIL_OBJECT_STORE_URL", "BUCKET/logs/here")]).await;
    let log = log(10_000);
    let job = machine.kept(&log, "object_store").await;
    machine
        .shell("aws s3api create-bucket --bucket veritail-backup\naws s3 sync \"s3://$BUCKET\" s3://veritail-backup");
    let random = random_of_chunk_1(&machine);
    machine.shell(&format!("{}\n{}", key_line(&random), rot(&machine, &random)));
    found(&machine, 17, "checksum", "object_store").await;
    let key = lines(&block(CHECKSUM, "copy-object"), 0..1);
    let copy = lines(&block(CHECKSUM, "s3 cp"), 0..1);
    machine.run(&Block { text: key.text + &copy.text, ..copy }, &[(RANDOM, &random)]);
    is_repaired(&machine, 17, &job, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_put_back_into_a_folder() {
    let machine = Machine::start_alone();
    let log = log(10_000);
    let job = machine.kept(&log, "object_store").await;
    machine.shell("cp -a /var/lib/veritail/objects /backup/");
    let report = machine.client().integrity(&job).await;
    let key = report["chunks"][1]["copies"][0]["key"].as_str().expect("an object").to_owned();
    let file = machine.node().data_dir().join("objects").join(&key);
    flip(&file);
    // The embedded database counts from 1.
    machine.shell(&format!("veritail verify {}", job.id));
    is_open(&machine, 1, "checksum", "object_store").await;
    let copy = lines(&block(CHECKSUM, "s3 cp"), 1..2);
    let copy = Block { text: format!("export KEY={key}\n{}", copy.text), ..copy };
    machine.run(&copy, &[]);
    machine.run(&verify_42(), &[("42", &job.id.to_string())]);
    is_over(&machine, 1, "repaired", &job, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_bytes_is_taken_from_a_backup_of_the_database() {
    let machine = Machine::start(&[]).await;
    machine.way().cut(true);
    let log = log(10_000);
    let job = machine.kept(&log, "database").await;
    // A backup, restored beside the database as it is now.
    let database = &machine.production().database;
    let beside = TestDatabase::empty(database.server()).await;
    machine.shell(&format!("pg_dump '{}' | psql -q -v ON_ERROR_STOP=1 '{}'; echo done", database.url(), beside.url()));
    let random = random_of_chunk_1(&machine);
    let row = format!("key = 'traces/73/42/c/1-1-{random}.zst'");
    let flipped = "set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)";
    database.execute(format!("UPDATE chunk_bytes SET bytes = {flipped} WHERE {row}")).await;
    found(&machine, 17, "checksum", "database").await;

    // The same role, whose name has that of the database in it.
    let own = machine.variable("VERITAIL_DATABASE_URL");
    let backup = own.replace(database.name(), beside.name()).replacen(beside.name(), database.name(), 1);
    let examples = [("postgres://veritail_app@10.0.0.31/veritail_restored", backup.as_str()), (RANDOM, &random)];
    let said = machine.run(&block(CHECKSUM, "chunk.copy"), &examples);
    assert_eq!(said.line(1), "COPY 1", "{}", said.all());
    machine.run(&verify_42(), &[]);
    is_resolved(&machine, 17, "repaired").await;
    machine.way().cut(false);
    is_over(&machine, 17, "repaired", &job, &log).await;

    // The other case that the runbook tells of: the backup has no such row.
    beside.execute("DELETE FROM chunk_bytes").await;
    let said = machine.run(&lines(&block(CHECKSUM, "chunk.copy"), 0..2), &examples);
    assert_eq!(said.line(1), "COPY 0", "{}", said.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_put_right() {
    let machine = Machine::start(&[]).await;
    let log = log(10_000);
    let job = machine.kept(&log, "object_store").await;
    let damage = "UPDATE trace_chunks SET size = size - 1, crc32 = 1, sha256 = set_byte(sha256, 0, get_byte(sha256, 0) # 1) WHERE chunk_index = 1";
    machine.production().database.execute(damage).await;
    found(&machine, 17, "record", "database").await;
    let said = machine.run(&block(CHECKSUM, "show 17 |"), &[]);
    let document = |name: &str| -> Value {
        let text =
            said.line(0).lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{}", said.all()));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {}", said.all()))
    };
    let (expected, found) = (document("expected"), document("found"));
    assert_eq!(expected["stored_sha256"], found["stored_sha256"]);
    let text = |name: &str| found[name].as_str().unwrap_or_else(|| panic!("no {name} in {found}"));
    let size = format!("size = {}", found["size"]);
    let examples = [
        ("size = 131072", size.as_str()),
        ("6176d8fd", text("crc32")),
        ("dbcfc320cde24ed8649644d904e49b0be26aa7851ea3a859e146d350a9e22d57", text("sha256")),
    ];
    let said = machine.run(&block(CHECKSUM, "UPDATE trace_chunks"), &examples);
    assert_eq!(said.line(1), "UPDATE 1", "{}", said.all());
    is_repaired(&machine, 17, &job, &log).await;
}

/// As the runbook says of it: nothing differs any more, and only a person ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_wrong_with_the_whole_is_taken_note_of() {
    let machine = Machine::start(&[]).await;
    let log = log(10_000);
    let job = machine.kept(&log, "object_store").await;
    let database = &machine.production().database;
    let rows = block(CHECKSUM, "FROM jobs WHERE id = 42");
    let before = machine.run(&rows, &[]).all();
    database.execute("UPDATE jobs SET crc32 = crc32 # 1 WHERE id = 42").await;
    machine.shell("veritail verify 42");
    let found = machine.mismatch(17).await;
    assert_eq!((&found["kind"], &found["state"]), (&"trace_checksum".into(), &"open".into()), "{found:#}");
    assert_ne!(machine.run(&rows, &[]).all(), before);
    database.execute("UPDATE jobs SET crc32 = crc32 # 1 WHERE id = 42").await;
    assert_eq!(machine.run(&rows, &[]).all(), before);
    machine.run(&verify_42(), &[]);
    assert_eq!(machine.mismatch(17).await["state"], "open");
    machine.run(&block(CHECKSUM, "mismatches resolve"), &[]);
    is_over(&machine, 17, "acknowledged", &job, &log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_is_deleted_and_the_next_inventory_says_so() {
    let machine = Machine::start(&[("VERITAIL_VERIFY_INVENTORY", "* * * * * *")]).await;
    let log = log(3_000);
    let job = machine.kept(&log, "object_store").await;
    // The log has one chunk; this would be the second.
    let random = "0123456789abcdef0123456789abcdef";
    machine.shell(&format!("{}\necho left over | aws s3 cp - \"s3://$BUCKET/$KEY\"; echo done", key_line(random)));
    machine.way().grow_old();
    machine.until(17, "open").await;
    is_open(&machine, 17, "orphan", "object_store").await;
    let said = machine.run(&block(ORPHANS, "--kind orphan"), &[]);
    assert!(said.line(0).contains("orphan"), "{}", said.all());

    let said = machine.run(&block(ORPHANS, "delete-object"), &[(RANDOM, random)]);
    assert_eq!(said.line(0), "73");
    assert!(said.line(1).contains(&format!("traces/73/42/c/1-1-{random}.zst")), "{}", said.all());
    machine.until(17, "resolved").await;
    let report = machine.client().integrity(&job).await;
    assert_eq!(report["verdict"], "verified", "{report:#}");
    assert_eq!(machine.client().trace(&job).await, log);

    // Another, which is to stay.
    machine.shell(&format!("{}\necho kept | aws s3 cp - \"s3://$BUCKET/$KEY\"; echo done", key_line(random)));
    machine.until(18, "open").await;
    machine.run(&block(ORPHANS, "mismatches resolve"), &[("17", "18")]);
    let noted = machine.mismatch(18).await;
    assert_eq!(noted["comment"], "left by the restore of 31 January, kept", "{noted:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_taken_note_of_or_erased() {
    let machine = Machine::start(&[]).await;
    let job = machine.kept(&log(10_000), "object_store").await;
    let random = random_of_chunk_1(&machine);
    machine.shell(&format!("{}\naws s3 rm \"s3://$BUCKET/$KEY\"", key_line(&random)));
    found(&machine, 17, "missing", "object_store").await;
    machine.run(&block(UNRESOLVED, "mismatches resolve"), &[]);
    is_resolved(&machine, 17, "acknowledged").await;
    assert_eq!(machine.mismatch(17).await["comment"], "lost with the disk of 31 January");

    machine.shell("aws s3 rm --recursive \"s3://$BUCKET/${PREFIX}traces/73/42/\"\nveritail verify 42");
    is_open(&machine, 18, "missing", "object_store").await;
    machine.run(&block(CHECKSUM, "mismatches resolve"), &[("17", "18")]);
    assert_eq!(machine.mismatch(18).await["comment"], "the disk was replaced, no copy is left");

    is_open(&machine, 19, "missing", "object_store").await;
    machine.run(&block(UNRESOLVED, "/erase"), &[]);
    is_resolved(&machine, 19, "erased").await;
    let report = machine.client().integrity(&job).await;
    assert_eq!(report["verdict"], "erased", "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_runs_wild_is_cancelled() {
    let machine = Machine::start(&[]).await;
    let job = machine.client().make_job_with_reset(true).await;
    let mut runner = Runner::new(machine.client(), &job);
    runner.send(&log(3_000)).await;
    machine.run(&block("VeritailRedisFilling", "job cancel"), &[]);
    let answer = machine.client().append(&job, 3_000, b"more").await;
    // Its last lines still count, as the protocol has it; and then it is over.
    assert_eq!((answer.status, answer.header("Job-Status")), (202, "canceling"), "{answer:?}");
}

/// Looks at job 42 and expects to find this, which has to be what is open then.
async fn found(machine: &Machine, mismatch: i64, kind: &str, store: &str) {
    machine.shell("veritail verify 42");
    is_open(machine, mismatch, kind, store).await;
}

async fn is_open(machine: &Machine, mismatch: i64, kind: &str, store: &str) {
    let found = machine.mismatch(mismatch).await;
    let fields = ["kind", "store", "state"].map(|name| found[name].as_str().expect("a text").to_owned());
    assert_eq!(fields, [kind, store, "open"], "{found:#}");
}

/// The look that the runbook ends with finds the log as recorded again, and it is.
async fn is_repaired(machine: &Machine, mismatch: i64, job: &Job, log: &[u8]) {
    machine.run(&verify_42(), &[]);
    is_over(machine, mismatch, "repaired", job, log).await;
}

async fn is_resolved(machine: &Machine, mismatch: i64, how: &str) {
    let now = machine.mismatch(mismatch).await;
    assert_eq!((&now["state"], &now["resolution"]), (&"resolved".into(), &how.into()), "{now:#}");
}

/// And the log reads as it was sent.
async fn is_over(machine: &Machine, mismatch: i64, how: &str, job: &Job, log: &[u8]) {
    is_resolved(machine, mismatch, how).await;
    let report = machine.client().integrity(job).await;
    assert!(["verified", "unclaimed"].contains(&report["verdict"].as_str().expect("a verdict")), "{report:#}");
    assert_eq!(machine.client().trace(job).await, log);
}

/// `veritail verify 42`, as both runbooks have it.
fn verify_42() -> Block {
    let alike = [block(CHECKSUM, "verify 42\n"), block(UNRESOLVED, "verify 42\n")];
    assert_eq!(alike[0].text, alike[1].text);
    alike[0].clone()
}

/// Some lines of a block.
fn lines(of: &Block, which: std::ops::Range<usize>) -> Block {
    let text = of.text.lines().skip(which.start).take(which.len()).map(|line| format!("{line}\n")).collect();
    Block { text, ..of.clone() }
}

/// What sets `KEY`, as the runbook has it.
fn key_line(random: &str) -> String {
    lines(&block(CHECKSUM, "copy-object"), 0..1).text.replace(RANDOM, random)
}

/// The part of the key of chunk 1 that is made by chance, as the runbook says where to find it.
fn random_of_chunk_1(machine: &Machine) -> String {
    let said = machine.shell("veritail inspect 42 --keys");
    let (_, key) = said.line(0).split_once("traces/73/42/c/1-1-").unwrap_or_else(|| panic!("{}", said.all()));
    key.split('.').next().expect("a name").to_owned()
}

/// A command that writes another object under the key of chunk 1, with a bit that is another.
fn rot(machine: &Machine, random: &str) -> String {
    machine.shell(&format!("{}\naws s3 cp \"s3://$BUCKET/$KEY\" object", key_line(random)));
    flip(&machine.path("object"));
    "aws s3 cp object \"s3://$BUCKET/$KEY\"".to_owned()
}

fn flip(file: &std::path::Path) {
    let bytes = std::fs::read(file).expect("a file");
    std::fs::write(file, flipped(&bytes)).expect("its own file");
}
