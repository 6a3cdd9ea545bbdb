//! What must be true, whatever goes wrong: the guarantees as checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use veritail::pipeline::ReadError;
use veritail::store::database::{Job, Mismatch, Resolution};
use veritail::store::live::{Entry, LiveStore};
use veritail::store::object::codec;
use veritail::trace::{
    ChunkState, DataStore, Detector, JobId, JobStatus, Kind as MismatchKind, Location, Offset, Phase, TraceState,
    Verdict,
};

use super::clocks;
use super::plan::{JobPlan, Kind, Trouble};
use super::reader::Read;
use super::tally::Counts;
use super::world::{World, settings};

/// What is known of one job from outside.
pub struct Truth {
    pub plan: JobPlan,
    /// The runner's log; for a forgetful runner only what was acknowledged counts.
    log: Vec<u8>,
    /// What was acknowledged, by offset.
    acknowledged: Vec<u8>,
    /// Up to where bytes were acknowledged, and when.
    acknowledgements: Vec<(u64, usize)>,
    /// What was acknowledged long before the live store lost something: its loss must be known.
    must_be_known: usize,
    clocks_apart_ms: u64,
    nodes_pause: bool,
    live_harmed: bool,
    object_harmed: bool,
    /// The database went back to a time before something that it had known of this job.
    set_back: bool,
    /// How often a runner was given it.
    taken: u64,
    /// Somebody was told that it is over, or erased.
    over: bool,
    erased: bool,
    outcome: &'static str,
}

/// What was acknowledged so long ago is known to the database, whatever went wrong: its patience, and delays.
const KNOWN_AFTER_MS: u64 = 60_000;

#[derive(Default)]
pub struct Oracle {
    jobs: BTreeMap<JobId, Truth>,
    violations: Vec<String>,
}

impl Oracle {
    pub fn add_job(&mut self, job: JobId, plan: JobPlan, log: Vec<u8>, trouble: &Trouble) {
        let truth = Truth {
            plan,
            log,
            acknowledged: Vec::new(),
            acknowledgements: Vec::new(),
            must_be_known: 0,
            clocks_apart_ms: clocks::apart_ms(&trouble.clocks),
            nodes_pause: trouble.node_pauses,
            live_harmed: false,
            object_harmed: false,
            set_back: false,
            taken: 0,
            over: false,
            erased: false,
            outcome: "still at work",
        };
        self.jobs.insert(job, truth);
    }

    pub fn plan(&self, job: JobId) -> JobPlan {
        self.jobs[&job].plan.clone()
    }

    pub fn violation(&mut self, what: String) {
        tracing::error!("VIOLATION: {what}");
        self.violations.push(what);
    }

    pub fn first_violation(&self) -> Option<String> {
        self.violations.first().cloned()
    }

    pub fn live_harmed_all(&mut self, now_ms: u64) {
        self.jobs.values_mut().for_each(|truth| truth.live_harmed(now_ms));
    }

    pub fn live_harmed(&mut self, job: JobId, now_ms: u64) {
        self.truth(job).live_harmed(now_ms);
    }

    /// What is known of every job may be younger than what the database knows now.
    pub fn database_set_back(&mut self, now_ms: u64) {
        for truth in self.jobs.values_mut() {
            truth.live_harmed(now_ms);
            (truth.set_back, truth.object_harmed) = (true, true);
            (truth.erased, truth.over) = (false, false);
        }
    }

    pub fn must_be_erased(&self, job: JobId) -> bool {
        let truth = &self.jobs[&job];
        truth.plan.erase_after_ms.is_some() && !truth.set_back
    }

    pub fn is_erased(&self, job: JobId) -> bool {
        self.jobs[&job].erased
    }

    pub fn is_erased_now(&mut self, job: JobId) {
        self.truth(job).erased = true;
        self.truth(job).over = true;
    }

    pub fn is_over_now(&mut self, job: JobId) {
        self.truth(job).over = true;
    }

