//! `veritail demo`: the story of four logs, over real HTTP and real stores, in a folder that is gone afterwards.
//!
//! Whatever it claims is checked while it is claimed: a claim that does not hold says so, and the command fails.

mod damage;
pub(in crate::cli) mod logs;
mod loss;
mod observe;
mod progress;
mod proof;
mod runner;
mod screen;
mod service;

use std::path::Path;

use clap::Args;
use futures::future::try_join_all;

use super::Failed;
use super::signals::Signals;
use crate::app::{self, Running};
use crate::config::Config;
use crate::config::cron::Cron;
use crate::config::value::Span;
use crate::seams::Clock as _;
use crate::seams::real::SystemClock;
use logs::{Flavour, log};
use observe::Observed;
use progress::{Bars, Progress};
use runner::Runner;
use screen::{Paint, Screen, grouped};
use service::{Service, jobs_path};

/// Show in a quarter of a minute what Veritail does: stream logs, prove them, lose bytes and damage others on purpose.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the story, also in a terminal.
    #[arg(long)]
    once: bool,
    /// Start Prometheus with Veritail's alerts beside it, if it is installed, and show that they fire.
    #[arg(long)]
    observe: bool,
}

/// What runs: a name, what it does, and how much it says.
const JOBS: [(&str, Flavour, usize); 4] = [
    ("rspec", Flavour::Tests, 3_700_000),
    ("compile", Flavour::Compiles, 2_600_000),
    ("docker-build", Flavour::Pulls, 1_500_000),
    ("deploy", Flavour::Deploys, 3_000_000),
];

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let began = SystemClock.now();
        let mut screen = Screen::of_stdout();
        let mut signals = Signals::listen().map_err(Failed::because)?;
        let folder = tempfile::Builder::new().prefix("veritail-demo-").tempdir().map_err(Failed::because)?;
        let running = app::start(config(folder.path())?).await.map_err(Failed::because)?;

        // Interrupted or not, the server is stopped and its folder goes.
        let told = tokio::select! {
            told = tell(&running, folder.path(), &mut screen, self.observe) => told,
            signal = signals.next() => Err(Failed(format!("ended by {signal}; its folder is removed"))),
        };
        let (held, broken) = screen.score();
        if told.is_ok() {
            let seconds = SystemClock.now().ms_since(began) / 1000;
            let mark = if broken == 0 { Paint::Good } else { Paint::Bad };
            let sum = screen.paint(mark, format_args!("{held} of {} claims held", held + broken));
            screen.say(format_args!("\n{sum} in {seconds} s."));
        }
        if let Ok((jobs, _)) = &told
            && screen.is_terminal()
            && !self.once
        {
            invite(&screen, &running, jobs);
            signals.next().await;
            screen.say("");
        }
        running.stop().await;
        // Prometheus, if there is one, ends before the folder goes.
        drop(told?);
        if broken == 0 { Ok(()) } else { Err(Failed(format!("{broken} claims of the demo did not hold"))) }
    }
}

/// A Veritail as it comes, but for two things: any free port will do, and copies that are proven elsewhere leave the
/// live store at once and not after two minutes.
fn config(folder: &Path) -> Result<Config, Failed> {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    // It damages only what it says that it does.
    config.verify.canary = Cron::OFF;
    config.http.listen = "127.0.0.1:0".parse().map_err(Failed::because)?;
    config.pipeline.live_grace = Span::secs(1);
    Ok(config)
}

/// The story.
async fn tell(
    running: &Running,
    folder: &Path,
    screen: &mut Screen,
    observe: bool,
) -> Result<(Vec<i64>, Option<Observed>), Failed> {
    let url = format!("http://{}", running.address);
    let service = Service::at(url.clone(), running.admin_token.reveal())?;
    screen.say(screen.paint(Paint::Bold, "Veritail: verified CI build logs"));
    screen.detail(format_args!("listens on {url}"));
    screen.detail(format_args!("keeps everything in {}", folder.display()));

    let observed = if observe { Observed::start(folder, running.address).await? } else { None };

    screen.chapter("Four jobs stream their logs, as gitlab-runner does; three of them end");
    let mut runners = start(&service).await?;
    stream(screen, &mut runners).await?;

    screen.chapter("What was recorded at the door, and where every byte is now");
    let [rspec, compile, docker, deploy] = &mut runners;
    for runner in [&*rspec, compile, docker] {
        proof::show(screen, &service, runner).await?;
    }
    proof::show_chunks(screen, &service, docker).await?;

    screen.chapter("The live store loses the end of the log of a job that still runs");
    loss::lose_the_tail(screen, &service, running.pipeline(), deploy).await?;

    screen.chapter("One byte of a finished log rots on the disk");
    damage::flip_a_byte(screen, &service, folder, rspec).await?;

    if let Some(observed) = &observed {
        screen.chapter("Somebody is paged");
        observed.show(screen).await?;
    } else if observe {
        screen.detail("Prometheus is not installed: there is no program of this name in the path");
    }
    Ok((runners.iter().map(|runner| runner.job).collect(), observed))
}

