//! One connection through the proxy: both directions in one task, so that each acts on what the other has seen.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};

use super::proxy::{Act, Mode, Moment, Place, Shared, Welcome, lock};
use super::wire::{Answer, Conversation, Request};

/// Accepts until the proxy is dropped.
pub(super) fn run(
    listener: std::net::TcpListener,
    upstream: PathBuf,
    shared: Arc<Shared>,
    ended: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        let accepting = accept(listener, upstream, shared);
        // The sender is never used: its end is the proxy's.
        tokio::select! { () = accepting => {} _ = ended => {} }
    });
}

async fn accept(listener: TcpListener, upstream: PathBuf, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let id = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let (shared, upstream) = (Arc::clone(&shared), upstream.clone());
        tokio::spawn(async move {
            let welcome = *lock(&shared.welcome);
            let served = match welcome {
                Welcome::Refuse => client.set_zero_linger(),
                Welcome::Silence => ignore(client).await,
                Welcome::Serve => serve(client, &upstream, &shared, id).await,
            };
            lock(&shared.modes).remove(&id);
            lock(&shared.sessions).remove(&id);
            // An end that breaks off is what this is for.
            drop(served);
        });
    }
}

/// Reads what comes, and says nothing, until the client gives up.
async fn ignore(mut client: TcpStream) -> io::Result<()> {
    let mut nothing = [0; 4096];
    while client.read(&mut nothing).await? > 0 {}
    Ok(())
}

async fn serve(client: TcpStream, upstream: &Path, shared: &Arc<Shared>, id: u64) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(upstream).await?;
    let (sender, mode) = watch::channel(Mode::Open);
    lock(&shared.modes).insert(id, sender.clone());
    let link = Link { client, server, shared: Arc::clone(shared), id, mode: sender, changed: mode };
    link.carry().await
}

struct Link {
    client: TcpStream,
    server: UnixStream,
    shared: Arc<Shared>,
    id: u64,
    mode: watch::Sender<Mode>,
    changed: watch::Receiver<Mode>,
}

impl Link {
    async fn carry(mut self) -> io::Result<()> {
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        let mut conversation = Conversation::default();
        loop {
            let now = *self.changed.borrow_and_update();
            if now != Mode::Open {
                return self.end(now).await;
            }
            tokio::select! {
                read = self.client.read_buf(&mut requests) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(request) = conversation.next_request(&mut requests) {
                        self.forward(request).await?;
                    }
                }
                read = self.server.read_buf(&mut answers) => {
                    if read? == 0 {
                        // The last words of a session that the server ends.
                        return self.client.write_all(&answers).await;
                    }
                    while let Some(answer) = conversation.next_answer(&mut answers) {
                        self.pass_on(answer).await?;
                    }
                }
                _ = self.changed.changed() => {}
            }
        }
    }

    async fn forward(&mut self, request: Request) -> io::Result<()> {
        if self.is_broken() {
            return Ok(());
        }
        if let Some(statement) = &request.statement
            && !self.obey(Place::Request, statement, None).await
        {
            return Ok(());
        }
        tokio::time::sleep(self.shared.delay()).await;
        self.server.write_all(&request.bytes).await
    }

    async fn pass_on(&mut self, answer: Answer) -> io::Result<()> {
        if self.is_broken() {
            return Ok(());
        }
        let Answer { bytes, statement, committed, session } = answer;
        if let Some(pid) = session {
            lock(&self.shared.sessions).insert(self.id, pid);
        }
        let Some(statement) = statement else { return self.client.write_all(&bytes).await };
        if !self.obey(Place::Answer, &statement, committed.as_deref()).await {
            return Ok(());
        }
        tokio::time::sleep(self.shared.delay()).await;
        self.client.write_all(&bytes).await?;
        self.obey(Place::Passed, &statement, committed.as_deref()).await;
        Ok(())
    }

    fn is_broken(&self) -> bool {
        *self.changed.borrow() != Mode::Open
    }

    /// Whether the message goes on.
    async fn obey(&self, place: Place, statement: &str, committed: Option<&str>) -> bool {
        let act = self.shared.decide(&Moment { place, statement, committed });
        let mode = match act {
            Act::Pass => return true,
            Act::Delay(delay) => {
                tokio::time::sleep(delay).await;
                return true;
            }
            Act::Swallow => return false,
            Act::Silence | Act::SilenceAll => Mode::Silent,
            Act::Reset => Mode::Reset,
            Act::Close => Mode::Close,
            Act::HalfClose => Mode::HalfClosed,
        };
        self.mode.send_replace(mode);
        false
    }

    async fn end(mut self, mode: Mode) -> io::Result<()> {
        match mode {
            Mode::Reset => self.client.set_zero_linger(),
            Mode::Open | Mode::Close => Ok(()),
            Mode::HalfClosed => {
                self.client.shutdown().await?;
                self.wait_for_close().await
            }
            Mode::Silent => self.wait_for_close().await,
        }
    }

    /// Reads what the client still sends until it closes, or until this connection is cut off.
    async fn wait_for_close(mut self) -> io::Result<()> {
        let mut nothing = [0; 4096];
        let mut is_closed = false;
        loop {
            tokio::select! {
                read = self.client.read(&mut nothing), if !is_closed => {
                    is_closed = !matches!(read, Ok(n) if n > 0);
                    if is_closed && !self.shared.loses_fin.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
                changed = self.changed.changed() => {
                    let now = *self.changed.borrow_and_update();
                    if changed.is_err() || matches!(now, Mode::Reset | Mode::Close) {
                        return Ok(());
                    }
                }
            }
        }
    }
}
