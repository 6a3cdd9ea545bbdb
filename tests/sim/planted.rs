//! Damage planted on purpose after the storm: each is found within the promised time, with the right name, once, and
//! healed where a good copy is left; and nothing else is found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use veritail::store::database::drills::{Drill, DrillId, Drills, NewDrill};
use veritail::store::database::verifications::RunId;
use veritail::store::database::{Database, Mismatch, Note, Resolution};
use veritail::store::object::{ObjectStore, codec, keys};
use veritail::trace::{
    ByteSize, ChunkIndex, ChunkRow, ChunkState, Crc32, DataStore, Detection, Epoch, JobId, Kind, Location, Record,
    Sha256, StoredObject,
};

use super::clocks;
use super::disturbed::{self, Disturbed};
use super::machine::{Dice, spawn};
use super::oracle::is_unnamed;
use super::verifying::{self, CYCLE};
use super::world::World;

/// Beyond the promised cycle: a tick, its jitter, a turn that a dead node still holds, and a run that waits for a store.
const SLACK_MS: u64 = 40_000;
/// Until when what is announced has to be found: far enough for every clock.
const ANNOUNCED_FOR: Duration = Duration::from_secs(3600);

/// A chunk that is damaged, and what has to be said of it.
struct Planted {
    job: JobId,
    index: ChunkIndex,
    kind: Kind,
    store: DataStore,
    is_healed: bool,
    /// The drill that it was announced as, if it was.
    drill: Option<DrillId>,
    /// The newest run when it was planted.
    newest_run: Option<RunId>,
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
pub type Target = (JobId, ChunkRow, Record, StoredObject);

/// Waits until all that the storm did is found, then damages some chunks while nodes die, and waits for them to be found.
pub async fn plant_and_find(world: &Arc<World>) {
    let (dice, within_ms) = (world.dice.fork(), promised_ms(world));
    world.sleep_ms(within_ms).await;
    everything_wrong_is_known(world);
    let before = world.database.all_mismatches().len();
    let mut targets = targets(world);
    let disturbed = Disturbed::roll(&dice);
    let mut planted = Vec::new();
    if disturbed.in_general {
        spawn(disturbed::disturb(world.clone(), dice.fork()));
    }
    let most = dice.below(5).min(targets.len() as u64);
    for _ in 0..most {
        world.sleep_ms(dice.below(CYCLE.as_millis() as u64 / 4)).await;
        let target = targets.swap_remove(any_or_begun_again(&targets, &dice));
        let Some(damage) = plant(world, &dice, target, disturbed.in_general).await else { continue };
        disturbed.meet(world, &dice, damage.job, planted.is_empty());
        planted.push(damage);
    }
    let is_written = |damage: &Planted| damage.is_healed && damage.store == DataStore::ObjectStore;
    let others_wait = || {
        let known = world.database.all_mismatches();
        known[..before].iter().any(|known| known.resolved.is_none() && !is_unnamed(known))
    };
    if disturbed.keeps_wrongly && planted.last().is_some_and(is_written) && !others_wait() {
        // Nobody but the repair writes an object now.
        world.weather.tally.count("object not kept as written");
        world.objects.damage_next_put();
    }
    world.sleep_ms(within_ms + disturbed.longer_ms()).await;
    world.objects.be_good();
    check(world, &planted, before);
    no_cycle_missed_it(world, &planted, before).await;
    every_drill_is_found(world, &planted).await;
    put_back_some(world, &dice, &mut planted).await;
    let acknowledged = take_note_of_some(world, &dice, &planted).await;
    world.sleep_ms(within_ms).await;
    check(world, &planted, before);
    everything_wrong_is_known_but(world, &acknowledged);
}

/// The time within which every damage is found, also of a job that grows old meanwhile; each node goes by its own clock.
fn promised_ms(world: &World) -> u64 {
    CYCLE.as_millis() as u64 + clocks::apart_ms(&world.weather.trouble.clocks) + SLACK_MS
}

/// What lies in the object store as it should.
pub fn targets(world: &World) -> Vec<Target> {
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

/// A place among them: in some cases of a chunk that was begun again, as one in many is.
fn any_or_begun_again(targets: &[Target], dice: &Dice) -> usize {
    let again: Vec<usize> = (0..targets.len()).filter(|at| targets[*at].1.epoch > Epoch::FIRST).collect();
    if !again.is_empty() && dice.chance(300) {
        return *dice.pick(&again);
    }
    dice.below(targets.len() as u64) as usize
}

fn is_sound(world: &World, record: &Record, object: &StoredObject) -> bool {
    let stored = world.objects.bytes(&object.key);
    // A bit of a frame that means nothing may have changed.
    stored.is_some_and(|stored| Sha256::of(&stored) == object.sha256 && is_of(&stored, record))
}

fn is_of(stored: &[u8], record: &Record) -> bool {
    codec::decode(stored, record.size).is_ok_and(|bytes| Record::of(&bytes) == *record)
}

/// What is done to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Lose,
    Cut,
    FlipBit,
    /// A copy of an earlier epoch comes to lie under the key.
    BringBack,
    /// A field of the row; see [`damage`].
    Row(u64),
}

impl Harm {
    fn roll(dice: &Dice, row: &ChunkRow, is_disturbed: bool) -> Self {
        // Where earlier copies cannot be looked at, it has another name.
        if row.epoch > Epoch::FIRST && !is_disturbed && dice.chance(400) {
            return Self::BringBack;
        }
        match dice.below(8) {
            0 => Self::Lose,
            1 => Self::Cut,
            2 => Self::FlipBit,
            field => Self::Row(field - 3),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Lose => Kind::Missing,
            Self::Cut => Kind::Size,
            Self::FlipBit => Kind::Checksum,
            Self::BringBack => Kind::StaleCopy,
            Self::Row(_) => Kind::Record,
        }
    }
}

async fn plant(world: &World, dice: &Dice, (job, row, record, object): Target, is_disturbed: bool) -> Option<Planted> {
    let (key, stored) = (object.key.clone(), world.objects.bytes(&object.key)?);
    let harm = Harm::roll(dice, &row, is_disturbed);
    let kind = harm.kind();
    let store = kind.store(DataStore::ObjectStore);
    if store == DataStore::ObjectStore && dice.chance(500) {
        leave_a_good_copy(world, dice, job, &row, stored.clone()).await;
    }
    let mut is_healed = store == DataStore::ObjectStore && has_other_good_copy(world, job, &row, &record, &key);
    let at = dice.below(stored.len() as u64) as usize;
    let drill = if dice.chance(300) { Some(announce(world, job, row.index, kind, store).await) } else { None };
    let newest_run = verifying::newest_run(world).await;
    let counted = match harm {
        Harm::Lose => {
            world.objects.lose(&object.key);
            "planted: object lost"
        }
        Harm::Cut => {
            world.objects.truncate(&object.key, at);
            "planted: object cut"
        }
        Harm::FlipBit => {
            world.objects.flip_bit(&object.key, at, dice.below(8) as u8);
            // A bit of the frame that means nothing leaves the content as it is: then it is healed from this very copy.
            let bytes = world.objects.bytes(&object.key)?;
            is_healed |= is_of(&bytes, &record);
            "planted: bit flipped"
        }
        Harm::BringBack => {
            let earlier = Epoch(row.epoch.0 - 1);
            let bytes = Bytes::from(codec::encode(b"what the chunk was once"));
            let name = keys::chunk_key(job, row.index, earlier, &format!("{:016x}", dice.next()));
            for key in [&name, &object.key] {
                put(world, key, bytes.clone()).await;
            }
            "planted: copy of an earlier epoch"
        }
        Harm::Row(field) => {
            // What the row says of the stored bytes is put right from them; what it promises of the content is not.
            is_healed = field >= 3;
            world.database.damage_row(job, row.index, |row| damage(row, field, dice));
            "planted: record changed"
        }
    };
    world.weather.tally.count(counted);
    // From now on it counts as what was done to the job.
    world.oracle.lock().expect("not poisoned").object_harmed(job);
    tracing::info!("planted: {kind} in chunk {} of job {job}, {}", row.index, object.key);
    if let Some(drill) = drill {
        world.weather.tally.count("planted: announced as a drill");
        let now = veritail::seams::Clock::now(world.clock.as_ref());
        world.database.note_damaged(drill, now).await.map_err(|error| error.to_string()).expect("the model answers");
    }
    Some(Planted { job, index: row.index, kind, store, is_healed, drill, newest_run, key, stored })
}

async fn put(world: &World, key: &str, stored: Bytes) {
    world.objects.put(key, stored).await.map_err(|error| error.to_string()).expect("the model takes objects");
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
        0 => record.size = other_size(record.size, dice),
        1 => record.crc32 = Crc32(record.crc32.0 ^ (1 << dice.below(32))),
        2 => record.sha256.0[dice.below(32) as usize] ^= 1 << dice.below(8),
        3 => object.size = other_size(object.size, dice),
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
            put(world, &damage.key, damage.stored.clone()).await;
            damage.is_healed = true;
        }
    }
}

