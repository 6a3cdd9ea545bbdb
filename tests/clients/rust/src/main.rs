//! Takes one job with the crate `gitlab-runner`, writes a log piece by piece, and ends the job: URL, runner's token.
//!
//! A step of the job's script is `say TEXT`, `lines N` or `fail`.

use std::time::Duration;

use gitlab_runner::job::Job;
use gitlab_runner::{GitlabLayer, JobHandler, JobResult, NoFiles, Phase, RunnerBuilder, outputln};
use tracing_subscriber::prelude::*;

struct Steps;

#[async_trait::async_trait]
impl JobHandler<NoFiles> for Steps {
    async fn step(&mut self, script: &[String], _: Phase) -> JobResult {
        for line in script {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("say", text) => outputln!("{text}"),
                ("lines", count) => {
                    for number in 0..count.parse().map_err(drop)? {
                        outputln!("line {number} of {count}: grün");
                        // So slow that the client sends what there is before the end: it does so every three seconds.
                        if number % 1000 == 0 {
                            tokio::time::sleep(Duration::from_millis(250)).await;
                        }
                    }
                }
                _ => return Err(()),
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token] = arguments.as_slice() else { panic!("a URL and a token are needed") };
    let folder = tempfile::tempdir().expect("a folder");
    let (layer, jobs) = GitlabLayer::new();
    let messages = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(messages.with_filter(tracing_subscriber::filter::LevelFilter::WARN))
        .with(layer)
        .init();
    let url = url.parse().expect("a URL");
    let mut runner = RunnerBuilder::new(url, token.clone(), folder.path(), jobs).version("1").build().await;
    let made = |job: Job| async move {
        println!("job {}", job.id());
        Ok(Steps)
    };
    let taken = runner.request_job(made).await.expect("answered");
    println!("{}", if taken { "taken" } else { "nothing is pending" });
    runner.drain().await;
}
