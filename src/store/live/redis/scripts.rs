//! The scripts, each an atomic step on the keys of one job.

use ::redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

use super::masters::Masters;

/// A script, known to a server by its checksum.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self { code, hash: ::redis::Script::new(code).get_hash().to_owned() }
    }

    /// Runs it where the slot is. A server that does not know it (new, restarted, `SCRIPT FLUSH`, a slot that moved) did
    /// nothing and is sent the whole text once, in the same way and to the same server; `SCRIPT LOAD` would go to all of
    /// a Cluster's masters, and fail where one of them is away.
    pub(super) async fn run(
        &self,
        masters: &Masters,
        slot: u16,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> RedisResult<Value> {
        match masters.call(slot, &self.by_hash(keys, arguments)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                masters.call(slot, &self.command("EVAL", self.code, keys, arguments)).await
            }
            answer => answer,
        }
    }

    /// The command for a server that knows it.
    pub(super) fn by_hash(&self, keys: &[String], arguments: &[&[u8]]) -> Cmd {
        self.command("EVALSHA", &self.hash, keys, arguments)
    }

    fn command(&self, name: &str, script: &str, keys: &[String], arguments: &[&[u8]]) -> Cmd {
        let size = arguments.iter().map(|argument| argument.len()).sum::<usize>() + script.len() + 256;
        let mut command = Cmd::with_capacity(3 + keys.len() + arguments.len(), size);
        command.arg(name).arg(script).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}

/// All of them.
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) append_staged: Script,
    pub(super) open: Script,
    pub(super) replace: Script,
    pub(super) set_status: Script,
    pub(super) watch: Script,
    pub(super) read_open: Script,
    pub(super) release: Script,
    pub(super) mark: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            append_staged: Script::new(include_str!("append_staged.lua")),
            open: Script::new(include_str!("open.lua")),
            replace: Script::new(include_str!("replace.lua")),
            set_status: Script::new(include_str!("set_status.lua")),
            watch: Script::new(include_str!("watch.lua")),
            read_open: Script::new(include_str!("read_open.lua")),
            release: Script::new(include_str!("release.lua")),
            mark: Script::new(include_str!("mark.lua")),
        }
    }
}
