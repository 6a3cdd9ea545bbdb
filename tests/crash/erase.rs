//! A death between the erase in the database and the removal of the copies: the next sweep removes them.

use futures::TryStreamExt as _;
use veritail::pipeline::points;
use veritail::store::object::keys;
use veritail::trace::{JobId, TraceState};

use super::ground::{Ground, On, Pace};
use super::points::{drive, make_runners};
use super::remains;
use super::runner::Unanswered;
use super::server::{ADMIN_TOKEN, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_while_erasing_leaves_no_copy_embedded() {
    die_while_erasing(On::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_while_erasing_leaves_no_copy_redis() {
    die_while_erasing(On::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_death_while_erasing_leaves_no_copy_production() {
    die_while_erasing(On::Production).await;
}

async fn die_while_erasing(on: On) {
    let mut ground = Ground::new(on, Pace::Quiet).await;
    let server = Server::start(&mut ground, Some(&format!("{}:1", points::ERASED))).await;
    let mut runners = make_runners(&ground).await;
    drive(&mut runners, None).await.expect("it lives until something is erased");
    let (erased, kept) = (&runners[0], &runners[1]);
    let url = format!("http://127.0.0.1:{}/api/v4/projects/1/jobs/{}/erase", ground.port, erased.id);
    veritail::api::server::tls::choose_cryptography();
    let answer = reqwest::Client::new().post(url).bearer_auth(ADMIN_TOKEN).send().await;
    assert!(answer.is_err(), "it dies before it answers: {answer:?}");
    server.dies_by_abort().await;

    let stores = ground.open().await;
    let job = stores.database.job(JobId(erased.id)).await.expect("answered").expect("there");
    assert_eq!(job.state, TraceState::Erased);
    let prefix = keys::job_prefix(job.id);
    let listed = async || stores.objects.list(&prefix).try_collect::<Vec<_>>().await.expect("answered");
    assert!(!listed().await.is_empty(), "nothing was removed yet");
    remains::sweep_once(&stores).await;
    assert_eq!(listed().await, []);
    drop(stores);

    let server = Server::start(&mut ground, None).await;
    assert_eq!(kept.read().await.map_err(|Unanswered| "no answer"), Ok(kept.log.clone()));
    server.kill().await;
}
