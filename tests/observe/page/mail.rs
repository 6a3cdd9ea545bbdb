//! A server for mail: what Alertmanager sends to people.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The server; what it was sent.
pub struct Mail {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Mail {
    pub async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let hears = heard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let hears = hears.clone();
                tokio::spawn(async move {
                    // A client that hangs up in the middle sent nothing.
                    let _ = converse(client, &hears).await;
                });
            }
        });
        Self { port, heard }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every mail that came so far, head and body, readable.
    pub fn all(&self) -> Vec<String> {
        self.heard.lock().expect("no test panics here").iter().map(|mail| printed(mail)).collect()
    }
}

/// The part of SMTP (RFC 5321) that a client needs to leave its mail.
async fn converse(client: TcpStream, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (reads, mut writes) = client.into_split();
    let mut lines = BufReader::new(reads).lines();
    writes.write_all(b"220 ready\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split(' ').next().unwrap_or_default() {
            "DATA" => {
                writes.write_all(b"354 end with a point\r\n").await?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    mail += line.strip_prefix('.').unwrap_or(&line);
                    mail += "\n";
                }
                heard.lock().expect("no test panics here").push(mail);
                "250 kept\r\n"
            }
            "QUIT" => return writes.write_all(b"221 bye\r\n").await,
            _ => "250 well\r\n",
        };
        writes.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// What is written as "quoted-printable" (RFC 2045), as it is read.
fn printed(quoted: &str) -> String {
    let mut parts = quoted.split('=');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match (part.strip_prefix('\n'), code) {
            (Some(rest), _) => text += rest,
            (None, Some(code)) => text += &format!("{}{}", char::from(code), &part[2..]),
            (None, None) => text += &format!("={part}"),
        }
    }
    text
}
