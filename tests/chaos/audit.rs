//! The audit: what was acknowledged against what is there, and what nobody needs any more.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::Value;
use veritail::pipeline::Stores;
use veritail::store::live::Found;
use veritail::trace::{ChunkIndex, ChunkState, JobId, Location};

use crate::load::Sent;
use crate::report::Line;
use crate::scenarios::{Scenario, Takes};
use crate::stack::Stack;
use crate::support::runner::pause;
use crate::support::server::Send as _;

/// How long everything may take to come to rest.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// Looks at everything, once it has come to rest.
pub async fn audit(scenario: &Scenario, stack: &Stack, sent: Vec<Sent>) -> Line {
    let mut line = Line { scenario: scenario.name, jobs: sent.len(), ..Line::default() };
    let stores = stack.stores().await;
    settle(&stores).await;
    for sent in &sent {
        audit_trace(scenario, stack, sent, &mut line).await;
    }
    settle(&stores).await;
    look_for_leavings(scenario, &stores, &sent, &mut line).await;
    line
}

/// Waits until nothing is under way, or long enough.
async fn settle(stores: &Stores) {
    let began = std::time::Instant::now();
    while began.elapsed() < SETTLED_MAX {
        let waits = stores.database.backlog().await.is_ok_and(|backlog| backlog.chunks == 0)
            && stores.database.spill().await.is_ok_and(|spill| spill.chunks == 0)
            && live_copies(stores).await.is_empty();
        if waits {
            return;
        }
        pause(100).await;
    }
}

async fn audit_trace(scenario: &Scenario, stack: &Stack, sent: &Sent, line: &mut Line) {
    let (client, id) = (stack.client(), sent.job.id);
    line.bytes += sent.log.len();
    line.failed_requests += sent.counts.failed;
    line.asked_again += sent.counts.moved + sent.counts.asked_again;
    if let Some(why) = &sent.gave_up {
        line.not_verified += 1;
        line.say(format!("job {id}: {why}"));
        return;
    }
    let integrity = client.integrity(&sent.job).await;
    if integrity["verdict"] != "verified" {
        line.not_verified += 1;
        line.say(format!("job {id}: its verdict is {}", integrity["verdict"]));
    }
    match client.trace_request(&sent.job).try_answer().await {
        Ok(answer) if answer.status == 200 && answer.body == sent.log => {}
        Ok(answer) => {
            let same = answer.body.iter().zip(&sent.log).take_while(|(read, sent)| read == sent).count();
            line.missing += sent.log.len().max(answer.body.len()) - same;
            line.say(format!(
                "job {id}: read {} with {} bytes of {}",
                answer.status,
                answer.body.len(),
                sent.log.len()
            ));
        }
        Err(error) => {
            line.missing += sent.log.len();
            line.say(format!("job {id}: not readable: {error}"));
        }
    }
    let integrity = client.integrity(&sent.job).await;
    for mismatch in integrity["mismatches"].as_array().expect("a list") {
        let explained = match scenario.takes {
            Takes::Nothing => false,
            Takes::LiveBytes => mismatch["store"] == "redis",
            Takes::Objects => mismatch["store"] == "object_store",
        };
        if explained && mismatch["resolution"] != Value::Null {
            line.healed += 1;
        } else {
            line.false_mismatches += 1;
            line.say(format!("job {id}: {mismatch}"));
        }
    }
}

async fn look_for_leavings(scenario: &Scenario, stores: &Stores, sent: &[Sent], line: &mut Line) {
    let copies = live_copies(stores).await;
    line.left_over += copies.len();
    copies.iter().for_each(|copy| line.say(format!("left in Redis: {copy:?}")));

    let mut named = BTreeSet::new();
    for sent in sent {
        for row in stores.database.chunks(JobId(sent.job.id), ChunkIndex(0), 10_000).await.expect("rows") {
            match row.state {
                ChunkState::Persisted { at: Location::Object(object), .. } => drop(named.insert(object.key)),
                // The row behind the last chunk, made before it was known that nothing would follow.
                ChunkState::Open => {}
                state => {
                    line.left_over += 1;
                    line.say(format!("job {}: chunk {} is left {state:?}", sent.job.id, row.index));
                }
            }
        }
    }
    let objects = stores.objects.list("").try_collect::<Vec<_>>().await.expect("a listing");
    let orphans: Vec<String> =
        objects.into_iter().map(|object| object.key).filter(|key| !named.contains(key)).collect();
    let (quarantined, orphans): (Vec<_>, Vec<_>) = orphans.into_iter().partition(|key| key.starts_with("quarantine/"));
    if scenario.takes == Takes::Nothing {
        line.left_over += quarantined.len();
        quarantined.iter().for_each(|key| line.say(format!("in quarantine: {key}")));
    } else if !quarantined.is_empty() {
        line.explained.push(format!("{} copies in quarantine, for people who look", quarantined.len()));
    }
    if scenario.kills && !orphans.is_empty() {
        line.explained.push(format!(
            "{} objects that no row names, left by a lost answer or a process that stopped: they are removed later",
            orphans.len()
        ));
    } else {
        line.left_over += orphans.len();
        orphans.iter().for_each(|key| line.say(format!("an orphan: {key}")));
    }
    let bytes = stores.spill.list("").try_collect::<Vec<_>>().await.expect("a listing");
    line.left_over += bytes.len();
    bytes.iter().for_each(|object| line.say(format!("left in the database: {}", object.key)));
}

/// Live copies that will not go by themselves.
async fn live_copies(stores: &Stores) -> Vec<Found> {
    let (mut copies, mut from) = (Vec::new(), None);
    loop {
        let Ok(page) = stores.live.scan(from, 1000).await else { return copies };
        copies.extend(page.found.into_iter().filter(|found| matches!(found, Found::Chunk { .. })));
        match page.next {
            Some(next) => from = Some(next),
            None => return copies,
        }
    }
}