    pub fn known_to_be_over(&self) -> BTreeSet<JobId> {
        self.jobs.iter().filter(|(_, truth)| truth.over).map(|(job, _)| *job).collect()
    }

    /// A job is given to one runner, and not after it is over.
    pub fn taken(&mut self, job: JobId, over_before: bool) {
        self.truth(job).taken += 1;
        if self.truth(job).taken > 1 {
            self.violation(format!("job {job}: given to two runners"));
        }
        if over_before {
            self.violation(format!("job {job}: given to a runner although it is over"));
        }
    }

    pub fn object_harmed(&mut self, job: JobId) {
        self.truth(job).object_harmed = true;
    }

    pub fn runner_ended(&mut self, job: JobId, outcome: &'static str) {
        tracing::info!("job {job}: its runner {outcome}");
        self.truth(job).outcome = outcome;
    }

    pub fn log_ends_at(&mut self, job: JobId, size: usize) {
        self.truth(job).log.truncate(size);
    }

    pub fn acknowledged(&mut self, job: JobId, start: usize, bytes: &[u8], now_ms: u64) {
        let truth = self.truth(job);
        let end = start + bytes.len();
        truth.acknowledgements.push((now_ms, end));
        if truth.acknowledged.len() < end {
            truth.acknowledged.resize(end, 0);
        }
        truth.acknowledged[start..end].copy_from_slice(bytes);
    }

    fn truth(&mut self, job: JobId) -> &mut Truth {
        self.jobs.get_mut(&job).expect("a job of this simulation")
    }

    /// No bad byte is served as good, and a sound trace does not break off.
    pub fn was_read(&mut self, job: JobId, read: &Read, erased_before: bool) {
        if erased_before && !read.bytes.is_empty() {
            self.violation(format!("job {job}: erased, and {} bytes are served", read.bytes.len()));
        }
        let truth = self.truth(job);
        let wrong = truth.first_wrong_byte(&read.bytes);
        let harmed = truth.live_harmed || truth.object_harmed || truth.plan.erase_after_ms.is_some();
        let complete = read.broken.is_some() || read.bytes.len() as u64 == read.announced;
        if let Some(at) = wrong {
            self.violation(format!("job {job}: a reader was served a wrong byte at {at}"));
        }
        if !complete {
            self.violation(format!("job {job}: a reader got {} of {} bytes", read.bytes.len(), read.announced));
        }
        if let Some(error @ (ReadError::Damaged { .. } | ReadError::Lost { .. })) = &read.broken
            && !harmed
        {
            self.violation(format!("job {job}: nothing was harmed, and a reader was told: {error}"));
        }
    }

    /// Everything that must be true of a job in the end.
    pub fn check_end(&mut self, job: &Job, mismatches: &[Mismatch], read: &Read) {
        let truth = &self.jobs[&job.id];
        // Bytes that no row names say nothing of the log.
        let of_copies: Vec<Mismatch> = mismatches.iter().filter(|known| !is_unnamed(known)).cloned().collect();
        for complaint in truth.complaints(job, &of_copies, read) {
            self.violation(format!(
                "job {} ({:?}, runner {}, {} of {} bytes, {} acknowledged): {complaint}",
                job.id,
                truth_kind(&self.jobs[&job.id]),
                self.jobs[&job.id].outcome,
                read.bytes.len(),
                self.jobs[&job.id].log.len(),
                self.jobs[&job.id].acknowledged.len(),
            ));
        }
    }

    pub fn seen(&self, jobs: &[Job], mismatches: &[Mismatch]) -> Seen {
        let mut seen = Seen { jobs: jobs.len() as u64, ..Seen::default() };
        for mismatch in mismatches {
            *seen.mismatches.entry((mismatch.what.kind, mismatch.what.detector)).or_default() += 1;
        }
        for job in jobs {
            *seen.verdicts.entry(job.verdict).or_default() += 1;
            seen.resent += u64::from(job.resend_attempts);
            seen.epochs += u64::from(job.epoch.0 - 1);
        }
        seen
    }
}

