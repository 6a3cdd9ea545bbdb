//! What earlier passes wrote down and is gone by now: no other look would ever see that it is.

use crate::store::Result;
use crate::store::database::MismatchFilter;
use crate::trace::{Detector, Kind, Tally};

use super::Verifier;
use crate::verify::runs::Running;

/// Mismatches fetched at a time.
const PAGE: u32 = 500;

impl Verifier {
    /// False if the run is to stop.
    pub(super) async fn look_over_known(&self, run: &mut Running) -> Result<bool> {
        let mut after = 0;
        loop {
            let filter = MismatchFilter {
                open: Some(true),
                kind: Some(Kind::Orphan),
                detector: Some(Detector::Inventory),
                after,
                limit: PAGE,
                ..Default::default()
            };
            let known = self.node.stores().database.mismatches(filter).await?;
            for known in &known {
                self.pay(1).await;
                self.node.resolve_if_gone(known).await?;
                if !run.add(Tally::default()).await? {
                    return Ok(false);
                }
            }
            if !run.goes_on().await? {
                return Ok(false);
            }
            match known.last() {
                Some(last) => after = last.id,
                None => return Ok(true),
            }
        }
    }
}
