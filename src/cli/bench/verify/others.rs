//! Other programs that do a part of what the verifier does, on the same bytes.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::TryStreamExt as _;

use super::pass::Spent;
use crate::cli::Failed;
use crate::cli::bench::clock;
use crate::cli::bench::process::Cpu;
use crate::store::object::{ObjectStore, codec};
use crate::trace::ByteSize;

/// `openssl dgst -sha256` over the logs as files. `None`: it is not installed.
pub(super) async fn sha256(files: &[PathBuf], bytes: u64) -> Result<Option<Spent>, Failed> {
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256"]).args(files);
    run(openssl, bytes).await
}

/// `rclone check --download` of the objects in the store against copies of them in a folder. `None`: it is not
/// installed.
pub(super) async fn rclone(
    remote: &Remote,
    copies: &Path,
    at_once: usize,
    bytes: u64,
) -> Result<Option<Spent>, Failed> {
    let mut rclone = Command::new("rclone");
    rclone.args(["check", "--download", "--one-way", "--config", "/dev/null", "--checkers"]).arg(at_once.to_string());
    rclone.arg(format!("bench:{}/traces", remote.place)).arg(copies.join("traces"));
    rclone.envs(remote.variables.iter().map(|(name, value)| (format!("RCLONE_CONFIG_BENCH_{name}"), value)));
    // It is told in its own way: some of its versions stop over this variable.
    if let Some(bundle) = std::env::var_os("AWS_CA_BUNDLE") {
        rclone.arg("--ca-cert").arg(bundle).env_remove("AWS_CA_BUNDLE");
    }
    run(rclone, bytes).await
}

async fn run(mut command: Command, bytes: u64) -> Result<Option<Spent>, Failed> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (cpu, began) = (Cpu::so_far()?, clock::now());
    let output = tokio::task::spawn_blocking(move || command.output()).await.map_err(Failed::because)?;
    let (took, cpu) = (began.elapsed(), Cpu::so_far()?.since(cpu).children);
    match output {
        Ok(output) if output.status.success() => Ok(Some(Spent { took, cpu, bytes })),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or_default().to_owned();
            Err(Failed(format!("{name} ended with {}: {last}", output.status)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failed(format!("{name}: {error}"))),
    }
}

/// An S3 bucket as rclone takes it.
pub(super) struct Remote {
    /// Bucket and prefix.
    place: String,
    variables: Vec<(&'static str, String)>,
}

impl Remote {
    /// The bucket of the URL that objects are kept under, out of the same variables; `None` for other stores.
    pub(super) fn of(url: Option<&str>) -> Option<Self> {
        let place = url?.strip_prefix("s3://")?.trim_end_matches('/').to_owned();
        let first = |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok());
        let mut variables = vec![
            ("TYPE", "s3".to_owned()),
            ("PROVIDER", "Other".to_owned()),
            ("ENV_AUTH", "true".to_owned()),
            ("REGION", first(["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_else(|| "us-east-1".to_owned())),
        ];
        variables.extend(first(["AWS_ENDPOINT_URL", "AWS_ENDPOINT"]).map(|endpoint| ("ENDPOINT", endpoint)));
        Some(Self { place, variables })
    }
}

/// The objects of all traces: how long it takes to decode them, and copies of them below `copies`, if they are wanted.
pub(super) async fn decode_all(
    objects: &dyn ObjectStore,
    largest: ByteSize,
    copies: Option<&Path>,
) -> Result<Duration, Failed> {
    let listed: Vec<_> = objects.list("traces/").try_collect().await.map_err(Failed::because)?;
    let mut took = Duration::ZERO;
    for object in listed {
        let stored = objects.get_whole(&object.key).await.map_err(Failed::because)?;
        let stored = stored.ok_or_else(|| Failed(format!("{} is listed and not there", object.key)))?;
        let began = clock::now();
        let decoded = codec::decode(&stored, largest).map_err(Failed::because)?;
        took += began.elapsed();
        drop(decoded);
        if let Some(copies) = copies {
            write(&copies.join(&object.key), &stored).map_err(Failed::because)?;
        }
    }
    Ok(took)
}

/// Writes a file, and the folders above it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, bytes)
}
