//! Damage planted on purpose after the storm: each is found within the promised time, with the right name, once, and
//! healed where a good copy is left; and nothing else is found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use veritail::store::database::drills::{Drill, DrillId, Drills, NewDrill};
use veritail::store::database::{Database, Mismatch, Note, Resolution};
use veritail::store::object::{ObjectStore, codec, keys};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkState, Crc32, DataStore, Detection, JobId, Kind, Location, Record, Sha256,
    StoredObject,
};

use super::clocks;
use super::machine::Dice;
use super::oracle::is_unnamed;
use super::plan::NODES;
use super::verifying::CYCLE;
use super::world::World;

/// Beyond the promised cycle: a tick, its jitter, a turn that a dead node still holds, and a run that waits for a store.
const SLACK_MS: u64 = 40_000;
/// Until when what is announced has to be found: far enough for every clock.
const ANNOUNCED_FOR: Duration = Duration::from_secs(3600);
/// While nodes die and the object store is away, at most so long.
const DISTURBED_MS: u64 = 25_000;

/// A chunk that is damaged, and what has to be said of it.
struct Planted {
    job: JobId,
    index: ChunkIndex,
    kind: Kind,
    store: DataStore,
    is_healed: bool,
    /// The drill that it was announced as, if it was.
    drill: Option<DrillId>,
    /// The object as it was.
    key: String,
    stored: Bytes,
}

impl Planted {
    fn is_it(&self, found: &Mismatch) -> bool {
        let what = &found.what;
        (what.job, what.chunk, what.kind, what.store) == (self.job, Some(self.index), self.kind, self.store)
    }
}

/// A sound persistent copy: its job, row, record, and place.
type Target = (JobId, ChunkRow, Record, StoredObject);

/// Waits until all that the storm did is found, then damages some chunks while nodes die, and waits for them to be found.
pub async fn plant_and_find(world: &Arc<World>) {
    let (dice, within_ms) = (world.dice.fork(), promised_ms(world));
    world.sleep_ms(within_ms).await;
    everything_wrong_is_known(world);
    let before = world.database.all_mismatches().len();
    let mut targets = targets(world);
    let mut planted = Vec::new();
    if dice.chance(500) {
        tokio_spawn(disturb(world.clone(), dice.fork()));
    }
    let most = dice.below(5).min(targets.len() as u64);
    for _ in 0..most {
        world.sleep_ms(dice.below(CYCLE.as_millis() as u64 / 4)).await;
        let target = targets.swap_remove(dice.below(targets.len() as u64) as usize);
        planted.extend(plant(world, &dice, target).await);
    }
    world.sleep_ms(within_ms + DISTURBED_MS).await;
    check(world, &planted, before);
    every_drill_is_found(world, &planted).await;
    put_back_some(world, &dice, &mut planted).await;
    let acknowledged = take_note_of_some(world, &dice, &planted).await;
    world.sleep_ms(within_ms).await;
    check(world, &planted, before);
    everything_wrong_is_known_but(world, &acknowledged);
}

fn tokio_spawn(work: impl Future<Output = ()> + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "the paused runtime of the simulation")]
    tokio::spawn(work);
}

/// The time within which every damage is found, also of a job that grows old meanwhile; each node goes by its own clock.
fn promised_ms(world: &World) -> u64 {
    CYCLE.as_millis() as u64 + clocks::apart_ms(&world.weather.trouble.clocks) + SLACK_MS
}

