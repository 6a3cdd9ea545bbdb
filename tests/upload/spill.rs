//! The object store is away: chunks go to the database, are proven there, and move on when it is back.

use serde_json::Value;
use sqlx::Connection as _;

use crate::support::postgres_server::{PostgresServer, TestDatabase};
use crate::support::runner::Runner;
use crate::support::server::{Binary, Client, Job, Send as _, log};
use crate::support::wait::{PATIENCE, holds_within};

/// Five chunks and a bit.
const LOG: usize = 5 * 131_072 + 77;

/// The database that chunks go to.
enum Database {
    Sqlite,
    Postgres(TestDatabase),
}

impl Database {
    async fn postgres() -> Self {
        Self::Postgres(TestDatabase::new(&PostgresServer::shared()).await)
    }

    /// How many rows hold bytes.
    async fn rows_with_bytes(&self, server: &Binary) -> i64 {
        const COUNT: &str = "SELECT count(*) FROM chunk_bytes";
        match self {
            Self::Sqlite => {
                let file = server.data_dir().join("veritail.db");
                let file = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let mut connection = sqlx::SqliteConnection::connect_with(&file).await.expect("the server's database");
                sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.expect("a table")
            }
            Self::Postgres(database) => {
                let mut connection = database.server().connection(database.name()).await;
                sqlx::query_scalar(COUNT).fetch_one(&mut connection).await.expect("a table")
            }
        }
    }
}

/// The same scenario on every database, a test each.
macro_rules! on_every_database {
    ($($name:ident)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Database::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Database::postgres().await).await;
            })+
        }
    };
}

on_every_database! {
    chunks_go_to_the_database_and_on_to_the_object_store
    a_restart_forgets_nothing_of_what_lies_in_the_database
    the_database_takes_no_more_than_its_limit_and_the_rest_waits
    an_erased_trace_leaves_nothing_in_the_database
    a_node_without_work_notices_that_the_object_store_is_back
}

fn start(database: &Database, spill_max: &str) -> Binary {
    let url = match database {
        Database::Sqlite => None,
        Database::Postgres(database) => Some(database.url()),
    };
    let mut variables = vec![
        ("VERITAIL_SPILL_AFTER", "0ms"),
        ("VERITAIL_SPILL_MAX", spill_max),
        ("VERITAIL_SWEEP_INTERVAL", "200ms"),
        ("VERITAIL_GAUGE_INTERVAL", "200ms"),
        ("VERITAIL_LIVE_GRACE", "0s"),
        ("VERITAIL_LEASE_TIME", "1s"),
    ];
    variables.extend(url.as_deref().map(|url| ("VERITAIL_DATABASE_URL", url)));
    Binary::start(&variables)
}

/// How many chunks have a good copy in `store`.
fn copies_in(integrity: &Value, store: &str) -> usize {
    let chunks = integrity["chunks"].as_array().expect("chunks").iter();
    let copies = chunks.flat_map(|chunk| chunk["copies"].as_array().expect("copies"));
    copies.filter(|copy| copy["store"] == store && copy["state"] == "verified").count()
}

async fn upload(client: &Client, log: &[u8]) -> Job {
    let job = client.make_job().await;
    let mut runner = Runner::new(client, &job);
    runner.send(log).await;
    assert_eq!(runner.finish(log).await.state(), (200, "success"));
    job
}

async fn until_metric(client: &Client, name: &str, wanted: f64) {
    client.metric_until(name, "", |value| (value - wanted).abs() < 0.5).await;
}

