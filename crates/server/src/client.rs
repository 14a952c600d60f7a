//! The address that a request comes from: of the connection, or what a trusted proxy says.

use std::net::IpAddr;

use claviger_wire::headers::X_FORWARDED_FOR;
use http::HeaderMap;
use ipnet::IpNet;

/// The address of the caller. A proxy adds the one that it saw at the end of `X-Forwarded-For`; so
/// the list is read from its end, past our own proxies. The first that is none of them counts:
/// what stands before it the caller wrote. What is no address ends the reading.
#[must_use]
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    if !is_trusted(&nearest) {
        return nearest;
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let parts = lines
        .into_iter()
        .rev()
        .flat_map(|line| line.to_str().unwrap_or("unreadable").rsplit(','));
    for part in parts {
        let Ok(address) = part.trim().parse::<IpAddr>() else {
            return nearest;
        };
        nearest = address.to_canonical();
        if !is_trusted(&nearest) {
            return nearest;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::address;

    /// What these header lines say to a server behind 127.0.0.1 and 10.0.0.0/8.
    fn said(peer: &str, lines: &[&'static str]) -> String {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"].map(|net| net.parse().expect("a net"));
        let mut headers = HeaderMap::new();
        for line in lines {
            let name = HeaderName::from_static("x-forwarded-for");
            headers.append(name, HeaderValue::from_static(line));
        }
        address(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn peer_that_is_no_proxy_of_ours_is_not_believed() {
        assert_eq!(said("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn nearest_that_is_no_proxy_of_ours_counts() {
        for (lines, expected) in [
            (&["198.51.100.7"][..], "198.51.100.7"),
            (&["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9", "198.51.100.7, 10.0.0.1"], "198.51.100.7"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            (&["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            (&[], "127.0.0.1"),
        ] {
            assert_eq!(said("127.0.0.1", lines), expected, "{lines:?}");
        }
        assert_eq!(said("::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_ends_the_reading() {
        for lines in [
            &["198.51.100.7, unknown"][..],
            &["198.51.100.7, "],
            &["[::1]:5"],
        ] {
            assert_eq!(said("127.0.0.1", lines), "127.0.0.1", "{lines:?}");
        }
    }
}