/// Nodes die in the middle of a run or stand still for longer than their turn, and the object store is away.
async fn disturb(world: Arc<World>, dice: Dice) {
    let until = world.clock.elapsed_ms() + DISTURBED_MS;
    let mut misread = BTreeSet::new();
    while world.clock.elapsed_ms() < until {
        world.sleep_ms(dice.between(200, 6000)).await;
        let node = dice.below(NODES as u64) as usize;
        match dice.below(4) {
            0 => {
                let targets = targets(&world);
                let Some((.., object)) = (!targets.is_empty()).then(|| dice.pick(&targets)) else { continue };
                // Read wrong twice in a row is what nobody can tell from damage.
                if misread.insert(object.key.clone()) {
                    world.weather.tally.count("object read wrong once");
                    world.objects.misread_once(&object.key);
                }
            }
            1 => {
                world.weather.tally.count("node died while it verified");
                world.kill(node);
                world.sleep_ms(dice.below(3000)).await;
                world.restart(node);
            }
            2 => {
                let Some(pause) = world.pause_of(node) else { continue };
                world.weather.tally.count("node paused while it verified");
                pause.set(true);
                world.sleep_ms(dice.between(1000, 15_000)).await;
                pause.set(false);
            }
            _ => {
                world.weather.tally.count("object store away while it was verified");
                world.weather.away("object_store", None, dice.between(500, 8000), 0);
            }
        }
    }
    // A read that nobody made in time: of an object that is lost and put back, it would be one that nobody planted.
    world.objects.be_good();
}

/// What lies in the object store as it should.
fn targets(world: &World) -> Vec<Target> {
    let rows = world.database.jobs().into_iter().flat_map(|job| {
        let rows = world.database.all_rows(job.id);
        rows.into_iter().map(move |row| (job.id, row))
    });
    let kept = rows.filter_map(|(job, row)| match row.state.clone() {
        ChunkState::Persisted { record, at: Location::Object(object) } => Some((job, row, record, object)),
        _ => None,
    });
    kept.filter(|(_, _, record, object)| is_sound(world, record, object)).collect()
}

fn is_sound(world: &World, record: &Record, object: &StoredObject) -> bool {
    let stored = world.objects.bytes(&object.key);
    // A bit of a frame that means nothing may have changed.
    stored.is_some_and(|stored| Sha256::of(&stored) == object.sha256 && is_of(&stored, record))
}

fn is_of(stored: &[u8], record: &Record) -> bool {
    codec::decode(stored, record.size).is_ok_and(|bytes| Record::of(&bytes) == *record)
}

async fn plant(world: &World, dice: &Dice, (job, row, record, object): Target) -> Option<Planted> {
    let (key, stored) = (object.key.clone(), world.objects.bytes(&object.key)?);
    let harm = dice.below(8);
    if harm < 3 && dice.chance(500) {
        leave_a_good_copy(world, dice, job, &row, stored.clone()).await;
    }
    let mut is_healed = harm < 3 && has_other_good_copy(world, job, &row, &record, &key);
    let at = dice.below(stored.len() as u64) as usize;
    let kind = match harm {
        0 => Kind::Missing,
        1 => Kind::Size,
        2 => Kind::Checksum,
        _ => Kind::Record,
    };
    let store = kind.store(DataStore::ObjectStore);
    let drill = if dice.chance(300) { Some(announce(world, job, row.index, kind, store).await) } else { None };
    let counted = match harm {
        0 => {
            world.objects.lose(&object.key);
            "planted: object lost"
        }
        1 => {
            world.objects.truncate(&object.key, at);
            "planted: object cut"
        }
        2 => {
            world.objects.flip_bit(&object.key, at, dice.below(8) as u8);
            // A bit of the frame that means nothing leaves the content as it is: then it is healed from this very copy.
            let bytes = world.objects.bytes(&object.key)?;
            is_healed |= is_of(&bytes, &record);
            "planted: bit flipped"
        }
        field => {
            // What the row says of the stored bytes is put right from them; what it promises of the content is not.
            is_healed = field >= 6;
            world.database.damage_row(job, row.index, |row| damage(row, field, dice));
            "planted: record changed"
        }
    };
    world.weather.tally.count(counted);
    tracing::info!("planted: {kind} in chunk {} of job {job}, {}", row.index, object.key);
    if let Some(drill) = drill {
        world.weather.tally.count("planted: announced as a drill");
        let now = veritail::seams::Clock::now(world.clock.as_ref());
        world.database.note_damaged(drill, now).await.map_err(|error| error.to_string()).expect("the model answers");
    }
    Some(Planted { job, index: row.index, kind, store, is_healed, drill, key, stored })
}