async fn chunks_go_to_the_database_and_on_to_the_object_store(database: Database) {
    let (server, log) = (start(&database, "1000000"), log(LOG));
    let client = server.client();
    server.take_objects_away();
    let job = upload(client, &log).await;
    let integrity = client.integrity(&job).await;
    assert_eq!(integrity["verdict"], "verified");
    assert_eq!((copies_in(&integrity, "database"), copies_in(&integrity, "object_store")), (6, 0), "{integrity}");
    assert!(client.trace(&job).await == log);
    until_metric(client, "veritail_spill_chunks", 6.0).await;
    until_metric(client, "veritail_spilling", 1.0).await;

    server.bring_objects_back();
    let moved = |integrity: &Value| copies_in(integrity, "object_store") == 6;
    let integrity = client.integrity_until(&job, "in the object store", moved).await;
    assert_eq!((copies_in(&integrity, "database"), integrity["verdict"].as_str()), (0, Some("verified")));
    assert!(client.trace(&job).await == log);
    until_metric(client, "veritail_spill_chunks", 0.0).await;
    until_metric(client, "veritail_spilling", 0.0).await;
    assert!(client.metric("veritail_integrity_mismatches_total", "").await.abs() < 0.5);
}

async fn a_restart_forgets_nothing_of_what_lies_in_the_database(database: Database) {
    let (mut server, log) = (start(&database, "1000000"), log(LOG));
    server.take_objects_away();
    let job = upload(server.client(), &log).await;
    server.bring_objects_back();
    server.restart();
    let client = server.client();
    client.integrity_until(&job, "in the object store", |integrity| copies_in(integrity, "object_store") == 6).await;
    assert!(client.trace(&job).await == log);
}

async fn the_database_takes_no_more_than_its_limit_and_the_rest_waits(database: Database) {
    // Two chunks fit.
    let (server, log) = (start(&database, "300000"), log(LOG));
    let client = server.client();
    server.take_objects_away();
    let job = client.make_job().await;
    let mut runner = Runner::new(client, &job);
    runner.send(&log).await;
    client.integrity_until(&job, "in the database", |integrity| copies_in(integrity, "database") == 2).await;
    until_metric(client, "veritail_spill_chunks", 2.0).await;
    server.bring_objects_back();
    assert_eq!(runner.finish(&log).await.state(), (200, "success"));
    client.integrity_until(&job, "in the object store", |integrity| copies_in(integrity, "object_store") == 6).await;
    assert!(client.trace(&job).await == log);
}

async fn an_erased_trace_leaves_nothing_in_the_database(database: Database) {
    let server = start(&database, "1000000");
    let client = server.client();
    server.take_objects_away();
    let (job, kept) = (upload(client, &log(LOG)).await, upload(client, b"this one stays").await);
    let erase = client.admin(reqwest::Method::POST, &format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id));
    assert_eq!(erase.answer().await.status, 201);
    // Its objects cannot be listed now; what lies in the database goes with the deletion that is due.
    server.bring_objects_back();
    client.integrity_until(&kept, "in the object store", |integrity| copies_in(integrity, "object_store") == 1).await;
    until_metric(client, "veritail_spill_chunks", 0.0).await;
    assert_eq!(rows_with_bytes(&database, &server).await, 0, "rows with bytes are left");
}

/// Nothing is left to be kept or moved on, so nothing else would tell the node.
async fn a_node_without_work_notices_that_the_object_store_is_back(database: Database) {
    let server = start(&database, "1000000");
    let client = server.client();
    server.take_objects_away();
    let job = upload(client, b"a short log").await;
    until_metric(client, "veritail_spilling", 1.0).await;
    let erase = client.admin(reqwest::Method::POST, &format!("/api/v4/projects/{}/jobs/{}/erase", job.project, job.id));
    assert_eq!(erase.answer().await.status, 201);
    assert_eq!(rows_with_bytes(&database, &server).await, 0);
    server.bring_objects_back();
    until_metric(client, "veritail_spilling", 0.0).await;
}

/// Waits until the table of bytes is empty, and says how many rows it has.
async fn rows_with_bytes(database: &Database, server: &Binary) -> i64 {
    let mut left = -1;
    holds_within(PATIENCE, async || {
        left = database.rows_with_bytes(server).await;
        left == 0
    })
    .await;
    left
}
