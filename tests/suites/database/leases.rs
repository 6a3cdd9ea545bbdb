//! What leases promise. No rule waits: a lease of no time has run out, one of an hour has not.

use std::time::Duration;

use veritail::store::database::leases::{Leases, When};

use crate::support::clock::ManualClock;
use crate::support::model::leases::ModelLeases;

const HOUR: Duration = Duration::from_secs(3600);
const NO_TIME: Duration = Duration::ZERO;

/// Runs every rule against leases that `$open` makes: a future of a guard and the leases.
macro_rules! leases_suite {
    ($name:ident, $open:expr) => {
        leases_suite!(@rules $name, $open;
            a_turn_is_taken_once,
            a_turn_that_ran_out_is_taken_by_another,
            a_turn_is_due_after_the_time_that_was_said,
            a_turn_that_has_ended_is_neither_renewed_nor_finished,
            of_many_that_ask_at_once_one_has_the_turn,
        );
    };
    (@rules $name:ident, $open:expr; $($rule:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $rule() {
                    let (_guard, leases) = $open.await;
                    super::$rule(&leases).await;
                }
            )+
        }
    };
}

leases_suite!(on_sqlite, super::super::sqlite::open());
leases_suite!(on_postgres, super::super::postgres::open());
leases_suite!(on_the_model, async {
    let clock = std::sync::Arc::new(super::ManualClock::at(super::super::NOW));
    ((), super::ModelLeases::new(clock))
});

pub async fn a_turn_is_taken_once(leases: &dyn Leases) {
    assert!(leases.take("sweep", "a", HOUR, When::Due).await.unwrap().is_some());
    assert_eq!(leases.take("sweep", "b", HOUR, When::Due).await.unwrap(), None);
    assert_eq!(leases.take("sweep", "a", HOUR, When::Early).await.unwrap(), None);
    assert!(leases.take("other", "b", HOUR, When::Due).await.unwrap().is_some());
}

pub async fn a_turn_that_ran_out_is_taken_by_another(leases: &dyn Leases) {
    let first = leases.take("sweep", "a", NO_TIME, When::Due).await.unwrap().unwrap();
    let second = leases.take("sweep", "b", HOUR, When::Due).await.unwrap().unwrap();
    assert!(second > first);
    assert!(!leases.renew("sweep", first, HOUR).await.unwrap());
    assert!(leases.renew("sweep", second, HOUR).await.unwrap());
}

pub async fn a_turn_is_due_after_the_time_that_was_said(leases: &dyn Leases) {
    let turn = leases.take("sweep", "a", HOUR, When::Due).await.unwrap().unwrap();
    leases.finish("sweep", turn, HOUR).await.unwrap();
    assert_eq!(leases.take("sweep", "b", HOUR, When::Due).await.unwrap(), None);
    let turn = leases.take("sweep", "b", HOUR, When::Early).await.unwrap().unwrap();
    leases.finish("sweep", turn, NO_TIME).await.unwrap();
    assert!(leases.take("sweep", "a", HOUR, When::Due).await.unwrap().is_some());
}

pub async fn a_turn_that_has_ended_is_neither_renewed_nor_finished(leases: &dyn Leases) {
    let first = leases.take("sweep", "a", HOUR, When::Due).await.unwrap().unwrap();
    leases.finish("sweep", first, NO_TIME).await.unwrap();
    assert!(!leases.renew("sweep", first, HOUR).await.unwrap());
    assert!(leases.take("sweep", "b", HOUR, When::Due).await.unwrap().is_some());
    leases.finish("sweep", first, NO_TIME).await.unwrap();
    assert_eq!(leases.take("sweep", "c", HOUR, When::Early).await.unwrap(), None);
}

pub async fn of_many_that_ask_at_once_one_has_the_turn(leases: &dyn Leases) {
    let asked = (0..20).map(async |node| leases.take("sweep", &format!("node {node}"), HOUR, When::Due).await.unwrap());
    let turns = futures::future::join_all(asked).await;
    assert_eq!(turns.into_iter().flatten().count(), 1);
}
