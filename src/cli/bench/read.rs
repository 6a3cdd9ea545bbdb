//! `veritail bench read`: many readers, of whole logs, of ranges, or of the ends of logs that grow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::clock::{self, Instant};
use super::content::Content;
use super::ingest::{Load, merge};
use super::latency::Latency;
use super::load::{self, Shared, Work};
use super::progress::Progress;
use super::proof::Proof;
use super::report;
use super::runner::Runner;
use super::size::Size;
use super::target::{Place, Target};
use super::wire::{Job, Taken, Wire};
use crate::cli::demo::logs::Dice;
use crate::cli::signals::Signals;
use crate::cli::{Failed, table};
use crate::config::value::Span;

/// Read as many people do, and compare every byte.
///
/// Without --job it first writes jobs of its own, and knows what they must say.
#[derive(Debug, Args)]
pub(super) struct Read {
    #[command(flatten)]
    place: Place,
    /// Readers at the same time.
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    readers: u32,
    /// How long they read.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    span: Span,
    /// Read ranges of this size, from anywhere, and not whole logs.
    #[arg(long, value_name = "SIZE", conflicts_with = "tail")]
    range: Option<Size>,
    /// Follow logs that grow: each reader has a job with a runner of its own, at --rate patches a second.
    #[arg(long, conflicts_with = "jobs")]
    tail: bool,
    /// Patches a second of each runner with --tail.
    #[arg(long, value_name = "RATE", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Size of a patch with --tail.
    #[arg(long, value_name = "SIZE", default_value = "4KiB")]
    patch: Size,
    /// Read this job, which has ended; can be given again.
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<i64>,
    /// Jobs to write before, where none is named.
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    write: u32,
    /// How much each of them says.
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    bytes_per_job: Size,
    /// What they say is made from this.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The project of the jobs that are written.
    #[arg(long, value_name = "PATH", default_value = "veritail/bench")]
    project: String,
    /// Print a JSON document.
    #[arg(long)]
    json: bool,
}

/// A log to read.
struct Log {
    job: Job,
    size: u64,
    crc32: u32,
    /// Which part of the content it is, where we wrote it.
    number: Option<u64>,
}

/// What readers met.
struct Met {
    reads: u64,
    bytes: u64,
    statuses: BTreeMap<u16, u64>,
    first_byte: Latency,
    whole: Latency,
    wrong: Vec<String>,
    elapsed: Duration,
}

struct Readers {
    wire: Wire,
    content: Arc<Content>,
    logs: Vec<Log>,
    range: Option<u64>,
    met: Mutex<Met>,
}

/// The pause between two looks at a log that grows.
const LOOK: Duration = Duration::from_millis(20);
/// A range is taken from the content as one piece.
const RANGE_MAX: u64 = 64 * 1024 * 1024;

impl Read {
    /// True if every byte was as it was written.
    pub(super) async fn run(self, signals: &mut Signals) -> Result<bool, Failed> {
        if let Some(range) = self.range.filter(|range| range.0 > RANGE_MAX) {
            return Err(Failed(format!("--range is {range}; at most {} are possible", Size(RANGE_MAX))));
        }
        let target = self.place.open().await?;
        let done = Place::with(&target, signals, |target| self.measure(target)).await;
        target.close().await;
        done
    }

    async fn measure(&self, target: &Target) -> Result<bool, Failed> {
        let progress = Progress::new();
        let mut document = report::head("read", self.seed, Some(target), self.plan());
        let (met, proof) =
            if self.tail { self.follow(target, &progress).await? } else { (self.read(target, &progress).await?, None) };
        progress.ends();
        let holds = met.wrong.is_empty() && met.reads > 0 && proof.as_ref().is_none_or(Proof::holds);
        if self.json {
            merge(&mut document, json!({ "read": met.json(), "holds": holds }));
            report::print_json(document);
        } else {
            met.tell(if self.tail { "a patch, until it is read" } else { "a read" });
        }
        met.wrong.iter().take(10).for_each(|why| eprintln!("veritail: {why}"));
        proof.iter().filter(|proof| !proof.holds()).for_each(Proof::complain);
        if !holds && met.reads == 0 {
            eprintln!("veritail: nothing was read");
        }
        Ok(holds)
    }

    fn plan(&self) -> Value {
        let what = if self.tail {
            "tail"
        } else if self.range.is_some() {
            "range"
        } else {
            "whole"
        };
        json!({
            "what": what, "readers": self.readers, "for": self.span.to_string(), "range": self.range, "jobs": self.jobs,
            "write": self.write, "bytes_per_job": self.bytes_per_job, "rate": self.rate, "patch": self.patch,
        })
    }

    /// The load that writes what is read.
    fn load(&self, runners: u32, patch: Size) -> Load {
        let (seed, project) = (self.seed, self.project.clone());
        Load { runners, patch, rate: 0.0, span: None, bytes_per_job: Some(self.bytes_per_job), seed, project }
    }

