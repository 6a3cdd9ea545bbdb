//! Metric families with typed labels: a label can only have a value of its enum.

use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, with_recorder};

/// An enum whose values are a label's closed set.
pub trait LabelValue: Copy + Send + Sync + 'static {
    /// The value in the exposition.
    fn name(self) -> &'static str;

    /// Every value that the label can have.
    fn all() -> Vec<&'static str>;

    /// How many values the enum has.
    const COUNT: usize;

    /// The place of this one among them.
    fn place(self) -> usize;
}

/// Declares that the values of these enums are label values. Their `ALL` has every variant, in order of declaration.
macro_rules! label_values {
    ($($name:ty),+ $(,)?) => {
        $(impl $crate::telemetry::family::LabelValue for $name {
            fn name(self) -> &'static str {
                self.as_str()
            }

            fn all() -> Vec<&'static str> {
                Self::ALL.iter().map(|value| value.as_str()).collect()
            }

            const COUNT: usize = Self::ALL.len();

            fn place(self) -> usize {
                self as usize
            }
        })+
    };
}
pub(crate) use label_values;

/// The values of a family's labels: a tuple of enums, in the order of the label names.
pub trait Labels: Copy + Send + Sync + 'static {
    /// The values of one series.
    fn values(self) -> Vec<&'static str>;

    /// The closed set of each label.
    fn sets() -> Vec<Vec<&'static str>>;

    /// How many combinations of the enums' values there are.
    const COUNT: usize;

    /// The place of this one among them.
    fn place(self) -> usize;
}

macro_rules! labels_for_tuple {
    ($($part:ident),*) => {
        impl<$($part: LabelValue),*> Labels for ($($part,)*) {
            #[allow(non_snake_case, reason = "a tuple's parts are named like their types")]
            fn values(self) -> Vec<&'static str> {
                let ($($part,)*) = self;
                vec![$($part.name()),*]
            }

            fn sets() -> Vec<Vec<&'static str>> {
                vec![$($part::all()),*]
            }

            const COUNT: usize = 1 $(* $part::COUNT)*;

            #[allow(non_snake_case, reason = "a tuple's parts are named like their types")]
            fn place(self) -> usize {
                let (place, ($($part,)*)) = (0, self);
                $(let place = place * $part::COUNT + $part.place();)*
                place
            }
        }
    };
}
labels_for_tuple!();
labels_for_tuple!(A);
labels_for_tuple!(A, B);
labels_for_tuple!(A, B, C);

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// Which series of a family exist from the start.
#[derive(Clone, Copy)]
pub enum Start {
    /// Every combination of label values, at zero: `rate` and `increase` then see the first event too.
    Zero,
    /// These combinations, at zero; there are no others.
    Listed(fn() -> Vec<Vec<&'static str>>),
    /// Of these combinations those that are about what a node has, once it has it. There are no others.
    Used(fn() -> Vec<Vec<&'static str>>),
    /// None: a zero would be a false statement until the value is known.
    WhenKnown,
}

/// A family as the table has it, without the types of its labels.
#[derive(Clone)]
pub struct Row {
    /// The full name, as exposed.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub metric_type: Type,
    /// The upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
    /// The labels' names with their closed sets.
    pub labels: Vec<(&'static str, Vec<&'static str>)>,
    /// Which series exist from the start.
    pub start: Start,
    /// What it means.
    pub help: &'static str,
}

impl Row {
    /// The unit, which a metric's name ends with.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        match name {
            name if name.ends_with("_timestamp_seconds") => "Unix time in seconds",
            name if name.ends_with("_seconds") => "seconds",
            name if name.ends_with("_bytes") => "bytes",
            _ => "",
        }
    }

    /// The label values of the series that exist from the start.
    pub fn initial(&self) -> Vec<Vec<&'static str>> {
        match self.start {
            Start::Zero => self.product(),
            Start::Listed(list) => list(),
            Start::Used(_) | Start::WhenKnown => Vec::new(),
        }
    }

    /// The label values of all series that there can be.
    pub fn possible(&self) -> Vec<Vec<&'static str>> {
        match self.start {
            Start::Listed(list) | Start::Used(list) => list(),
            Start::Zero | Start::WhenKnown => self.product(),
        }
    }

    /// Series of one combination of label values, as Prometheus counts them: a histogram has its buckets, that of
    /// infinity, a sum and a count.
    pub fn series_each(&self) -> usize {
        if self.metric_type == Type::Histogram { self.buckets.len() + 3 } else { 1 }
    }

    fn product(&self) -> Vec<Vec<&'static str>> {
        self.labels.iter().fold(vec![vec![]], |rows, (_, set)| {
            rows.iter().flat_map(|row| set.iter().map(|value| [row.as_slice(), &[*value]].concat())).collect()
        })
    }

    /// Describes the family to the recorder, and makes the series that exist from the start.
    pub fn register(&self) {
        let names: Vec<&'static str> = self.labels.iter().map(|(name, _)| *name).collect();
        let name = KeyName::from_const_str(self.name);
        with_recorder(|recorder| match self.metric_type {
            Type::Counter => recorder.describe_counter(name, None, self.help.into()),
            Type::Gauge => recorder.describe_gauge(name, None, self.help.into()),
            Type::Histogram => recorder.describe_histogram(name, None, self.help.into()),
        });
        for values in self.initial() {
            let key = key(self.name, &names, &values);
            with_recorder(|recorder| match self.metric_type {
                Type::Counter => recorder.register_counter(&key, &METADATA).absolute(0),
                Type::Gauge => recorder.register_gauge(&key, &METADATA).set(0.0),
                Type::Histogram => drop(recorder.register_histogram(&key, &METADATA)),
            });
        }
    }
}

