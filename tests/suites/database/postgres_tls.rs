//! PostgreSQL over TLS: who the server is gets proven, and what is wrong is said.

use veritail::store::StoreError;
use veritail::store::database::postgres::PostgresDatabase;

use super::*;
use crate::support::certificates::Authority;
use crate::support::postgres_server::{PostgresServer, settings};

/// A server with a certificate for 127.0.0.1, and whom to trust for it.
fn start() -> (PostgresServer, Authority) {
    let authority = Authority::new();
    (PostgresServer::start_over_tls(&authority), authority)
}

fn url(server: &PostgresServer, mode: &str, trusted: Option<&Authority>) -> String {
    let trusted = trusted.map_or_else(String::new, |trusted| format!("&sslrootcert={}", trusted.file().display()));
    format!("{}?sslmode={mode}{trusted}", server.url("postgres"))
}

async fn refusal(url: &str) -> String {
    match PostgresDatabase::connect(url, settings()).await {
        Err(error @ (StoreError::Unavailable { .. } | StoreError::Unreadable { .. })) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it is let in: {url}"),
    }
}

#[tokio::test]
async fn a_server_that_proves_who_it_is_is_spoken_to_over_tls() {
    let (server, authority) = start();
    let db = PostgresDatabase::connect(&url(&server, "verify-full", Some(&authority)), settings()).await.unwrap();
    let id = running(&db).await;
    seal(&db, id, 0, &bytes("12345678"), NOW).await;
    let mut seen = server.connection("postgres").await;
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'veritail'";
    let encrypted: Option<bool> = sqlx::query_scalar(encrypted).fetch_one(&mut seen).await.unwrap();
    assert_eq!(encrypted, Some(true), "every connection of the node");
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused_with_what_to_look_at() {
    let (server, authority) = start();
    for (mode, trusted) in
        [("verify-full", Some(Authority::new())), ("verify-ca", Some(Authority::new())), ("verify-full", None)]
    {
        let error = refusal(&url(&server, mode, trusted.as_ref())).await;
        assert!(error.contains("certificate") && error.contains("sslrootcert"), "{mode}: {error}");
    }
    // Signed by whom it should be, for another name.
    let other = url(&server, "verify-full", Some(&authority)).replace("127.0.0.1", "localhost");
    let error = refusal(&other).await;
    assert!(error.contains("certificate") && error.contains("localhost"), "{error}");
    let any_name = other.replace("verify-full", "verify-ca");
    PostgresDatabase::connect(&any_name, settings()).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_and_a_missing_file_are_told_apart() {
    let (server, authority) = start();
    let plain = PostgresServer::shared();
    let error = refusal(&url(&plain, "verify-full", Some(&authority))).await;
    assert!(error.to_lowercase().contains("tls"), "{error}");
    let missing = format!("{}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", server.url("postgres"));
    let error = refusal(&missing).await;
    assert!(error.contains("sslrootcert"), "{error}");
}
