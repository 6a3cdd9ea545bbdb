//! Waits for what comes by itself: a test looks again and again until it is so.

use std::fmt::Display;
use std::time::Duration;

/// Longer than what a test waits for takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether `is` holds before the limit is over. The time that looks take does not count: a slow machine has as many.
pub async fn holds_within(limit: Duration, mut is: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..looks(limit) {
        if is().await {
            return true;
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

/// Waits until `is` holds; fails after [`PATIENCE`], and says what never came to be.
pub async fn until(what: impl Display, is: impl AsyncFnMut() -> bool) {
    assert!(holds_within(PATIENCE, is).await, "waited in vain: {what}");
}

/// The same until `look` gives something.
pub async fn until_some<T>(what: impl Display, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut seen = None;
    let is = async || {
        seen = look().await;
        seen.is_some()
    };
    until(what, is).await;
    seen.expect("it was seen")
}

/// The same as [`until`] where nothing is asynchronous.
pub fn until_blocking(what: impl Display, mut is: impl FnMut() -> bool) {
    for _ in 0..looks(PATIENCE) {
        if is() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain: {what}");
}

fn looks(limit: Duration) -> u128 {
    limit.as_millis() / PAUSE.as_millis()
}
