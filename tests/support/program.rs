//! Programs that tests start: where they are, and their processes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A file below `target/clients`, where `tests/run prepare` installs what tests talk to.
pub fn installed(path: &str) -> PathBuf {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(path);
    assert!(found.exists(), "{} is missing: run tests/run prepare", found.display());
    found
}

/// A program on the path.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A process that dies with this value.
pub struct Running(Child);

impl Running {
    /// Starts it without a voice: its input and output go nowhere.
    pub fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().expect("the program can be started"))
    }

    /// Waits until `answers`, for half a minute at most. False if the process ended before.
    pub fn wait_until(&mut self, answers: impl Fn() -> bool) -> bool {
        for _ in 0..1500 {
            if answers() {
                return true;
            }
            if !matches!(self.0.try_wait(), Ok(None)) {
                return false;
            }
            pause();
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[allow(clippy::disallowed_methods, reason = "waits for a real process, between looks at it")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
