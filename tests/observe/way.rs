//! The way to a store, which can be cut, and on which all objects look old.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands before the year of a moment in a listing.
const WRITTEN: &[u8] = b"<LastModified>";
/// The year in which everything was written.
const LONG_AGO: &[u8] = b"2021";

/// The way; it ends with this value.
pub struct Way {
    port: u16,
    cut: watch::Sender<bool>,
    old: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Way {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let own = listener.local_addr().expect("a bound address").port();
        let ((cut, is_cut), old) = (watch::channel(false), Arc::new(AtomicBool::new(false)));
        let is_old = old.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut is_cut, is_old) = (is_cut.clone(), is_old.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                        _ = carry(client, SocketAddr::from(([127, 0, 0, 1], port)), &is_old) => {}
                    }
                });
            }
        });
        Self { port: own, cut, old, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing comes through, or everything again.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// From now on everything that is listed was written years ago.
    pub fn grow_old(&self) {
        self.old.store(true, Ordering::SeqCst);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, to: SocketAddr, is_old: &AtomicBool) -> std::io::Result<()> {
    let server = TcpStream::connect(to).await?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let back = async {
        let (mut bytes, mut age) = (vec![0; 1 << 16], Age::default());
        loop {
            let read = from_server.read(&mut bytes).await?;
            if read == 0 {
                return to_client.shutdown().await;
            }
            if is_old.load(Ordering::SeqCst) {
                age.write_over(&mut bytes[..read]);
            }
            to_client.write_all(&bytes[..read]).await?;
        }
    };
    tokio::try_join!(there, back).map(drop)
}

/// Writes another year over that of each moment, wherever the bytes come in parts.
#[derive(Default)]
struct Age {
    /// How much of what stands before a year was just seen, and then of the year.
    seen: usize,
}

impl Age {
    fn write_over(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if let Some(digit) = self.seen.checked_sub(WRITTEN.len()) {
                *byte = LONG_AGO[digit];
                self.seen = (self.seen + 1) % (WRITTEN.len() + LONG_AGO.len());
            } else if *byte == WRITTEN[self.seen] {
                self.seen += 1;
            } else {
                self.seen = usize::from(*byte == WRITTEN[0]);
            }
        }
    }
}
