//! What a Cluster says about who has which slots, and which slot a key is in.

use ::redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::url::Address;

/// The number of slots of a Cluster.
pub(super) const SLOTS: u16 = 16384;

/// Slots in a row with one master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Address,
}

/// The slot of everything that has this hash tag.
pub(super) fn slot(tag: &str) -> u16 {
    // CRC-16/XMODEM, as in the Cluster's specification. Tags are a job's few digits.
    let crc = tag.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

/// Asks who has which slots. `CLUSTER SHARDS` is newer; every version that will do knows this one.
pub(super) fn ask_slots() -> Cmd {
    let mut slots = ::redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    slots
}

/// Reads the answer. A node that does not know its own host leaves it out: then it is the one that was asked.
pub(super) fn read_slots(answer: Value, asked: &str) -> RedisResult<Vec<Owned>> {
    let unreadable = || RedisError::from((ErrorKind::UnexpectedReturnType, "CLUSTER SLOTS answered something unknown"));
    let Value::Array(rows) = answer else { return Err(unreadable()) };
    let number = |value: Option<&Value>| match value {
        Some(Value::Int(number)) => u16::try_from(*number).ok(),
        _ => None,
    };
    let read = |row: &Value| {
        let Value::Array(row) = row else { return None };
        let Some(Value::Array(master)) = row.get(2) else { return None };
        let host = match master.first()? {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            Value::SimpleString(host) => host.clone(),
            _ => String::new(),
        };
        let host = if host.is_empty() || host == "?" { asked.to_owned() } else { host };
        let master = Address { host, port: number(master.get(1))? };
        Some(Owned { first: number(row.first())?, last: number(row.get(1))?, master })
    };
    rows.iter().map(|row| read(row).ok_or_else(unreadable)).collect()
}

/// Reads `host:port` of a redirection from the server at `answered`.
pub(super) fn redirected(error: &RedisError, answered: &str) -> Option<Address> {
    let (to, _) = error.redirect_node()?;
    let (host, port) = to.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { answered } else { host };
    Some(Address { host: host.to_owned(), port: port.parse().ok()? })
}

/// A server's own slots as `CLUSTER NODES` shows them, with those that are on their way.
pub(super) fn own_slots(nodes: &str) -> &str {
    let own = nodes.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")));
    own.and_then(|line| line.splitn(9, ' ').nth(8)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!((slot("123456789"), slot("foo"), slot("")), (0x31c3, 12182, 0));
    }

    #[test]
    fn own_slots_show_what_moves() {
        let nodes = "aa 127.0.0.1:7@17 master - 0 1 1 connected 0-5\nbb 127.0.0.1:8@18 myself,master - 0 1 2 connected 6-9 11 [6->-aa]\n";
        assert_eq!(own_slots(nodes), "6-9 11 [6->-aa]");
        assert_eq!(own_slots("aa 127.0.0.1:7@17 myself,master - 0 1 1 connected\n"), "");
    }
}