    async fn read(&self, target: &Target, progress: &Progress) -> Result<Met, Failed> {
        let (wire, load) = (target.wire.clone(), self.load(self.write, Size(64 * 1024)));
        let longest = self.range.map_or(0, |range| range.0).max(load.patch.0);
        let content = Arc::new(Content::new(self.seed, usize::try_from(longest).unwrap_or_default()));
        let logs = if self.jobs.is_empty() {
            progress.is("writing what is to be read");
            written(&wire, &load, &content, progress).await?
        } else {
            let mut logs = Vec::new();
            for job in &self.jobs {
                logs.push(there(&wire, *job).await?);
            }
            logs
        };
        progress.is("reading");
        let range = self.range.map(|range| range.0);
        let readers = Arc::new(Readers { wire, content, logs, range, met: Mutex::new(Met::new()) });
        let (mut tasks, start) = (JoinSet::new(), clock::now());
        for reader in 0..u64::from(self.readers) {
            let (readers, end) = (readers.clone(), start + self.span.0);
            let mut dice = Dice::new(self.seed.wrapping_add(reader));
            tasks.spawn(async move {
                while clock::now() < end {
                    readers.read_one(&mut dice).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let mut met = readers.met();
        met.elapsed = start.elapsed();
        Ok(std::mem::replace(&mut *met, Met::new()))
    }

    /// Readers of logs that grow; then the logs are finished and proven.
    async fn follow(&self, target: &Target, progress: &Progress) -> Result<(Met, Option<Proof>), Failed> {
        let load = Load {
            rate: self.rate.into(),
            span: Some(self.span),
            bytes_per_job: None,
            ..self.load(self.readers, self.patch)
        };
        let (plan, content, shared) = (load.plan()?, load.content(), Arc::new(Shared::default()));
        let jobs = load::make_jobs(&target.wire, &self.project, plan.runners).await?;
        let runners = load::runners(&target.wire, &content, &shared, jobs, plan.patch);
        let runners = load::all(runners, Work::First, &plan, progress).await;
        progress.is("following");
        let met = Arc::new(Mutex::new(Met::new()));
        let (mut tasks, start) = (JoinSet::new(), clock::now());
        for runner in runners {
            let (met, wire, end) = (met.clone(), target.wire.clone(), start + self.span.0);
            let interval = Duration::from_secs_f64(1.0 / f64::from(self.rate));
            tasks.spawn(async move { follow_one(runner, wire, interval, end, &met).await });
        }
        let mut runners = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            runners.extend(joined.ok().flatten());
        }
        let elapsed = start.elapsed();
        progress.is("finishing");
        let runners = load::all(runners, Work::Finish, &plan, progress).await;
        let proof = Proof::of(&runners).await.and_failures(&shared.so_far().failures);
        let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
        met.elapsed = elapsed;
        Ok((std::mem::replace(&mut *met, Met::new()), Some(proof)))
    }
}

/// Jobs of our own, written and proven.
async fn written(wire: &Wire, load: &Load, content: &Arc<Content>, progress: &Progress) -> Result<Vec<Log>, Failed> {
    let (plan, shared) = (load.plan()?, Arc::new(Shared::default()));
    let jobs = load::make_jobs(wire, &load.project, plan.runners).await?;
    let mut runners = load::runners(wire, content, &shared, jobs, plan.patch);
    for work in [Work::First, Work::Plan, Work::Finish] {
        runners = load::all(runners, work, &plan, progress).await;
    }
    if let Some(why) = shared.so_far().failures.into_iter().next() {
        return Err(Failed(why));
    }
    let log = |runner: Runner| Log {
        crc32: content.crc32(runner.number, runner.said),
        size: runner.said,
        number: Some(runner.number),
        job: runner.job,
    };
    Ok(runners.into_iter().map(log).collect())
}

/// A job that is there, by what is recorded of it.
async fn there(wire: &Wire, id: i64) -> Result<Log, Failed> {
    let report = wire.integrity(id).await?;
    let unknown = || Failed(format!("job {id}: nothing is recorded of its whole yet, or a part of it is lost"));
    let project_id = report["project_id"].as_i64().ok_or_else(unknown)?;
    let size = report["size"].as_u64().ok_or_else(unknown)?;
    let crc32 = report["crc32"].as_str().and_then(|crc32| u32::from_str_radix(crc32, 16).ok()).ok_or_else(unknown)?;
    Ok(Log { job: Job { id, token: String::new(), project_id }, size, crc32, number: None })
}

/// A runner that appends, and its reader, who asks for what is behind the bytes that it has.
async fn follow_one(
    mut runner: Runner,
    wire: Wire,
    interval: Duration,
    end: Instant,
    met: &Mutex<Met>,
) -> Option<Runner> {
    let (job, shared) = (runner.job.clone(), runner.shared.clone());
    // Where patches end, and when they were sent.
    let sent: Mutex<Vec<(u64, Instant)>> = Mutex::new(Vec::new());
    let first = runner.said;
    let mut reached = first;
    let lock = || sent.lock().unwrap_or_else(PoisonError::into_inner);
    let writing = async {
        let mut at = clock::now();
        while at < end {
            clock::sleep_until(at).await;
            lock().push((runner.said + runner.patch, clock::now()));
            runner.say(runner.patch, Some(at)).await?;
            at += interval;
        }
        Ok::<Runner, String>(runner)
    };
    let reading = async {
        loop {
            let taken = wire.read(&job, Some(format!("bytes={reached}-"))).await;
            let now = clock::now();
            {
                let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
                *met.statuses.entry(taken.status).or_default() += 1;
                if taken.status == 206 {
                    reached += taken.bytes;
                    met.bytes += taken.bytes;
                    met.first_byte.record(taken.first_byte);
                    lock().retain(|(to, since)| {
                        let here = *to <= reached;
                        if here {
                            met.reads += 1;
                            met.whole.record(now.duration_since(*since));
                        }
                        !here
                    });
                }
            }
            clock::sleep(taken.after.unwrap_or(LOOK)).await;
        }
    };
    tokio::select! {
        written = writing => match written {
            Ok(runner) => Some(runner),
            Err(why) => {
                shared.failed(why);
                None
            }
        },
        () = reading => None,
    }
}

impl Readers {
    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_one(&self, dice: &mut Dice) {
        let which = dice.below(self.logs.len() as u64);
        let Some(log) = self.logs.get(usize::try_from(which).unwrap_or_default()) else { return };
        let range = self.range.map(|size| {
            let size = size.min(log.size);
            (dice.below(log.size - size + 1), size)
        });
        let asked = range.map(|(from, size)| format!("bytes={from}-{}", (from + size).saturating_sub(1)));
        let taken = self.wire.read(&log.job, asked).await;
        let later = taken.after.filter(|_| matches!(taken.status, 429 | 503));
        let wrong = if later.is_some() { None } else { self.differs(log, range, &taken) };
        {
            let mut met = self.met();
            *met.statuses.entry(taken.status).or_default() += 1;
            if let Some(wrong) = &wrong {
                met.wrong.push(format!("job {}: {wrong}", log.job.id));
            } else if later.is_none() {
                met.reads += 1;
                met.bytes += taken.bytes;
                met.first_byte.record(taken.first_byte);
                met.whole.record(taken.whole);
            }
        }
        if let Some(pause) = later.or(wrong.map(|_| LOOK)) {
            clock::sleep(pause).await;
        }
    }

    /// What is wrong with what came.
    fn differs(&self, log: &Log, range: Option<(u64, u64)>, taken: &Taken) -> Option<String> {
        let (status, size) = range.map_or((200, log.size), |(_, size)| (206, size));
        if let Some(broken) = &taken.broken {
            return Some(format!("reading it broke off after {} bytes: {broken}", taken.bytes));
        }
        if (taken.status, taken.bytes) != (status, size) {
            return Some(format!("{} bytes came with status {}, expected {size}, {status}", taken.bytes, taken.status));
        }
        let expected = match (range, log.number) {
            (None, _) => Some(log.crc32),
            (Some((from, size)), Some(number)) => {
                let piece = self.content.piece(number, from, usize::try_from(size).unwrap_or_default());
                Some(crc32fast::hash(&piece))
            }
            // Nobody told us what a part of it is.
            (Some(_), None) => None,
        };
        expected
            .filter(|expected| *expected != taken.crc32)
            .map(|expected| format!("its CRC-32 is {:08x}, expected {expected:08x}", taken.crc32))
    }
}

impl Met {
    fn new() -> Self {
        let (first_byte, whole) = (Latency::new(), Latency::new());
        Self {
            reads: 0,
            bytes: 0,
            statuses: BTreeMap::new(),
            first_byte,
            whole,
            wrong: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    fn json(&self) -> Value {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        json!({
            "seconds": seconds, "reads": self.reads, "bytes": self.bytes, "answers": self.statuses,
            "reads_per_second": self.reads as f64 / seconds, "bytes_per_second": self.bytes as f64 / seconds,
            "milliseconds": { "first_byte": self.first_byte.json(), "whole": self.whole.json() },
            "wrong": { "count": self.wrong.len(), "first": self.wrong.iter().take(10).collect::<Vec<_>>() },
        })
    }

    fn tell(&self, whole: &str) {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let (rate, mib) = (self.reads as f64 / seconds, self.bytes as f64 / seconds / f64::from(1 << 20));
        println!("{} reads in {seconds:.2} s: {rate:.0} a second, {mib:.1} MiB/s\n", self.reads);
        table::print(&Latency::HEAD, &[self.first_byte.row("first byte"), self.whole.row(whole)]);
        let answers: Vec<String> = self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        println!("\nanswers by status: {}", answers.join(", "));
    }
}
