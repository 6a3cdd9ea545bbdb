//! Who the client is, and where it came in, where proxies stand between: the last one that a trusted proxy saw.
//!
//! Anybody can send `Forwarded` or `X-Forwarded-*`; a hop counts only if the one that wrote it down is trusted. So the
//! list is read from its end, for as long as the hops are trusted proxies themselves.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;

use crate::config::networks::Networks;

/// Where a request came from, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Where the client sent its request to, as far as it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Whether its connection was encrypted.
    pub https: bool,
    /// The host, if a trusted proxy says that it was another than the one in `Host`.
    pub host: Option<String>,
}

/// Hops that are looked at.
const HOPS_MAX: usize = 32;

/// What one proxy wrote down of whom it spoke for.
#[derive(Debug, Default)]
struct Hop {
    /// `None`: it names no address.
    client: Option<IpAddr>,
    proto: Option<String>,
    host: Option<String>,
}

/// The client of a request that `peer` passed on or sent itself, and where it sent it to. `https` is about the connection
/// with the peer.
pub(super) fn seen(peer: IpAddr, https: bool, headers: &HeaderMap, trusted: &Networks) -> (ClientAddress, Reached) {
    let mut client = peer.to_canonical();
    let mut reached = Reached { https, host: None };
    if !trusted.contains(client) {
        return (ClientAddress(client), reached);
    }
    // What the proxy nearest to the client says counts: that is where the client came in.
    for hop in hops(headers).into_iter().rev().take(HOPS_MAX) {
        if let Some(proto) = hop.proto {
            reached.https = proto.eq_ignore_ascii_case("https");
        }
        reached.host = hop.host.or(reached.host);
        let Some(address) = hop.client else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    (ClientAddress(client), reached)
}

/// The hops, the client's first. `Forwarded` (RFC 7239) goes before its ancestors.
fn hops(headers: &HeaderMap) -> Vec<Hop> {
    let forwarded = values(headers, FORWARDED.as_str());
    if !forwarded.is_empty() {
        let hop = |element: &String| Hop {
            client: forwarded_part(element, "for").and_then(address),
            proto: forwarded_part(element, "proto").map(str::to_owned),
            host: forwarded_part(element, "host").map(str::to_owned),
        };
        return forwarded.iter().map(hop).collect();
    }
    let [clients, protos, hosts] =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(|name| values(headers, name));
    let count = clients.len().max(protos.len()).max(hosts.len());
    // Each proxy adds to the end, and some write only one value of their own: lists are laid together at their ends.
    let of = |list: &[String], at: usize| (at + list.len()).checked_sub(count).map(|at| list[at].clone());
    let hop = |at| Hop {
        client: of(&clients, at).and_then(|text| address(&text)),
        proto: of(&protos, at).filter(|text| !text.is_empty()),
        host: of(&hosts, at).filter(|text| !text.is_empty()),
    };
    (0..count).map(hop).collect()
}

/// The parts of all fields of a name, in their order.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let texts = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    texts.flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).collect()
}

/// `for=192.0.2.1;proto=https` names `192.0.2.1` and `https`.
fn forwarded_part<'a>(element: &'a str, wanted: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
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

    fn seen(peer: &str, fields: &[(&'static str, &str)]) -> (String, String) {
        let trusted: Networks = "10.0.0.0/8, 127.0.0.1, fd00::/8".parse().expect("networks");
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let (client, reached) = super::seen(peer.parse().expect("an address"), false, &headers, &trusted);
        (client.0.to_string(), format!("{} {}", reached.https, reached.host.as_deref().unwrap_or("-")))
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
            assert_eq!(seen(peer, &fields).0, client, "{peer} {fields:?}");
        }
    }

    #[test]
    fn where_a_client_came_in_is_what_the_nearest_trusted_proxy_says() {
        let (xff, xfp, xfh) = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host");
        for (peer, fields, reached) in [
            ("10.1.1.1", vec![], "false -"),
            ("10.1.1.1", vec![(xfp, "https")], "true -"),
            ("10.1.1.1", vec![(xff, "192.0.2.9"), (xfp, "https"), (xfh, "ci.example")], "true ci.example"),
            // Anybody can say so.
            ("192.0.2.9", vec![(xfp, "https"), (xfh, "evil.example")], "false -"),
            ("10.1.1.1", vec![(xff, "192.0.2.9, 192.0.2.8"), (xfp, "https, http")], "false -"),
            ("10.1.1.1", vec![(xff, "192.0.2.9, 10.2.2.2"), (xfp, "https, http"), (xfh, "a, b")], "true a"),
            // Two proxies of which one wrote only what it saw itself.
            ("10.1.1.1", vec![(xff, "192.0.2.9, 10.2.2.2"), (xfp, "https")], "true -"),
            (
                "10.1.1.1",
                vec![("forwarded", "for=192.0.2.9;proto=https;host=\"ci.example:8443\"")],
                "true ci.example:8443",
            ),
            ("10.1.1.1", vec![("forwarded", "for=192.0.2.9;proto=https, for=10.2.2.2;proto=http")], "true -"),
            ("10.1.1.1", vec![("forwarded", "for=192.0.2.9"), (xfp, "https")], "false -"),
        ] {
            assert_eq!(seen(peer, &fields).1, reached, "{peer} {fields:?}");
        }
    }
}