/// Whether it is about bytes that no row names.
pub fn is_unnamed(known: &Mismatch) -> bool {
    known.what.kind == MismatchKind::Orphan
}

fn truth_kind(truth: &Truth) -> Kind {
    truth.plan.kind
}

impl Truth {
    fn live_harmed(&mut self, now_ms: u64) {
        self.live_harmed = true;
        let old = self.acknowledgements.iter().filter(|(at, _)| at + KNOWN_AFTER_MS < now_ms).map(|(_, end)| *end);
        self.must_be_known = self.must_be_known.max(old.max().unwrap_or(0));
        // The younger ones may be lost unseen, now.
        self.acknowledgements.clear();
    }

    fn is_forgetful(&self) -> bool {
        matches!(self.plan.kind, Kind::Forgetful { .. })
    }

    fn first_wrong_byte(&self, bytes: &[u8]) -> Option<usize> {
        let truth = if self.is_forgetful() { &self.acknowledged } else { &self.log };
        if !self.is_forgetful() && bytes.len() > truth.len() && self.plan.kind != Kind::Vanishes {
            return Some(truth.len());
        }
        bytes.iter().zip(truth).position(|(read, right)| read != right)
    }

    fn complaints(&self, job: &Job, mismatches: &[Mismatch], read: &Read) -> Vec<String> {
        if self.set_back {
            return self.complaints_after_a_restore(job, mismatches, read);
        }
        let mut complaints = Vec::new();
        let mut must = |holds: bool, complaint: &str| {
            if !holds {
                complaints.push(complaint.to_owned());
            }
        };
        let harmed = self.live_harmed || self.object_harmed;
        let open: Vec<&Mismatch> = mismatches.iter().filter(|mismatch| mismatch.resolved.is_none()).collect();
        // A live copy on its way out that was seen damaged beside a persistent one that is lost as well says nothing new.
        let is_lost_too = |live: &Mismatch| {
            open.iter().any(|other| other.what.chunk == live.what.chunk && other.what.store != DataStore::Embedded)
        };
        let in_live = open.iter().filter(|mismatch| mismatch.what.store == DataStore::Embedded);
        let open_live = in_live.filter(|mismatch| !is_lost_too(mismatch)).count();

        if self.plan.erase_after_ms.is_some() {
            must(job.state == TraceState::Erased && job.verdict == Verdict::Erased, "it is not erased");
            must(read.bytes.is_empty(), "erased, and still read");
            must(open.is_empty(), "erased with an open mismatch");
            must(harmed || mismatches.is_empty(), "a mismatch without damage");
            return complaints;
        }
        must(job.state == TraceState::Closed && job.status.is_final(), "it is not closed");
        must(harmed || mismatches.is_empty(), "a mismatch without damage");
        let about = |store: DataStore| mismatches.iter().any(|mismatch| mismatch.what.store == store);
        must(self.live_harmed || !about(DataStore::Embedded), "a mismatch in the live store, which was not harmed");
        must(
            self.object_harmed || !about(DataStore::ObjectStore),
            "a mismatch in the object store, which was not harmed",
        );
        must(self.first_wrong_byte(&read.bytes).is_none(), "a wrong byte is served");
        match job.verdict {
            Verdict::Verified => {
                must(
                    self.plan.kind != Kind::Liar && !self.is_forgetful(),
                    "verified against a claim that is wrong or absent",
                );
                must(job.size.map(|size| size.0 as usize) == Some(self.log.len()), "verified with another size");
                must(open_live == 0, "verified with an open mismatch in the live store");
                must(read.broken.is_some() || read.bytes == self.log, "verified, and not the runner's bytes");
                must(read.broken.is_none() || self.object_harmed, "verified, unharmed and not readable");
                let known_before = open.iter().any(|mismatch| {
                    let closed_at = job.closed_at.unwrap_or(mismatch.what.at);
                    // Two nodes may have written these, each by its own clock.
                    let known_for_ms = closed_at.ms_since(mismatch.what.at);
                    mismatch.what.store == DataStore::ObjectStore && known_for_ms > 60_000 + self.clocks_apart_ms
                });
                must(!known_before, "verified although a bad copy was known");
            }
            Verdict::RunnerDisagrees => {
                // A claim without a size and a loss within the last second: nobody can know that bytes are missing.
                let cannot_know = self.live_harmed && matches!(self.plan.kind, Kind::Resends { with_size: false, .. });
                must(self.plan.kind == Kind::Liar || cannot_know, "the claim was right");
            }
            Verdict::Unclaimed => {
                let size = job.size.map_or(0, |size| size.0);
                // A node that stood still may say what it acknowledged only after the loss, and after the end.
                let late = |mismatch: &&&Mismatch| {
                    mismatch.what.kind == MismatchKind::Gap && mismatch.what.detector == Detector::Sweep
                };
                let told = open.iter().filter(late).count();
                must(Offset(size) >= job.acked_length || told > 0, "shorter than acknowledged, without a mismatch");
                must(told == 0 || self.nodes_pause, "a gap was noted late and no node stood still");
                must(harmed || size >= self.acknowledged.len() as u64, "acknowledged bytes are gone");
                must(told > 0 || size >= self.must_be_known as u64, "acknowledged long ago, gone, and nobody knows");
                must(open_live == told, "unclaimed with an open mismatch in the live store");
                must(read.broken.is_none() || self.object_harmed, "unclaimed, unharmed and not readable");
            }
            Verdict::Corrupt => {
                must(harmed, "corrupt without damage");
                let could_send = matches!(self.plan.kind, Kind::Resends { with_size: true, .. });
                let asked_enough = job.resend_attempts >= settings().resend_attempts;
                let there = self.outcome == "finished" && job.ending.as_ref().is_some_and(|end| end.claim.is_some());
                must(
                    !could_send || !there || asked_enough,
                    "corrupt, and its runner was there and could have sent again",
                );
                // A reader or the verifier may have had good bytes in hand, and repaired a copy after the verdict: on another
                // node, whose clock may be behind.
                let apart = Duration::from_millis(self.clocks_apart_ms);
                let healed_since = mismatches
                    .iter()
                    .any(|mismatch| mismatch.resolved.is_some_and(|(_, at)| Some(at.after(apart)) >= job.closed_at));
                must(!open.is_empty() || healed_since, "corrupt without an open mismatch");
            }
            Verdict::Pending | Verdict::Erased => must(false, "it has no verdict"),
        }
        if read.broken.is_some() {
            let is_seen = |known: &Mismatch| matches!(known.resolved, Some((Resolution::Acknowledged, _)));
            must(!open.is_empty() || mismatches.iter().any(is_seen), "a broken read that no mismatch speaks of");
        }
        let finished = self.outcome == "finished" && job.status != JobStatus::Canceled;
        if finished && !harmed {
            let expected = match self.plan.kind {
                Kind::Resends { .. } | Kind::ClaimsOnly => Verdict::Verified,
                Kind::Liar => Verdict::RunnerDisagrees,
                Kind::Forgetful { .. } | Kind::Vanishes => Verdict::Unclaimed,
            };
            must(job.verdict == expected, "unharmed, finished, and another verdict than it deserves");
        }
        complaints
    }
}