static METADATA: Metadata<'static> = Metadata::new("veritail", Level::INFO, None);

fn key(name: &'static str, names: &[&'static str], values: &[&'static str]) -> Key {
    let labels: Vec<Label> =
        names.iter().zip(values).map(|(name, value)| Label::from_static_parts(name, value)).collect();
    Key::from_parts(name, labels)
}

/// Set once this process has its recorder for good.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// From now on every series is looked up once, and kept. Before, it is looked up each time: a process that has one recorder for good
/// must not use local ones beside it.
pub(super) fn recorder_is_installed() {
    INSTALLED.store(true, Ordering::Release);
}

/// What all three types have in common. `H` is what a series is recorded with.
struct Family<L, H> {
    name: &'static str,
    labels: &'static [&'static str],
    register: fn(&dyn Recorder, &Key) -> H,
    series: OnceLock<Box<[OnceLock<H>]>>,
    _labels: PhantomData<fn(L)>,
}

impl<L: Labels, H> Family<L, H> {
    fn of(&self, labels: L, then: impl FnOnce(&H)) {
        let look_up = || {
            let key = key(self.name, self.labels, &labels.values());
            with_recorder(|recorder| (self.register)(recorder, &key))
        };
        if !INSTALLED.load(Ordering::Acquire) {
            return then(&look_up());
        }
        let all = self.series.get_or_init(|| (0..L::COUNT).map(|_| OnceLock::new()).collect());
        match all.get(labels.place()) {
            Some(series) => then(series.get_or_init(look_up)),
            None => then(&look_up()),
        }
    }
}

/// A counter family.
pub struct Counter<L>(Family<L, metrics::Counter>);
/// A gauge family.
pub struct Gauge<L>(Family<L, metrics::Gauge>);
/// A histogram family.
pub struct Histogram<L>(Family<L, metrics::Histogram>);

macro_rules! constructor {
    ($($family:ident: $register:ident),+) => {
        $(impl<L: Labels> $family<L> {
            /// A family of this name; `labels` are the names of the labels, in the order of `L`.
            pub const fn new(name: &'static str, labels: &'static [&'static str]) -> Self {
                let register = |recorder: &dyn Recorder, key: &Key| recorder.$register(key, &METADATA);
                Self(Family { name, labels, register, series: OnceLock::new(), _labels: PhantomData })
            }

            /// The type, for the table.
            pub const fn metric_type(&self) -> Type {
                Type::$family
            }

            /// The labels' names with their closed sets, for the table.
            pub fn labels(&self) -> Vec<(&'static str, Vec<&'static str>)> {
                self.0.labels.iter().copied().zip(L::sets()).collect()
            }
        })+
    };
}
constructor!(Counter: register_counter, Gauge: register_gauge, Histogram: register_histogram);

impl<L: Labels> Counter<L> {
    /// Counts `by` more.
    pub fn add(&self, labels: L, by: u64) {
        self.0.of(labels, |counter| counter.increment(by));
    }

    /// Takes over a count that somebody else keeps; it never goes back.
    pub fn absolute(&self, labels: L, count: u64) {
        self.0.of(labels, |counter| counter.absolute(count));
    }
}

impl<L: Labels> Gauge<L> {
    /// The value is `value` now.
    pub fn set(&self, labels: L, value: f64) {
        self.0.of(labels, |gauge| gauge.set(value));
    }

    /// The value is `by` greater (or smaller, if negative) now.
    pub fn add(&self, labels: L, by: f64) {
        self.0.of(labels, |gauge| gauge.increment(by));
    }
}

impl<L: Labels> Histogram<L> {
    /// The series is there from now on, without an observation yet.
    pub fn begin(&self, labels: L) {
        self.0.of(labels, |_| ());
    }

    /// One observation.
    pub fn record(&self, labels: L, value: f64) {
        self.0.of(labels, |histogram| histogram.record(value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::trace::{DataStore, Detector, Kind};

    #[test]
    fn each_combination_has_a_place_of_its_own() {
        let mut places = BTreeSet::new();
        for kind in Kind::ALL {
            for store in DataStore::ALL {
                places.extend(Detector::ALL.iter().map(|detector| (*kind, *store, *detector).place()));
            }
        }
        assert_eq!(places, (0..<(Kind, DataStore, Detector)>::COUNT).collect());
        assert_eq!((().place(), <()>::COUNT), (0, 1));
    }
}
