//! The real process: started, watched, and seen to die.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::ground::{CHUNK_SIZE, Ground, Pace};

pub const ADMIN_TOKEN: &str = "crash-tests-admin-token";

/// Longer than any start or death takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
const SIGABRT: i32 = 6;

pub struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a process that answers when this returns, unless it died at its fail point by then.
    pub async fn start(ground: &mut Ground, fail_point: Option<&str>) -> Self {
        let stderr = std::fs::File::options().create(true).append(true).open(ground.log()).expect("a file");
        let (sweep, workers) = match ground.pace {
            Pace::Quiet => ("1h", "1"),
            Pace::Busy => ("200ms", "4"),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_veritail"));
        command
            .arg("serve")
            .env_clear()
            .env("VERITAIL_LISTEN", format!("127.0.0.1:{}", ground.port))
            .env("VERITAIL_DATA_DIR", ground.folder())
            .env("VERITAIL_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("VERITAIL_CHUNK_SIZE", CHUNK_SIZE.to_string())
            .env("VERITAIL_MIGRATE_WORKERS", workers)
            .env("VERITAIL_SWEEP_INTERVAL", sweep)
            .env("VERITAIL_LIVE_SWEEP_INTERVAL", sweep)
            .env("VERITAIL_CONTACT_INTERVAL", "100ms")
            // The turn of a process that died is over soon.
            .env("VERITAIL_LEASE_TIME", "300ms")
            .env("VERITAIL_VERIFY_CANARY", "off")
            // Long enough that nothing expires while it is counted.
            .env("VERITAIL_LIVE_GRACE", "10m")
            .envs(ground.variables());
        if let Some(point) = fail_point {
            command.env("VERITAIL_FAIL_POINT", point);
        }
        // In its own folder, where a core dump would go with it.
        command.current_dir(ground.folder()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.kill_on_drop(true).spawn().expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        timeout(PATIENCE, stdout.read_line(&mut line)).await.expect("it starts in time").expect("its output");
        let port = line.strip_prefix("veritail listens on http://127.0.0.1:").and_then(|rest| rest.split(';').next());
        match port.and_then(|port| port.parse().ok()) {
            Some(port) => ground.port = port,
            None => assert!(fail_point.is_some() && ground.port != 0, "it did not start: {line:?}"),
        }
        Self { child, _stdout: stdout }
    }

    /// Waits for the death that the fail point brings.
    pub async fn dies_by_abort(mut self) {
        let status = self.ended().await;
        assert_eq!(status.signal(), Some(SIGABRT), "it ended otherwise: {status}");
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        assert_eq!(self.child.try_wait().expect("its own handle"), None, "it died by itself before");
        self.child.start_kill().expect("its own handle");
        self.ended().await;
    }

    async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("its own handle")
    }
}
