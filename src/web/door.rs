//! A listener whose connections are bounded: in number, and in how long nothing may happen on one.
//!
//! Who finds no seat waits in the system's backlog. A client that opens connections and says nothing, or stops in the
//! middle of a request or of an answer, loses its seat.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at the same time, of one listener: more than people and scripts need, less than the files a process
/// may open.
const SEATS: usize = 512;

/// How long nothing may happen on a connection; longer than an answer may take.
const IDLE: Duration = Duration::from_secs(75);

/// A bounded listener.
pub(crate) struct Door {
    listener: TcpListener,
    seats: Arc<Semaphore>,
}

/// A connection with its seat.
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _seat: OwnedSemaphorePermit,
}

// === impl Door ===

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let seat = Arc::clone(&self.seats).acquire_owned().await.expect("the seats are never closed");
        let (stream, from) = Listener::accept(&mut self.listener).await;
        // Without it small answers wait for an acknowledgement; if it cannot be set they only come later.
        drop(stream.set_nodelay(true));
        (Connection { stream, idle: Box::pin(tokio::time::sleep(IDLE)), _seat: seat }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

// === impl Connection ===

impl Connection {
    /// What came of an operation; when nothing did for too long, an error.
    fn moved<T>(&mut self, done: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return done;
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        self.moved(read, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.moved(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn door() -> (Door, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        (Door::new(listener), at)
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_loses_the_seat() {
        let (mut door, at) = door().await;
        let mut client = TcpStream::connect(at).await.unwrap();
        let (mut connection, _) = door.accept().await;
        let began = Instant::now();
        client.write_all(b"GET").await.unwrap();
        let mut some = [0; 3];
        connection.read_exact(&mut some).await.unwrap();
        let error = connection.read(&mut some).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_the_answer_loses_the_seat() {
        let (mut door, at) = door().await;
        let _client = TcpStream::connect(at).await.unwrap();
        let (mut connection, _) = door.accept().await;
        let much = vec![0; 64 << 20];
        let error = connection.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_waits_for_a_seat_and_gets_the_one_that_is_left() {
        let (mut door, at) = door().await;
        door.seats = Arc::new(Semaphore::new(1));
        let (_first, mut second) = (TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap());
        let (connection, _) = door.accept().await;
        assert_eq!(door.seats.available_permits(), 0);
        drop(connection);
        let (mut connection, _) = door.accept().await;
        second.write_all(b"x").await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap(), b'x');
    }
}
