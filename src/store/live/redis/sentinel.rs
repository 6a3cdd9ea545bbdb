//! Asks the Sentinels where the master is.

use std::collections::BTreeMap;
use std::time::Duration;

use ::redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult};
use futures::future::join_all;

use super::Time;
use super::access::Access;
use super::url::Address;
use crate::seams::within;

/// How long a Sentinel has. One that is down must not hold up the rest for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where most of the Sentinels say that it is. Whether it is a master is seen when it is connected to: a Sentinel may be
/// behind the others.
pub(super) async fn master(access: &Access, sentinels: &[Address], name: &str, time: &Time) -> RedisResult<Address> {
    let answers = join_all(sentinels.iter().map(|sentinel| async move {
        let late = || Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        let asked = within(time.clock.as_ref(), PATIENCE, ask(access, sentinel, name)).await;
        asked.unwrap_or_else(late)
    }));
    let mut votes: BTreeMap<Address, usize> = BTreeMap::new();
    let mut last = None;
    let mut unknown = 0;
    for answer in answers.await {
        match answer {
            Ok(Some(address)) => *votes.entry(address).or_default() += 1,
            Ok(None) => unknown += 1,
            Err(error) => last = Some(error),
        }
    }
    if let Some((address, _)) = votes.into_iter().max_by_key(|(_, votes)| *votes) {
        return Ok(address);
    }
    if unknown > 0 {
        return Err((
            ErrorKind::MasterNameNotFoundBySentinel,
            "the Sentinels know no master of this name",
            name.to_owned(),
        )
            .into());
    }
    let last = last.unwrap_or_else(|| RedisError::from((ErrorKind::EmptySentinelList, "there are no Sentinels")));
    Err((last.kind(), "no Sentinel answers", last.to_string()).into())
}

async fn ask(access: &Access, sentinel: &Address, name: &str) -> RedisResult<Option<Address>> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    let mut connection = access.sentinel(sentinel)?.get_multiplexed_async_connection_with_config(&config).await?;
    let mut ask = ::redis::cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(name);
    let answer: Option<(String, u16)> = ask.query_async(&mut connection).await?;
    Ok(answer.map(|(host, port)| Address { host, port }))
}
