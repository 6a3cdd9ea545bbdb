//! A live store that loses bytes nobody else has, and a runner that is asked for just these.

use std::time::Duration;

use super::progress::Bars;
use super::proof;
use super::runner::Runner;
use super::screen::{Screen, grouped};
use super::service::Service;
use crate::cli::Failed;
use crate::pipeline::Pipeline;
use crate::trace::{ChunkId, ChunkIndex, Epoch, JobId};

/// Bytes of the last chunk when its job pauses: acknowledged, and in the live store only.
const TAIL: usize = 90_000;
/// Where the job pauses: after 14 whole chunks and a part.
pub(super) const PAUSE_AT: usize = 14 * 131_072 + TAIL;

/// Takes the last chunk away from under a running job, and lets its runner go on.
pub(super) async fn lose_the_tail(
    screen: &mut Screen,
    service: &Service,
    pipeline: &Pipeline,
    runner: &mut Runner,
) -> Result<(), Failed> {
    let before = service.integrity(runner.job).await?;
    let tail = before.chunks.last().ok_or_else(|| Failed("a job that runs has no chunks".to_owned()))?;
    let copies: Vec<&str> = tail.copies.iter().map(|copy| copy.store.as_str()).collect();
    let claim =
        format!("{}: the last {} bytes are acknowledged, and in the live store alone", runner.name, grouped(TAIL));
    screen.check(claim, format!("{TAIL} bytes in embedded"), format!("{} bytes in {}", tail.size, copies.join(", ")));

    screen.detail("the demo wipes them from it, as a crash of a cache would");
    let chunk = ChunkId { index: ChunkIndex(tail.index), epoch: Epoch(tail.epoch) };
    let live = &pipeline.stores().live;
    live.release(JobId(runner.job), chunk, Duration::ZERO).await.map_err(Failed::because)?;
    let gone = live.read_chunk(JobId(runner.job), chunk).await.map_err(Failed::because)?.is_none();
    screen.check("nobody but the runner has them now", true, gone);

    let bars = Bars::on(screen);
    let mut progress = bars.job(runner.name, runner.log.len(), PAUSE_AT);
    super::to_the_end(runner, &mut progress).await?;
    let (expected, seen) = (format!("[({PAUSE_AT}, {})]", PAUSE_AT - TAIL), format!("{:?}", runner.refused));
    let (from, to) = (grouped(PAUSE_AT), grouped(PAUSE_AT - TAIL));
    let claim = format!("its next patch, at {from}, was answered 416: go on at {to}");
    screen.check(claim, expected, seen);
    screen.detail("good news: a runner keeps its log until its last PUT is answered 200, so it can fill the hole");
    let again = runner.taken - runner.log.len();
    let claim = format!("the runner sent {} of {} bytes again", grouped(again), grouped(runner.log.len()));
    screen.check(claim, TAIL, again);
    let lost = service.series("veritail_live_lost_traces_total").await?;
    lost.iter().for_each(|line| screen.detail(line));
    screen.check("the loss was counted", 1, lost.len());
    proof::show(screen, service, runner).await
}
