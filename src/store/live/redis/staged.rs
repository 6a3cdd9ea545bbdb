//! The first bytes of a chunk, where they are many: they go into a key of their own, which the script that checks the trace gives the
//! chunk's name.
//!
//! Redis' Lua hashes every byte that a script is handed, while the server does nothing else: 115 us for 64 KiB. A key that holds the bytes
//! is handed over by its name. It is written by the command before the script, in one write with it, and expires by itself where the
//! script never came.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::redis::{Cmd, ServerErrorKind, Value};

use super::node::Failed;
use super::replies::Fields;
use super::{RedisLive, errors, keys, read, replies};
use crate::store::Result;
use crate::store::live::{Append, Outcome};
use crate::trace::{ByteSize, JobId};

/// Fewer bytes are faster through Lua than by one command more.
const LEAST: ByteSize = ByteSize(16 * 1024);
/// How long a staged key stays where its script never comes, in milliseconds. Longer than a command may take; where the script has to be
/// sent whole and waits, it may come too late, and the bytes go through Lua.
const STAYS_MS: u64 = 15_000;

/// What is remembered of staging.
#[derive(Default)]
pub(super) struct Staging {
    /// The server refused it: this user may not.
    is_refused: AtomicBool,
    made: AtomicU64,
}

impl Staging {
    /// Whether bytes go this way.
    pub(super) fn takes(&self, append: &Append) -> bool {
        append.at.is_zero() && ByteSize::of(&append.bytes) >= LEAST && !self.is_refused.load(Ordering::Relaxed)
    }

    /// It is not tried again by this process.
    fn refused(&self, why: &str) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            tracing::info!(
                why,
                "Redis refuses staged bytes ({why}): the first bytes of chunks go through Lua, which is slower"
            );
        }
    }
}

impl RedisLive {
    /// Appends the first bytes of a chunk. `None`: nothing was changed, and they have to go through Lua.
    pub(super) async fn append_staged(&self, job: JobId, append: &Append) -> Result<Option<Outcome>> {
        let slot = keys::slot(job);
        let Some(node) = self.masters.map().node(slot).cloned() else { return Ok(None) };
        let name = format!("{}-{}", self.process, self.staging.made.fetch_add(1, Ordering::Relaxed));
        let keys = [keys::trace(job), keys::chunk(job, append.chunk), keys::staged(job, &name)];
        let (epoch, size) = (append.epoch.0.to_string(), append.bytes.len().to_string());
        let arguments = [epoch.as_bytes(), &append.expected, size.as_bytes(), &append.next];
        let mut set = Cmd::with_capacity(5, append.bytes.len() + 128);
        set.arg("SET").arg(&keys[2]).arg(&append.bytes[..]).arg("PX").arg(STAYS_MS);
        let mut both = ::redis::pipe();
        both.add_command(set).add_command(self.scripts.append_staged.by_hash(&keys, &arguments)).ignore_errors();
        let mut answers = match node.call_together(&both).await {
            Ok(answers) => answers,
            // Whoever appends through Lua finds the way.
            Err(Failed::NotSent(_)) => return Ok(None),
            Err(Failed::Sent(error)) => return Err(errors::error(error)),
        };
        let (script, set) = (answers.pop().unwrap_or(Value::Nil), answers.pop().unwrap_or(Value::Nil));
        if let Value::ServerError(error) = &set {
            match error.code() {
                "OOM" => return Err(errors::error(error.clone().into())),
                "NOPERM" => self.staging.refused(&error.to_string()),
                _ => {}
            }
        }
        let answer = match script {
            // The bytes are there, and the script is sent whole.
            Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript) => {
                match self.scripts.append_staged.run(&self.masters, slot, &keys, &arguments).await {
                    Err(error) if error.code().is_some() => return Ok(None),
                    answer => answer,
                }
            }
            // Whatever it is, it was not done: whoever appends through Lua is told, or sent where the slot is.
            Value::ServerError(_) => return Ok(None),
            answer => Ok(answer),
        };
        let reply: Fields = read(answer)?;
        match reply.first().and_then(Option::as_deref) {
            Some(b"unstaged") => Ok(None),
            Some(b"refused") => {
                let why = reply.get(1).and_then(Option::as_deref).unwrap_or_default();
                self.staging.refused(&String::from_utf8_lossy(why));
                Ok(None)
            }
            _ => replies::outcome(reply).map(Some),
        }
    }
}