async fn start(service: &Service) -> Result<[Runner; 4], Failed> {
    let mut made = Vec::new();
    for (seed, (name, flavour, size)) in (1..).zip(JOBS) {
        made.push(Runner::of_new_job(service, name, log(flavour, seed, size)).await?);
    }
    made.try_into().map_err(|_| Failed("four jobs were to be made".to_owned()))
}

/// All at once. The last one stops in the middle: its job goes on.
async fn stream(screen: &mut Screen, runners: &mut [Runner; 4]) -> Result<(), Failed> {
    let bars = Bars::on(screen);
    let rounds = try_join_all(runners.iter_mut().map(|runner| {
        let mut progress = bars.job(runner.name, runner.log.len(), 0);
        async move {
            if runner.name == "deploy" {
                runner.send_until(loss::PAUSE_AT, &mut progress).await?;
                progress.ends("still running");
                return Ok(0);
            }
            to_the_end(runner, &mut progress).await
        }
    }))
    .await?;
    let (bytes, patches) = runners.iter().fold((0, 0), |(bytes, patches), runner| {
        let Runner { taken, patches: more, .. } = runner;
        (bytes + taken, patches + more)
    });
    let bytes = grouped(bytes);
    screen.detail(format_args!("{bytes} bytes in {patches} patches, each acknowledged with 202 once it was safe"));
    let ended = rounds.iter().filter(|rounds| **rounds > 0).count();
    screen.check("3 jobs ended with 200: every byte was read back and proven before", 3, ended);
    Ok(())
}

/// The rest of a log and its proof.
async fn to_the_end(runner: &mut Runner, progress: &mut Progress) -> Result<usize, Failed> {
    runner.send_until(runner.log.len(), progress).await?;
    let rounds = runner.finish(progress).await?;
    progress.ends("proven");
    Ok(rounds)
}

/// What to try while it is still up.
fn invite(screen: &Screen, running: &Running, jobs: &[i64]) {
    let [damaged, sound, .., refilled] = jobs else { return };
    let program = std::env::args().next().unwrap_or_else(|| "veritail".to_owned());
    let (url, token) = (running.address, running.admin_token.reveal());
    screen.say(format_args!("\n{}", screen.paint(Paint::Bold, "It stays up. Try, in another terminal:")));
    screen.say(format_args!("  U=http://{url} TOKEN={token}"));
    screen.say(format_args!("  P=$U{}", jobs_path()));
    let curl = |what: String| format!("curl -sSH \"PRIVATE-TOKEN: $TOKEN\" \"{what}\"");
    for (what, line) in [
        ("a whole log", curl(format!("$P/{sound}/trace")) + " | tail"),
        ("the damaged one: curl says that it breaks", curl(format!("$P/{damaged}/trace")) + " | tail"),
        ("what is there all the same", curl(format!("$P/{damaged}/trace?unverified=1")) + " | tail"),
        ("what was promised of it, and what is wrong", curl(format!("$U/api/v1/jobs/{damaged}/integrity"))),
        ("what Prometheus sees", "curl -s $U/metrics | grep -E '^veritail_(integrity|live_lost).* [1-9]'".to_owned()),
        ("the log whose end was lost", format!("{program} inspect {refilled} --url $U --token $TOKEN")),
    ] {
        screen.detail(format_args!("# {what}"));
        screen.say(format_args!("  {line}"));
    }
    screen.say(format_args!("\n  {}", screen.paint(Paint::Bold, "Ctrl-C ends it, and removes its folder.")));
}
