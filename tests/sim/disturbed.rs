//! What goes on while planted damage is looked for: nodes die or stand still, stores are away or read wrong, and several
//! look at the same chunk at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use veritail::trace::JobId;
use veritail::verify::Scope;

use super::machine::{Dice, spawn};
use super::plan::NODES;
use super::planted::targets;
use super::reader;
use super::world::{Doors, World};

/// While nodes die and the object store is away, at most so long.
pub const DISTURBED_MS: u64 = 25_000;
/// So many nodes die one after the other in the middle of a look at the same chunk.
const DEADLY_LOOKS: u64 = 2;
/// Until another goes on after one of these: the turn of the dead node ends, and a tick is due.
const TAKEN_OVER_MS: u64 = 28_000;

/// What a seed has of it.
pub struct Disturbed {
    /// See [`disturb`].
    pub in_general: bool,
    /// Who looks at damage dies in the middle of the look.
    deadly_looks: bool,
    /// A repair is not kept as it was written.
    pub keeps_wrongly: bool,
}

impl Disturbed {
    pub fn roll(dice: &Dice) -> Self {
        let in_general = dice.chance(500);
        Self {
            in_general,
            deadly_looks: !in_general && dice.chance(300),
            keeps_wrongly: !in_general && dice.chance(400),
        }
    }

    /// How much longer it may take until everything is found.
    pub fn longer_ms(&self) -> u64 {
        DISTURBED_MS + if self.deadly_looks { DEADLY_LOOKS * TAKEN_OVER_MS } else { 0 }
    }

    /// What the damage of a job meets that was planted a moment ago.
    pub fn meet(&self, world: &Arc<World>, dice: &Dice, job: JobId, is_first: bool) {
        if self.deadly_looks && is_first {
            spawn(die_at_looks(world.clone(), dice.fork(), job));
        } else if dice.chance(300) {
            look_from_all_sides(world, dice, job);
        }
    }
}

/// Whoever looks at the damage of this job dies before it is written down, so often.
async fn die_at_looks(world: Arc<World>, dice: Dice, job: JobId) {
    world.weather.let_lookers_die(job, DEADLY_LOOKS);
    while world.weather.do_lookers_die() || (0..NODES).any(|node| world.is_down(node)) {
        world.sleep_ms(dice.between(200, 2000)).await;
        for node in (0..NODES).filter(|node| world.is_down(*node)) {
            world.weather.tally.count("node died in the middle of a look at damage");
            world.restart(node);
        }
    }
}

/// Several people verify a job, and one reads it, all at the same moment.
fn look_from_all_sides(world: &Arc<World>, dice: &Dice, job: JobId) {
    world.weather.tally.count("damage looked at from all sides");
    for _ in 0..dice.between(2, 4) {
        let (world, dice) = (world.clone(), dice.fork());
        spawn(async move {
            world.sleep_ms(dice.below(20)).await;
            let verify = |doors: Doors| async move {
                let scope = Scope::Jobs(vec![job]);
                doors.verifier.verify(scope, "a person".to_owned(), |_| ()).await.is_ok()
            };
            let _ = world.ask(&dice, verify).await;
        });
    }
    let (world, dice) = (world.clone(), dice.fork());
    spawn(async move {
        world.sleep_ms(dice.below(20)).await;
        let read = world.request(&dice, move |node| async move { reader::read(&node, job).await }).await;
        if let Ok(Ok(read)) = read {
            world.oracle.lock().expect("not poisoned").was_read(job, &read, false);
        }
    });
}

/// Nodes die in the middle of a run or stand still for longer than their turn, and the object store is away.
pub async fn disturb(world: Arc<World>, dice: Dice) {
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
