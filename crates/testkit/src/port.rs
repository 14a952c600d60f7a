//! Ports for the servers that tests start.

use std::net::{Ipv4Addr, TcpStream};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what Linux and macOS hand out to outgoing connections, so that none of those can take a
/// port between this look and the start, or during a restart, of a test's server.
const PORT_MIN: u32 = 20_000;
const PORTS: u32 = 12_000;

/// A port of 127.0.0.1 that nobody listens on. Each call within a process answers another one.
#[must_use]
pub fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time have near ids, and begin far from each other.
    let first = process::id().wrapping_mul(97);
    for _ in 0..PORTS {
        let step = first.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(PORT_MIN + step).expect("the range ends below 65536");
        // Not a trial `bind`: when another thread starts a process at that moment, the socket has a
        // second holder for an instant, and whoever asked for the port finds it taken.
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
    panic!("every port from {PORT_MIN} on is taken; is something leaking servers?")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn free_port_is_never_given_twice() {
        let (one, other) = (free_port(), free_port());
        assert_ne!(one, other);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, other)).unwrap();
    }
}