async fn announce(world: &World, job: JobId, chunk: ChunkIndex, kind: Kind, store: DataStore) -> DrillId {
    let at = veritail::seams::Clock::now(world.clock.as_ref());
    let by = "somebody".to_owned();
    let new = NewDrill { job, chunk, kind, store, by, at, must_be_found_by: at.after(ANNOUNCED_FOR) };
    world.database.announce(&new).await.map_err(|error| error.to_string()).expect("the model answers")
}

fn damage(row: &mut ChunkRow, field: u64, dice: &Dice) {
    let ChunkState::Persisted { record, at: Location::Object(object) } = &mut row.state else { return };
    match field {
        3 => record.size = other_size(record.size, dice),
        4 => record.crc32 = Crc32(record.crc32.0 ^ (1 << dice.below(32))),
        5 => record.sha256.0[dice.below(32) as usize] ^= 1 << dice.below(8),
        6 => object.size = other_size(object.size, dice),
        _ => object.sha256.0[dice.below(32) as usize] ^= 1 << dice.below(8),
    }
}

fn other_size(size: ByteSize, dice: &Dice) -> ByteSize {
    let other = dice.below(size.0 * 2 + 2);
    ByteSize(if other == size.0 { other + 1 } else { other })
}

/// Somebody puts lost or damaged objects back under their keys: by the next cycle they count as repaired.
async fn put_back_some(world: &World, dice: &Dice, planted: &mut [Planted]) {
    for damage in planted.iter_mut().filter(|damage| !damage.is_healed && damage.store == DataStore::ObjectStore) {
        if dice.chance(300) {
            world.weather.tally.count("object put back");
            tracing::info!("put back: chunk {} of job {}, {}", damage.index, damage.job, damage.key);
            let put = world.objects.put(&damage.key, damage.stored.clone()).await;
            put.map_err(|error| error.to_string()).expect("the model takes objects");
            damage.is_healed = true;
        }
    }
}

/// As migrations leave them that lost a race and died; one of them is not of these bytes.
async fn leave_a_good_copy(world: &World, dice: &Dice, job: JobId, row: &ChunkRow, stored: Bytes) {
    let key = keys::chunk_key(job, row.index, row.epoch, &format!("{:016x}", dice.next()));
    let bad = keys::chunk_key(job, row.index, row.epoch, &format!("{:016x}", dice.next()));
    let other = Bytes::from(codec::encode(b"another attempt, of other bytes"));
    for (key, stored) in [(key, stored), (bad, other)] {
        world.objects.put(&key, stored).await.map_err(|error| error.to_string()).expect("the model takes objects");
    }
}

/// What an earlier attempt or repair left counts as well.
fn has_other_good_copy(world: &World, job: JobId, row: &ChunkRow, record: &Record, but: &str) -> bool {
    world.objects.keys().iter().filter(|key| key.as_str() != but).any(|key| {
        let is_of_chunk = keys::parse(key).is_ok_and(|key| (key.job, key.index) == (job, row.index));
        let stored = world.objects.bytes(key).filter(|_| is_of_chunk);
        // Live remains are kept in quarantine as they are.
        stored.is_some_and(|stored| is_of(&stored, record) || Record::of(&stored) == *record)
    })
}

/// Every planted damage is named once and rightly, and nothing else is.
fn check(world: &World, planted: &[Planted], before: usize) {
    let mismatches = world.database.all_mismatches();
    let since: Vec<&Mismatch> = mismatches.iter().skip(before).filter(|known| !is_unnamed(known)).collect();
    let mut violations = Vec::new();
    for damage in planted {
        let Planted { job, index, kind, store, is_healed, drill, .. } = damage;
        let what = format!("job {job}: planted in chunk {index}: {kind} in {store}");
        let found: Vec<_> = since.iter().filter(|found| damage.is_it(found)).collect();
        match found.as_slice() {
            [] => violations.push(format!("{what}, not found in time")),
            [one] => {
                let repaired = matches!(one.resolved, Some((Resolution::Repaired, _)));
                let waits = matches!(one.resolved, None | Some((Resolution::Acknowledged, _)));
                if *is_healed && !repaired {
                    violations.push(format!("{what}, not healed although it can be: {:?}", one.resolved));
                }
                if !is_healed && !waits {
                    violations.push(format!("{what}, said to be healed: {:?}", one.resolved));
                }
                if one.drill != *drill {
                    violations.push(format!("{what}, announced as {drill:?} and counted as {:?}", one.drill));
                }
            }
            _ => violations.push(format!("{what}, counted {} times", found.len())),
        }
    }
    for found in since.iter().filter(|found| !planted.iter().any(|damage| damage.is_it(found))) {
        let what = &found.what;
        violations.push(format!(
            "job {}: nobody planted {} in {} of chunk {:?}, found by {}",
            what.job, what.kind, what.store, what.chunk, what.detector
        ));
    }
    let mut oracle = world.oracle.lock().expect("not poisoned");
    for damage in planted {
        // From now on it counts as what was done to the job.
        oracle.object_harmed(damage.job);
    }
    violations.into_iter().for_each(|violation| oracle.violation(violation));
}

