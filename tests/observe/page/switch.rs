//! A way to a server: it carries what both sides say, changes what the server says, or is cut.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It carries everything as it is.
    Open,
    /// In what the server says at a time, each of the first becomes the second, which is as long.
    Changes { from: &'static [u8; 7], to: &'static [u8; 7] },
    /// Connections end at once.
    Cut,
}

/// The way; it ends with this value.
pub struct Switch {
    port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Switch {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let own = listener.local_addr().expect("a bound address").port();
        let (way, seen) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, seen.clone()));
            }
        });
        Self { port: own, way, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, port: u16, way: watch::Receiver<Way>) {
    let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut until = way.clone();
    let both = async {
        let asked = async {
            let carried = tokio::io::copy(&mut from_client, &mut to_server).await;
            carried.and(to_server.shutdown().await)
        };
        tokio::try_join!(asked, answer(from_server, to_client, &way)).map(drop)
    };
    tokio::select! {
        _ = both => {}
        _ = until.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn answer(
    mut server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    way: &watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = server.read(&mut buffer).await?;
        if count == 0 {
            return client.shutdown().await;
        }
        let said = &mut buffer[..count];
        if let Way::Changes { from, to } = *way.borrow() {
            for at in 0..(count + 1).saturating_sub(from.len()) {
                if said[at..].starts_with(from) {
                    said[at..at + to.len()].copy_from_slice(to);
                }
            }
        }
        client.write_all(said).await?;
    }
}
