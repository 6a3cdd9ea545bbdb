//! A network between runner and server that loses answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Forwards connections on loopback; ends with this value.
pub struct Proxy {
    address: SocketAddr,
    lose: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before the server at `to`.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let lose = Arc::new(AtomicU32::new(0));
        let losing = lose.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, to, losing.clone()));
            }
        });
        Self { address, lose, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next answers are lost after the server has sent them.
    pub fn lose_answers(&self, count: u32) {
        self.lose.store(count, Ordering::SeqCst);
    }

    /// Answers that are still to be lost.
    pub fn left(&self) -> u32 {
        self.lose.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, which carries one request.
async fn forward(client: TcpStream, to: SocketAddr, lose: Arc<AtomicU32>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = [0; 16 * 1024];
    while let Ok(size @ 1..) = from_server.read(&mut buffer).await {
        let take = lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if take.is_ok() || to_client.write_all(&buffer[..size]).await.is_err() {
            break;
        }
    }
    up.abort();
}