impl Truth {
    /// What is left of the promises when the database has forgotten: nothing wrong is served or called verified, and what
    /// it still knows to be missing is named.
    fn complaints_after_a_restore(&self, job: &Job, mismatches: &[Mismatch], read: &Read) -> Vec<String> {
        let is_gap = |known: &Mismatch| known.what.kind == MismatchKind::Gap && known.resolved.is_none();
        let (size, has_gap) = (job.size.unwrap_or_default(), mismatches.iter().any(is_gap));
        let known_end = Offset::ZERO + size;
        let is_verified = job.verdict == Verdict::Verified;
        let is_whole = read.bytes == self.log && size.0 as usize == self.log.len();
        let checks = [
            (!job.is_unfinished() && job.status.is_final(), "it is not over"),
            (self.first_wrong_byte(&read.bytes).is_none(), "a wrong byte is served"),
            (!is_verified || is_whole || read.broken.is_some(), "verified, and not the runner's bytes"),
            (!is_verified || self.plan.kind != Kind::Liar, "verified against a wrong claim"),
            (read.broken.is_none() || !mismatches.is_empty(), "a broken read that no mismatch speaks of"),
            (
                job.verdict != Verdict::Unclaimed || known_end >= job.acked_length || has_gap,
                "shorter than what the database knows to be acknowledged, without a mismatch",
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, text)| format!("after a restore: {text}")).collect()
    }
}

