//! A network that does to HTTP requests what a test says, before they reach a server on loopback.
//!
//! It reads a request whole, carries it to the server over a connection of its own, and ends its client's connection with
//! the answer: so each fault meets one request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server never hears of it; this status is the answer.
    Refuse(u16),
    /// The server does it; this status is the answer all the same.
    Deny(u16),
    /// The server does it, and the connection is cut instead of an answer.
    LoseAnswer,
    /// The server hears half of the body, then the connection is cut on both sides.
    CutRequest,
    /// Half of the answer arrives, then the connection is cut.
    CutAnswer,
    /// A bit in the middle of the answer is another.
    ChangeAnswer,
    /// It takes this much longer.
    Slow(Duration),
    /// Nothing ever happens.
    Hang,
}

/// Requests longer than this are none of the tests'.
const REQUEST_MAX: usize = 64 << 20;

type Orders = Arc<Mutex<State>>;

#[derive(Default)]
struct State {
    faults: VecDeque<(&'static str, Fault)>,
    always: Option<(String, Fault)>,
    seen: Vec<String>,
}

/// The network; it ends with this value.
pub struct BadNetwork {
    address: SocketAddr,
    orders: Orders,
    task: JoinHandle<()>,
}

impl BadNetwork {
    /// A network before the server at `port`.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let orders = Orders::default();
        let told = orders.clone();
        let task = tokio::spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                carried.spawn(carry(client, SocketAddr::from(([127, 0, 0, 1], port)), told.clone()));
            }
        });
        Self { address, orders, task }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next request of this method meets `fault`, after the faults ordered before.
    pub fn next(&self, method: &'static str, fault: Fault) {
        state(&self.orders).faults.push_back((method, fault));
    }

    /// From now on every request of this method meets `fault`, or those alone whose path has this in it: `GET /traces/`.
    /// `None`: no more.
    pub fn always(&self, fault: Option<(&str, Fault)>) {
        state(&self.orders).always = fault.map(|(which, fault)| (which.to_owned(), fault));
    }

    /// The first lines of the requests so far, and forgets them.
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut state(&self.orders).seen)
    }

    /// Faults that no request has met.
    pub fn left(&self) -> usize {
        state(&self.orders).faults.len()
    }
}

impl Drop for BadNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn state(orders: &Orders) -> MutexGuard<'_, State> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}

fn meet(orders: &Orders, line: &str) -> Option<Fault> {
    let mut state = state(orders);
    state.seen.push(line.to_owned());
    let (of_line, path) = line.split_once(' ').unwrap_or((line, ""));
    let is_meant = |which: &str| {
        let (method, part) = which.split_once(' ').unwrap_or((which, ""));
        method == of_line && path.contains(part)
    };
    if let Some(at) = state.faults.iter().position(|(method, _)| is_meant(method)) {
        return state.faults.remove(at).map(|(_, fault)| fault);
    }
    state.always.as_ref().filter(|(which, _)| is_meant(which)).map(|(_, fault)| *fault)
}

/// One connection, which carries one request.
async fn carry(mut client: TcpStream, to: SocketAddr, orders: Orders) -> Option<()> {
    let (head, mut body, size) = read_head(&mut client).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let fault = meet(&orders, &line);
    let cut_at = size / 2;
    while body.len() < size {
        if fault == Some(Fault::CutRequest) && body.len() >= cut_at {
            break;
        }
        if client.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    match fault {
        Some(Fault::Refuse(status)) => return answer(&mut client, status).await,
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::Hang) => return std::future::pending().await,
        _ => {}
    }
    let mut server = TcpStream::connect(to).await.ok()?;
    // Not among the signed headers.
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await.ok()?;
    if fault == Some(Fault::CutRequest) {
        server.write_all(&body[..cut_at]).await.ok()?;
        return None;
    }
    server.write_all(&body).await.ok()?;
    let mut answered = Vec::new();
    server.read_to_end(&mut answered).await.ok()?;
    match fault {
        Some(Fault::Deny(status)) => answer(&mut client, status).await,
        Some(Fault::LoseAnswer) => None,
        Some(Fault::ChangeAnswer) => {
            let middle = answered.len() / 2;
            *answered.get_mut(middle)? ^= 1;
            client.write_all(&answered).await.ok()
        }
        Some(Fault::CutAnswer) => client.write_all(&answered[..answered.len() - answered.len() / 4]).await.ok(),
        _ => client.write_all(&answered).await.ok(),
    }
}

/// The head, what came of the body, and how long the body is.
async fn read_head(client: &mut TcpStream) -> Option<(String, Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes).ok()?;
            let size = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            return Some((head, body, size.unwrap_or_default())).filter(|(.., size)| *size <= REQUEST_MAX);
        }
        if bytes.len() > 64 * 1024 || client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn answer(client: &mut TcpStream, status: u16) -> Option<()> {
    let head = format!("HTTP/1.1 {status} Because\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    client.write_all(head.as_bytes()).await.ok()
}
