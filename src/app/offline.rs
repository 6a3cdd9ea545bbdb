//! The stores of an installation without its server, for commands that look into them directly.

use std::sync::Arc;

use super::{CannotStart, pipeline_settings, stores};
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::seams::Seams;
use crate::seams::real::{NoFailPoints, OwnedTasks, SystemChance, SystemClock};
use crate::store::database::listing::Listing;
use crate::verify::{Settings, Verifier};

/// The open stores of an installation, and a verifier over them. Nothing runs but what is asked for.
pub struct Offline {
    /// The verifier.
    pub verifier: Verifier,
    /// The lists of projects and jobs.
    pub listing: Arc<dyn Listing>,
    tasks: Arc<OwnedTasks>,
}

impl Offline {
    /// Opens the stores of an installation that is there; `repairs` is false where nothing is to be healed. Fails where
    /// another process has the embedded live store open.
    pub async fn open(config: &Config, repairs: bool) -> Result<Self, CannotStart> {
        // A folder that was mistyped is not made into an empty installation, of which all is well or all is lost.
        if let Some(path) = stores::local(config).into_iter().find(|path| !path.exists()) {
            return Err(CannotStart::NoInstallation { path });
        }
        let tasks = Arc::new(OwnedTasks::default());
        let seams = Seams {
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance),
            spawn: tasks.clone(),
            points: Arc::new(NoFailPoints),
        };
        let opened = stores::open(config, &seams).await?;
        let pipeline = Pipeline::new(opened.stores, seams, pipeline_settings(config));
        let settings = Settings::from(&config.verify);
        let settings = Settings { repairs: settings.repairs && repairs, ..settings };
        Ok(Self { verifier: Verifier::new(pipeline, settings), listing: opened.listing, tasks })
    }

    /// Ends what is still under way, and closes the stores.
    pub async fn close(self) {
        self.tasks.end().await;
    }
}