/// What was announced is found as what it is, whoever found it and whichever nodes died meanwhile.
async fn every_drill_is_found(world: &World, planted: &[Planted]) {
    let now = veritail::seams::Clock::now(world.clock.as_ref());
    world.database.settle_drills(now).await.map_err(|error| error.to_string()).expect("the model answers");
    for damage in planted {
        let Some(id) = damage.drill else { continue };
        let drill = world.database.drill(id).await.map_err(|error| error.to_string()).expect("the model answers");
        if !matches!(drill, Some(Drill { result: Some(Detection::Found), .. })) {
            let mut oracle = world.oracle.lock().expect("not poisoned");
            oracle.violation(format!("job {}: what was announced is not found: {drill:?}", damage.job));
        }
    }
}

/// A person takes note of some open mismatches. Answers the chunks.
async fn take_note_of_some(world: &World, dice: &Dice, planted: &[Planted]) -> BTreeSet<(JobId, Option<ChunkIndex>)> {
    let mut acknowledged = BTreeSet::new();
    let open = world.database.all_mismatches().into_iter();
    for open in open.filter(|known| known.resolved.is_none() && !is_unnamed(known)) {
        let is_right_again = planted.iter().any(|damage| damage.is_healed && damage.is_it(&open));
        if open.what.store != DataStore::Embedded && !is_right_again && dice.chance(500) {
            let note = Note { by: "somebody".to_owned(), comment: "seen".to_owned() };
            let now = veritail::seams::Clock::now(world.clock.as_ref());
            let done = world.database.resolve_mismatch(open.id, Resolution::Acknowledged, &note, now).await;
            done.map_err(|error| error.to_string()).expect("the model answers");
            acknowledged.insert((open.what.job, open.what.chunk));
        }
    }
    acknowledged
}

fn everything_wrong_is_known(world: &World) {
    everything_wrong_is_known_but(world, &BTreeSet::new());
}

/// A cycle after the last harm: of every chunk whose persistent copy is bad there is an open mismatch, and of none else.
fn everything_wrong_is_known_but(world: &World, acknowledged: &BTreeSet<(JobId, Option<ChunkIndex>)>) {
    let mismatches = world.database.all_mismatches();
    let open: BTreeSet<(JobId, Option<ChunkIndex>)> = mismatches
        .iter()
        .filter(|known| known.resolved.is_none() && known.what.store != DataStore::Embedded && !is_unnamed(known))
        .map(|known| (known.what.job, known.what.chunk))
        .collect();
    let mut violations = Vec::new();
    for job in world.database.jobs() {
        for row in world.database.all_rows(job.id) {
            let ChunkState::Persisted { record, at: Location::Object(object) } = &row.state else { continue };
            let chunk = (job.id, Some(row.index));
            let is_sound = is_sound(world, record, object);
            if !is_sound && !open.contains(&chunk) && !acknowledged.contains(&chunk) {
                violations.push(format!("job {}: the copy of chunk {} is bad, and nobody knows", job.id, row.index));
            }
            if is_sound && open.contains(&chunk) {
                violations.push(format!("job {}: chunk {} is sound, and has an open mismatch", job.id, row.index));
            }
        }
    }
    let mut oracle = world.oracle.lock().expect("not poisoned");
    violations.into_iter().for_each(|violation| oracle.violation(violation));
}
