//! Who the client is, where proxies stand between: the last one that a trusted proxy saw.
//!
//! Anybody can send `Forwarded` or `X-Forwarded-For`; a hop counts only if the one that wrote it down is trusted. So the
//! list is read from its end, for as long as the hops are trusted proxies themselves.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;

use crate::config::networks::Networks;

/// Where a request came from, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Hops that are looked at.
const HOPS_MAX: usize = 32;

/// The client of a request that `peer` passed on or sent itself.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    for hop in hops(headers).rev().take(HOPS_MAX) {
        let Some(address) = hop else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// The hops, the client's first; `None` for one that names no address. `Forwarded` (RFC 7239) goes before its ancestor.
fn hops(headers: &HeaderMap) -> std::vec::IntoIter<Option<IpAddr>> {
    let values = |name: &str| -> Vec<String> {
        let texts = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        texts.flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).collect()
    };
    let forwarded = values(FORWARDED.as_str());
    let hops: Vec<Option<IpAddr>> = if forwarded.is_empty() {
        values("x-forwarded-for").iter().map(|hop| address(hop)).collect()
    } else {
        forwarded.iter().map(|element| forwarded_for(element).and_then(address)).collect()
    };
    hops.into_iter()
}

/// `for=192.0.2.1;proto=https` names `192.0.2.1`.
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(node.trim().trim_matches('"'))
}

/// An address, also with a port, also in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    bare().or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, fields: &[(&'static str, &str)]) -> String {
        let trusted: Networks = "10.0.0.0/8, 127.0.0.1, fd00::/8".parse().expect("networks");
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn a_hop_counts_if_a_trusted_proxy_wrote_it_down() {
        let xff = "x-forwarded-for";
        for (peer, fields, client) in [
            ("10.1.1.1", vec![], "10.1.1.1"),
            ("192.0.2.9", vec![(xff, "198.51.100.7")], "192.0.2.9"),
            ("10.1.1.1", vec![(xff, "198.51.100.7")], "198.51.100.7"),
            ("::ffff:10.1.1.1", vec![(xff, "198.51.100.7")], "198.51.100.7"),
            ("10.1.1.1", vec![(xff, "203.0.113.66, 198.51.100.7, 10.2.2.2")], "198.51.100.7"),
            ("10.1.1.1", vec![(xff, "203.0.113.66"), (xff, "198.51.100.7")], "198.51.100.7"),
            ("10.1.1.1", vec![(xff, "203.0.113.66, unknown, 10.2.2.2")], "10.2.2.2"),
            ("127.0.0.1", vec![(xff, "10.3.3.3, 10.2.2.2")], "10.3.3.3"),
            ("10.1.1.1", vec![("forwarded", "for=198.51.100.7;proto=https")], "198.51.100.7"),
            ("10.1.1.1", vec![("forwarded", "For=\"[2001:db8::7]:4711\"")], "2001:db8::7"),
            ("10.1.1.1", vec![("forwarded", "for=_hidden, for=\"[2001:db8::7]\"")], "2001:db8::7"),
            ("10.1.1.1", vec![("forwarded", "for=198.51.100.7"), (xff, "203.0.113.66")], "198.51.100.7"),
        ] {
            assert_eq!(seen(peer, &fields), client, "{peer} {fields:?}");
        }
    }
}
