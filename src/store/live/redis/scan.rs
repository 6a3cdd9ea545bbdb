//! The scan over all masters, also while slots move between them.
//!
//! A cursor says which master is read, how far, and how the slots lay when the scan began. If they lie otherwise at its
//! end, or some are on their way, a key may have moved from where the scan had not been to where it had: it begins again,
//! a few times at most. A thing met twice does no harm.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ::redis::{FromRedisValue, RedisError, RedisResult};
use futures::future::{try_join, try_join_all};

use super::masters::Masters;
use super::node::Node;
use super::{NAME, cluster, errors, keys};
use crate::store::live::{Found, ScanPage};
use crate::store::{Result, StoreError};
use crate::trace::ByteSize;

/// Times that a scan begins again. Slots that keep moving are met by the next scan.
const AGAIN_MAX: u32 = 3;

/// Where a scan is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    again: u32,
    layout: u64,
    /// The master's own; 0 is its start.
    at: u64,
    master: String,
}

impl Cursor {
    fn write(&self) -> Vec<u8> {
        format!("{} {:x} {} {}", self.again, self.layout, self.at, self.master).into_bytes()
    }

    fn read(from: &[u8]) -> Result<Self> {
        let read = || {
            let mut parts = std::str::from_utf8(from).ok()?.splitn(4, ' ');
            Some(Self {
                again: parts.next()?.parse().ok()?,
                layout: u64::from_str_radix(parts.next()?, 16).ok()?,
                at: parts.next()?.parse().ok()?,
                master: parts.next()?.to_owned(),
            })
        };
        read().ok_or_else(|| StoreError::unreadable(NAME, "a scan's cursor"))
    }
}

/// One page, from the start or from where a page said to go on.
pub(super) async fn page(masters: &Masters, from: Option<Vec<u8>>, limit: usize) -> Result<ScanPage> {
    let cursor = match from {
        Some(from) => Cursor::read(&from)?,
        None => {
            masters.refresh().await.map_err(errors::error)?;
            begin(masters, 0).await?
        }
    };
    let all = masters.map().masters();
    let Some(at) = all.iter().position(|(_, node)| node.address() == cursor.master) else {
        // Another master has taken its place, and counts in its own way.
        let next = if cursor.again < AGAIN_MAX { Some(begin(masters, cursor.again + 1).await?.write()) } else { None };
        return Ok(ScanPage { found: Vec::new(), next });
    };
    let mut scan = ::redis::cmd("SCAN");
    scan.arg(cursor.at).arg("MATCH").arg(keys::ALL).arg("COUNT").arg(limit.max(1));
    let answer = all[at].1.call(&scan).await.map_err(|failed| errors::error(failed.into()))?;
    let (next, names) = <(u64, Vec<Vec<u8>>)>::from_redis_value(answer).map_err(|error| errors::error(error.into()))?;
    let mut found: Vec<Found> = names.iter().filter_map(|name| keys::read(name)).collect();
    look_at_copies(masters, &mut found).await?;

    let next = match (next, all.get(at + 1)) {
        (0, Some((_, node))) => Some(Cursor { at: 0, master: node.address().to_owned(), ..cursor }),
        (0, None) => again(masters, &cursor).await?,
        (at, _) => Some(Cursor { at, ..cursor }),
    };
    Ok(ScanPage { found, next: next.map(|next| next.write()) })
}

/// Whether a copy was released is known by its expiry, and its size by its length: a second trip, for all of a page.
async fn look_at_copies(masters: &Masters, found: &mut [Found]) -> Result<()> {
    let copies = found.iter().filter_map(|thing| match thing {
        Found::Chunk { job, chunk, .. } => Some((*job, *chunk)),
        Found::Trace(_) => None,
    });
    let looks = copies.map(|(job, chunk)| async move {
        let (mut expiry, mut size) = (::redis::cmd("PTTL"), ::redis::cmd("STRLEN"));
        expiry.arg(keys::chunk(job, chunk));
        size.arg(keys::chunk(job, chunk));
        let slot = keys::slot(job);
        let (expiry, size) = try_join(masters.call(slot, &expiry), masters.call(slot, &size)).await?;
        let (expiry, size) = (i64::from_redis_value(expiry), u64::from_redis_value(size));
        Ok::<_, RedisError>((expiry.map_err(RedisError::from)?, size.map_err(RedisError::from)?))
    });
    let mut looks = try_join_all(looks).await.map_err(errors::error)?.into_iter();
    for thing in found {
        if let Found::Chunk { released, size, .. } = thing {
            let (expiry, length) = looks.next().unwrap_or((-2, 0));
            // -1 is a key that stays; -2 is one that went since, which only released ones do.
            *released = expiry != -1;
            *size = ByteSize(length);
        }
    }
    Ok(())
}

async fn begin(masters: &Masters, again: u32) -> Result<Cursor> {
    let layout = layout(masters).await.map_err(errors::error)?.0;
    let first = masters.map().masters().into_iter().next();
    let (_, first) = first.ok_or_else(|| StoreError::unavailable(NAME, "there is no master"))?;
    Ok(Cursor { again, layout, at: 0, master: first.address().to_owned() })
}

/// Where a scan that met the last master's last key goes on, if it has to.
async fn again(masters: &Masters, cursor: &Cursor) -> Result<Option<Cursor>> {
    if !masters.is_cluster() || cursor.again >= AGAIN_MAX {
        return Ok(None);
    }
    masters.refresh().await.map_err(errors::error)?;
    let (layout, moving) = layout(masters).await.map_err(errors::error)?;
    if layout == cursor.layout && !moving {
        return Ok(None);
    }
    begin(masters, cursor.again + 1).await.map(Some)
}

/// How the slots lie, as a number that differs if anything differs, and whether some are on their way.
async fn layout(masters: &Masters) -> RedisResult<(u64, bool)> {
    if !masters.is_cluster() {
        return Ok((0, false));
    }
    let ask = |node: Arc<Node>| async move {
        let mut nodes = ::redis::cmd("CLUSTER");
        nodes.arg("NODES");
        let answer = node.call(&nodes).await.map_err(RedisError::from)?;
        let text = String::from_redis_value(answer).map_err(RedisError::from)?;
        Ok::<_, RedisError>(format!("{} {}", node.address(), cluster::own_slots(&text)))
    };
    let all = try_join_all(masters.map().masters().into_iter().map(|(_, node)| ask(node))).await?;
    let mut hasher = DefaultHasher::new();
    all.hash(&mut hasher);
    Ok((hasher.finish(), all.iter().any(|slots| slots.contains(" ["))))
}
