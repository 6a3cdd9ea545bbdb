//! Objects that no row names: what nodes could not finish. The inventory removes them where nobody can miss them, and writes
//! them down else.

use std::collections::BTreeSet;
use std::time::Duration;

use veritail::seams::Clock as _;
use veritail::store::database::{Mismatch, Resolution};
use veritail::store::object::keys;
use veritail::trace::{ChunkState, DataStore, Location};

use super::clocks;
use super::oracle::is_unnamed;
use super::verifying::{INVENTORY_EVERY, orphan_grace};
use super::world::World;

/// Three times, for a pass that a dead node left half done is gone on with by the next; and the wait for copies in the live store.
const FOUND_WITHIN: Duration = Duration::from_secs(3 * INVENTORY_EVERY.as_secs() + 90);

/// What is in quarantine is named by nobody, and does not count.
pub fn orphans(world: &World) -> Vec<String> {
    let named = named(world);
    let keys = world.objects.keys().into_iter();
    keys.filter(|key| key.starts_with("traces/") && !named.contains(key)).collect()
}

/// Everything that no row names and that is not young is known, and what is known is there.
pub fn everything_is_known(world: &World) {
    let clocks = &world.weather.trouble.clocks;
    let (named, known) = (named(world), world.database.all_mismatches());
    let known: Vec<&Mismatch> = known.iter().filter(|known| is_unnamed(known)).collect();
    let mut violations = Vec::new();
    let is_about = |known: &Mismatch, key: &str| {
        keys::parse(key).is_ok_and(|key| {
            (known.what.job, known.what.chunk, known.what.epoch) == (key.job, Some(key.index), key.epoch)
        })
    };
    let old = orphan_grace(clocks) + FOUND_WITHIN + Duration::from_millis(clocks::apart_ms(clocks));
    for key in world.objects.older_than(old) {
        let is_known =
            |known: &&&Mismatch| is_about(known, &key) && !matches!(known.resolved, Some((Resolution::Repaired, _)));
        if key.starts_with("traces/") && !named.contains(&key) && !known.iter().any(|known| is_known(&known)) {
            violations.push(format!("no row names {key}, and nobody knows"));
        }
    }
    let long_ago = world.clock.now().before(old);
    for open in known.iter().filter(|known| known.resolved.is_none() && known.last_seen < long_ago) {
        let what = &open.what;
        let is_there = world.objects.keys().iter().any(|key| !named.contains(key) && is_about(open, key));
        if what.store == DataStore::ObjectStore && !is_there {
            violations.push(format!(
                "job {}: an orphan of chunk {:?} is written down, and there is none",
                what.job, what.chunk
            ));
        }
    }
    let mut oracle = world.oracle.lock().expect("not poisoned");
    violations.into_iter().for_each(|violation| oracle.violation(violation));
}

fn named(world: &World) -> BTreeSet<String> {
    let jobs = world.database.jobs();
    let rows = jobs.iter().flat_map(|job| world.database.all_rows(job.id));
    rows.filter_map(|row| match row.state {
        ChunkState::Persisted { at: Location::Object(object), .. }
        | ChunkState::Wanted { kept: Some(Location::Object(object)), .. } => Some(object.key),
        _ => None,
    })
    .collect()
}
