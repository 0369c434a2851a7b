//! Free ports of the loopback interface, never given twice by one process.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Ports are taken below the range out of which the system serves outgoing connections: a client that tries again and
/// again to reach a listener that is down could otherwise be given that very port, and talk to itself.
const FIRST: u16 = 18_000;
const COUNT: u16 = 14_000;

/// A port on which nothing listens now.
pub(crate) fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run side by side begin in different places.
    let begin = u16::try_from(process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
