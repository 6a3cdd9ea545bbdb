//! A balancer before the nodes: each connection goes to the next node that takes it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A node that does not take a connection in this time is passed over.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// Forwards connections on loopback; ends with this value.
pub struct Balancer {
    address: SocketAddr,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// A balancer before no node yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let nodes = Arc::new(Mutex::new(Vec::new()));
        let (turn, behind) = (Arc::new(AtomicUsize::new(0)), nodes.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let nodes: Vec<SocketAddr> = behind.lock().expect("not poisoned").clone();
                let first = turn.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(forward(client, nodes, first));
            }
        });
        Self { address, nodes, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections go to these nodes.
    pub fn send_to(&self, nodes: Vec<SocketAddr>) {
        *self.nodes.lock().expect("not poisoned") = nodes;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, nodes: Vec<SocketAddr>, first: usize) {
    for at in 0..nodes.len() {
        let node = nodes[(first + at) % nodes.len()];
        if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(node)).await {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
