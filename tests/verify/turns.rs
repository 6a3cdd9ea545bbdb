//! Turns over a database with one connection for writing.

use std::sync::Arc;
use std::time::Duration;

use veritail::pipeline::{Pipeline, Settings};
use veritail::seams::Seams;
use veritail::seams::real::{NoFailPoints, OwnedTasks, SystemChance, SystemClock};
use veritail::store::database::leases::When;

use crate::ground::{Ground, Side};

/// So many that some end in the middle of a renewal.
const TURNS: u32 = 300;
/// Less than what one of them waits in vain for a connection.
const LIMIT: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_ends_while_it_is_renewed_holds_up_nobody() {
    let ground = Ground::start(Side::Embedded).await;
    let seams = Seams {
        clock: Arc::new(SystemClock),
        chance: Arc::new(SystemChance),
        spawn: Arc::new(OwnedTasks::default()),
        points: Arc::new(NoFailPoints),
    };
    let settings = Settings { lease_time: Duration::from_millis(6), ..Settings::default() };
    let node = Pipeline::new(ground.stores.clone(), seams, settings);
    for turn in 0..TURNS {
        // Ends with the renewal that it begins together with.
        let work = tokio::time::sleep(Duration::from_millis(u64::from(turn % 4)));
        let held = node.in_turn("test", When::Early, Duration::ZERO, work);
        tokio::time::timeout(LIMIT, held).await.expect("the turn ends").expect("a database");
    }
    ground.stop().await;
}
