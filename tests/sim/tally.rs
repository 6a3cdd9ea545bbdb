//! How often each fault occurred: one that does not occur proves nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use veritail::store::hooked::Call;

use super::network::AFTER;

/// The faults of one seed.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

/// Faults by name: how often, and in how many seeds.
#[derive(Clone, Default)]
pub struct Counts {
    faults: BTreeMap<&'static str, (u64, u64)>,
    /// Answers lost, by store and operation.
    lost: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    /// A fault occurred.
    pub fn count(&self, fault: &'static str) {
        let mut counts = self.0.lock().expect("not poisoned");
        let (times, seeds) = counts.faults.entry(fault).or_default();
        (*times, *seeds) = (*times + 1, 1);
    }

    /// A call failed.
    pub fn call(&self, when: &'static str, call: &Call) {
        if when == AFTER {
            *self.0.lock().expect("not poisoned").lost.entry((call.store, call.operation)).or_default() += 1;
        }
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        for (fault, (times, seeds)) in &other.faults {
            let sum = self.faults.entry(fault).or_default();
            *sum = (sum.0 + times, sum.1 + seeds);
        }
        for (call, times) in &other.lost {
            *self.lost.entry(*call).or_default() += times;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, (times, seeds))| format!("{times} {fault} ({seeds} seeds)")).collect();
        let lost: Vec<String> =
            self.lost.iter().map(|((store, call), times)| format!("{times} {store}.{call}")).collect();
        write!(f, "faults: {}\nanswers lost: {}", faults.join(", "), lost.join(", "))
    }
}