impl World {
    /// A 200 with a claim is only answered once the trace is closed, and every byte of it is proven.
    pub fn check_done(&self, id: JobId, status: JobStatus, claimed: bool, log: &[u8]) {
        let job = self.job(id);
        let over = matches!(job.state, TraceState::Closed | TraceState::Erased);
        let closed = over && job.status == status;
        let mut oracle = self.oracle.lock().expect("not poisoned");
        if claimed && !closed && !oracle.jobs[&id].set_back {
            oracle.violation(format!("job {id}: answered 200 ({status}) while it is {} and {}", job.state, job.status));
        }
        let proven = job.verdict == Verdict::Verified && job.state == TraceState::Closed;
        if proven && !oracle.jobs[&id].object_harmed && self.persistent(id).as_deref() != Some(log) {
            oracle.violation(format!("job {id}: answered 200, and the persistent stores do not hold its log"));
        }
    }

    /// A trace as the persistent stores have it, read past the nodes.
    fn persistent(&self, job: JobId) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for row in self.database.all_rows(job) {
            match row.state {
                ChunkState::Persisted { record, at } => {
                    let stored = match &at {
                        Location::Object(object) => self.objects.bytes(&object.key)?,
                        Location::Database(object) => self.database.chunk_bytes().bytes(&object.key)?,
                    };
                    bytes.extend_from_slice(&codec::decode(&stored, record.size).ok()?);
                }
                // A row without bytes behind the end of the log.
                ChunkState::Open => {}
                _ => return None,
            }
        }
        Some(bytes)
    }
}

impl World {
    /// A 412 whose write position is the end asks for nothing, and would go on for ever.
    pub async fn check_asked(&self, job: JobId, size: u64) {
        let entry = self.live.load(job).await.ok().flatten().map(|trace| trace.entry);
        if let Some(Entry::Live(end)) = entry
            && end.phase == Phase::Open
            && end.write_position() >= Offset(size)
        {
            let what = format!("job {job}: asked to send again, and nothing is missing");
            self.oracle.lock().expect("not poisoned").violation(what);
        }
    }
}

/// What happened over many seeds: a simulation in which nothing happens proves nothing.
#[derive(Default)]
pub struct Seen {
    pub jobs: u64,
    pub mismatches: BTreeMap<(veritail::trace::Kind, Detector), u64>,
    pub resent: u64,
    pub epochs: u64,
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Objects that no row names: what nodes could not finish.
    pub orphans: u64,
    /// Looks of the verifier at a copy.
    pub looks: u64,
    pub faults: Counts,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.resent += other.resent;
        self.epochs += other.epochs;
        self.orphans += other.orphans;
        self.looks += other.looks;
        self.faults.add(&other.faults);
        for (what, count) in &other.mismatches {
            *self.mismatches.entry(*what).or_default() += count;
        }
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(*verdict).or_default() += count;
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, resent, epochs, .. } = self;
        write!(f, "{jobs} jobs, {resent} asked to send again, {epochs} epochs raised;")?;
        for (verdict, count) in &self.verdicts {
            write!(f, " {count} {verdict}")?;
        }
        f.write_str("; mismatches:")?;
        for ((kind, detector), count) in &self.mismatches {
            write!(f, " {count} {kind} by {detector}")?;
        }
        write!(f, "; {} orphans; {} looks of the verifier\n{}", self.orphans, self.looks, self.faults)
    }
}