/// As migrations leave them that lost a race and died; some are not of these bytes, and there may be more of those.
async fn leave_a_good_copy(world: &World, dice: &Dice, job: JobId, row: &ChunkRow, stored: Bytes) {
    let other = Bytes::from(codec::encode(b"another attempt, of other bytes"));
    for stored in [stored, other.clone()].into_iter().chain(dice.chance(500).then_some(other)) {
        put(world, &keys::chunk_key(job, row.index, row.epoch, &format!("{:016x}", dice.next())), stored).await;
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
    violations.into_iter().for_each(|violation| oracle.violation(violation));
}

/// No whole cycle of the full run that began after the damage went over it without a word. Jobs are old by now, so one shard
/// has them all the time.
async fn no_cycle_missed_it(world: &World, planted: &[Planted], before: usize) {
    let cycles = verifying::whole_cycles(world).await;
    let mismatches = world.database.all_mismatches();
    for damage in planted {
        let found = mismatches.iter().skip(before).find(|found| damage.is_it(found));
        let Some(run) = found.and_then(|found| found.what.run).map(RunId) else { continue };
        let Some(cycle) = cycles.iter().find(|cycle| cycle.id == run) else { continue };
        let is_since = |id: RunId| damage.newest_run < Some(id) && id < run;
        let missed = cycles.iter().find(|other| other.scope == cycle.scope && is_since(other.id));
        if let Some(missed) = missed {
            let mut oracle = world.oracle.lock().expect("not poisoned");
            oracle.violation(format!(
                "job {}: planted in chunk {}: {}, and the whole cycle {} of {} missed it, before {run} found it",
                damage.job, damage.index, damage.kind, missed.id, missed.scope
            ));
        }
    }
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
        if open.what.store != DataStore::Embedded && !is_right_again && is_as_found(world, &open) && dice.chance(500) {
            let note = Note { by: "somebody".to_owned(), comment: "seen".to_owned() };
            let now = veritail::seams::Clock::now(world.clock.as_ref());
            let done = world.database.resolve_mismatch(open.id, Resolution::Acknowledged, &note, now).await;
            done.map_err(|error| error.to_string()).expect("the model answers");
            acknowledged.insert((open.what.job, open.what.chunk));
        }
    }
    acknowledged
}

/// What changed once more since it was found is another difference to whoever took note of the first one.
fn is_as_found(world: &World, known: &Mismatch) -> bool {
    let rows = world.database.all_rows(known.what.job);
    let row = rows.into_iter().find(|row| Some(row.index) == known.what.chunk);
    let Some(ChunkState::Persisted { at: Location::Object(object), .. }) = row.map(|row| row.state) else {
        return true;
    };
    let stored = world.objects.bytes(&object.key).map(|stored| Sha256::of(&stored));
    known.what.store != DataStore::ObjectStore || known.what.found.stored_sha256 == stored
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
