//! A live service that stays, to look at dashboards with: `cargo test --test observe to_look_at -- --ignored --nocapture`.

use std::path::Path;

use super::stage::{STEADY, Stage};
use crate::support::production::Production;
use crate::support::runner::pause;

/// It writes the address of its Prometheus to `target/stage/prometheus`. A file `damage` beside it makes it damage bytes, a file
/// `end` ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it stays until it is told to end"]
async fn a_service_to_look_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/stage");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let _servers = Production::hold();
    let stage = Stage::start(&STEADY).await;
    std::fs::write(folder.join("prometheus"), stage.prometheus.url()).expect("a file");
    println!("Prometheus: {}", stage.prometheus.url());
    while !folder.join("end").exists() {
        if std::fs::remove_file(folder.join("damage")).is_ok() {
            stage.damage().await;
            println!("damaged");
        }
        pause(500).await;
    }
}
