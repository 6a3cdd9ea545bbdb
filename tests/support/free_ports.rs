//! Free loopback ports for servers that take more than one, or none that the kernel chooses.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what the kernel gives to connections, so that no connection takes one between here and its server.
const FIRST: u16 = 11_000;
const LAST: u16 = 21_000;
static NEXT: AtomicU16 = AtomicU16::new(0);

/// The first of `count` ports in a row, all free now, and so are those `above` higher.
pub fn in_a_row(count: u16, above: u16) -> u16 {
    // Other test programs look too: each begins elsewhere.
    let span = LAST - FIRST;
    let begin = u16::try_from(std::process::id() * 41 % u32::from(span)).expect("less than the span");
    for _ in 0..2000 {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + begin.wrapping_add(step) % (span - count);
        if (first..first + count).all(|port| is_free(port) && is_free(port + above)) {
            return first;
        }
    }
    panic!("no {count} free ports in a row between {FIRST} and {LAST}");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
