//! What a request shows of itself, before anything is looked up.

use std::net::IpAddr;

use crate::{
    denial::Denial,
    digest::Digest,
    token::{Brand, digest_of_presented},
};

/// The credential that a request presents. It stands or falls with it.
pub enum Presented<'a> {
    /// No `Authorization` header.
    Nothing,
    /// A well-formed org API key.
    OrgKey(Digest),
    /// A well-formed workspace token.
    WorkspaceToken(Digest),
    /// A bearer of no brand of ours: `ADMIN_TOKEN`, or a person's access token.
    Opaque(&'a str),
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::OrgKey(_) => "OrgKey",
            Self::WorkspaceToken(_) => "WorkspaceToken",
            Self::Opaque(_) => "Opaque",
        })
    }
}

/// The brands that this deployment knows.
#[derive(Debug, Clone, Copy)]
pub struct Brands {
    /// Of org API keys.
    pub org_key: Brand,
    /// Of workspace tokens.
    pub workspace_token: Brand,
}

/// Reads the `Authorization` headers of a request (RFC 6750, 2.1).
///
/// # Errors
/// A [`Denial`] when there are two, when it is not a bearer, or when it has our brand and is not
/// shaped like a secret of ours.
pub fn presented<'a>(
    mut headers: impl Iterator<Item = &'a [u8]>,
    brands: &Brands,
) -> Result<Presented<'a>, Denial> {
    let Some(first) = headers.next() else {
        return Ok(Presented::Nothing);
    };
    if headers.next().is_some() {
        return Err(Denial::TwoCredentials);
    }
    let Ok(text) = std::str::from_utf8(first) else {
        return Err(Denial::NotBearer);
    };
    let (scheme, token) = text.split_once(' ').ok_or(Denial::NotBearer)?;
    let token = token.trim_start_matches(' ');
    let is_token68 = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(is_token68)
    {
        return Err(Denial::NotBearer);
    }
    if brands.org_key.begins(token) {
        return Ok(Presented::OrgKey(digest_of_presented(
            &brands.org_key,
            token,
        )?));
    }
    if brands.workspace_token.begins(token) {
        return Ok(Presented::WorkspaceToken(digest_of_presented(
            &brands.workspace_token,
            token,
        )?));
    }
    Ok(Presented::Opaque(token))
}

/// The value of a cookie, or `None` where there is none of that name (RFC 6265, 5.4).
///
/// # Errors
/// [`Denial::SessionEnded`] for two of one name: another site of the same domain may have set one,
/// and which is ours cannot be told.
pub fn cookie<'a>(
    headers: impl Iterator<Item = &'a [u8]>,
    name: &str,
) -> Result<Option<&'a str>, Denial> {
    let mut found = None;
    for header in headers {
        for pair in header.split(|b| *b == b';') {
            let Ok(pair) = std::str::from_utf8(pair) else {
                continue;
            };
            match pair.trim().split_once('=') {
                Some((key, _)) if key != name => {}
                Some((_, value)) if found.replace(value).is_none() => {}
                Some(_) => return Err(Denial::SessionEnded),
                None => {}
            }
        }
    }
    Ok(found)
}

/// What a browser says of where a request comes from (<https://www.w3.org/TR/fetch-metadata/>).
#[derive(Debug, Clone, Copy)]
pub struct FetchSite<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a str>,
    /// `Sec-Fetch-Mode`.
    pub mode: Option<&'a str>,
    /// `Sec-Fetch-Dest`.
    pub dest: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// Our own origin, as the browser writes it.
    pub own: &'a str,
    /// Whether the method changes nothing.
    pub is_read: bool,
    /// Whether the route is a page, which other sites may link to.
    pub is_page: bool,
}

impl FetchSite<'_> {
    /// Whether a session may be used by this request. A change must come from our own origin, and
    /// say so; a read may also be typed in, and a page may be followed to from elsewhere.
    #[must_use]
    pub fn may_use_session(&self) -> bool {
        let is_own_origin = |origin: &str| origin == self.own;
        match (self.site, self.is_read) {
            (Some("same-origin"), _) => true,
            (Some("none"), true) => true,
            (Some("same-site" | "cross-site"), true) => {
                self.is_page && self.mode == Some("navigate") && self.dest == Some("document")
            }
            (Some(_), _) => false,
            // A browser that says nothing of sites: its `Origin` has to do.
            (None, true) => self.origin.is_none_or(is_own_origin),
            (None, false) => self.origin.is_some_and(is_own_origin),
        }
    }
}

/// Who may use tier 0 while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootstrapPolicy {
    /// A program on this machine, and no web page.
    Loopback,
    /// Any program that reaches the port, and no web page.
    Any,
    /// Nobody.
    Off,
}

/// How a request without a credential arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The `Host` header or authority.
    pub host: Option<&'a str>,
    /// Whether any header says that a proxy passed the request on.
    pub is_forwarded: bool,
    /// Whether there is an `Origin` header.
    pub has_origin: bool,
    /// `Sec-Fetch-Site`, if present.
    pub fetch_site: Option<&'a str>,
}

impl Arrival<'_> {
    /// Whether tier 0 may be used by this request, if it is open.
    #[must_use]
    pub fn may_bootstrap(&self, policy: BootstrapPolicy) -> bool {
        let from_a_page =
            self.has_origin || !matches!(self.fetch_site, None | Some("none" | "same-origin"));
        let is_local = self.peer.to_canonical().is_loopback()
            && self.host.is_some_and(is_loopback_host)
            && !self.is_forwarded;
        match policy {
            BootstrapPolicy::Off => false,
            BootstrapPolicy::Any => !from_a_page,
            BootstrapPolicy::Loopback => !from_a_page && is_local,
        }
    }
}

/// Whether a `Host` names this machine in a way that no resolver can redirect.
fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_default(),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let has_good_port = port.is_empty()
        || port.starts_with(':')
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit());
    if !has_good_port {
        return false;
    }
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Arrival, BootstrapPolicy, Brands, FetchSite, Presented, cookie, presented};
    use crate::{
        denial::Denial,
        token::{Brand, Secret, SecretError},
    };

    const BRANDS: Brands = Brands {
        org_key: Brand::ORG_KEY,
        workspace_token: Brand::WORKSPACE_TOKEN,
    };

    fn read<'a>(headers: &'a [&'a str]) -> Result<Presented<'a>, Denial> {
        presented(headers.iter().map(|h| h.as_bytes()), &BRANDS)
    }

    #[test]
    fn each_kind_of_bearer_is_told_apart() {
        let key = format!(
            "Bearer {}",
            Secret::from_entropy(&Brand::ORG_KEY, &[1; 32]).expose()
        );
        let token = format!(
            "bearer  {}",
            Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[1; 32]).expose()
        );
        assert!(matches!(read(&[]), Ok(Presented::Nothing)));
        assert!(matches!(read(&[&key]), Ok(Presented::OrgKey(_))));
        assert!(matches!(read(&[&token]), Ok(Presented::WorkspaceToken(_))));
        assert!(matches!(
            read(&["Bearer abc"]),
            Ok(Presented::Opaque("abc"))
        ));
    }

    #[test]
    fn bad_headers_are_refused() {
        let table: &[(&[&str], Denial)] = &[
            (&["Bearer a", "Bearer a"], Denial::TwoCredentials),
            (&["Basic YTpi"], Denial::NotBearer),
            (&["Bearer"], Denial::NotBearer),
            (&["Bearer "], Denial::NotBearer),
            (&["Bearer a b"], Denial::NotBearer),
            (
                &["Bearer mole_short"],
                Denial::Malformed(SecretError::Shape),
            ),
            (
                &["Bearer molw_short"],
                Denial::Malformed(SecretError::Shape),
            ),
        ];
        for (headers, denial) in table {
            assert_eq!(read(headers).err(), Some(*denial), "{headers:?}");
        }
    }

    #[test]
    fn one_cookie_of_a_name_is_read_and_two_are_none() {
        let read = |headers: &'static [&'static str]| {
            cookie(headers.iter().map(|header| header.as_bytes()), "s")
        };
        assert_eq!(read(&["a=1; s=xyz; b=2"]), Ok(Some("xyz")));
        assert_eq!(read(&["a=1", "s=x=y"]), Ok(Some("x=y")));
        assert_eq!(read(&["ss=1; s", "xs=1"]), Ok(None));
        assert_eq!(read(&["s=1; s=2"]), Err(Denial::SessionEnded));
        assert_eq!(read(&["s=1", "s=1"]), Err(Denial::SessionEnded));
    }

    const OWN: FetchSite<'_> = FetchSite {
        site: Some("same-origin"),
        mode: Some("cors"),
        dest: Some("empty"),
        origin: Some("https://keys.example"),
        own: "https://keys.example",
        is_read: false,
        is_page: false,
    };

    #[test]
    fn change_is_made_from_our_own_pages_alone() {
        assert!(OWN.may_use_session());
        // "none": typed in, which no change is.
        for site in ["cross-site", "same-site", "none", "x"] {
            let site = Some(site);
            assert!(!FetchSite { site, ..OWN }.may_use_session(), "{site:?}");
        }
        // An old browser says nothing of sites.
        let silent = FetchSite { site: None, ..OWN };
        assert!(silent.may_use_session());
        // "null": a sandboxed frame.
        for origin in [Some("https://evil.example"), Some("null"), None] {
            let other = FetchSite { origin, ..silent };
            assert!(!other.may_use_session(), "{origin:?}");
        }
    }

    #[test]
    fn page_is_followed_to_from_elsewhere_and_nothing_else_is() {
        let followed = FetchSite {
            site: Some("cross-site"),
            mode: Some("navigate"),
            dest: Some("document"),
            origin: None,
            is_read: true,
            is_page: true,
            ..OWN
        };
        assert!(followed.may_use_session());
        let data = FetchSite {
            is_page: false,
            ..followed
        };
        let form = FetchSite {
            is_read: false,
            ..followed
        };
        let odd = FetchSite {
            site: Some("x"),
            ..followed
        };
        let (mode, dest) = (Some("no-cors"), Some("image"));
        let image = FetchSite {
            mode,
            dest,
            ..followed
        };
        let dest = Some("iframe");
        let frame = FetchSite { dest, ..followed };
        for other in [data, form, odd, image, frame] {
            assert!(!other.may_use_session(), "{other:?}");
        }
        // Programs say nothing, and have no session that another site could use.
        let site = None;
        assert!(FetchSite { site, ..followed }.may_use_session());
        assert!(FetchSite { site, ..data }.may_use_session());
    }

    fn local() -> Arrival<'static> {
        Arrival {
            peer: "127.0.0.1".parse().expect("an address"),
            host: Some("localhost:8080"),
            is_forwarded: false,
            has_origin: false,
            fetch_site: None,
        }
    }

    #[test]
    fn bootstrap_is_for_programs_on_this_machine() {
        let good = local();
        let may = |arrival: Arrival<'_>| arrival.may_bootstrap(BootstrapPolicy::Loopback);
        assert!(may(good));
        for host in ["127.0.0.1", "127.9.9.9:1", "[::1]:8080", "LOCALHOST"] {
            assert!(
                may(Arrival {
                    host: Some(host),
                    ..good
                }),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "",
            "[::2]",
            "[::1].evil.example",
            "[::1]:80.evil.example",
            "127.0.0.1:80.evil.example",
            "localhost:",
            "0.0.0.0",
        ] {
            assert!(
                !may(Arrival {
                    host: Some(host),
                    ..good
                }),
                "{host}"
            );
        }
    }

    #[test]
    fn what_came_through_others_does_not_bootstrap() {
        let good = local();
        let may = |arrival: Arrival<'_>| arrival.may_bootstrap(BootstrapPolicy::Loopback);
        assert!(!may(Arrival { host: None, ..good }));
        assert!(!may(Arrival {
            peer: "192.0.2.1".parse().expect("an address"),
            ..good
        }));
        assert!(!may(Arrival {
            is_forwarded: true,
            ..good
        }));
        assert!(!may(Arrival {
            has_origin: true,
            ..good
        }));
        assert!(!may(Arrival {
            fetch_site: Some("cross-site"),
            ..good
        }));
        assert!(!may(Arrival {
            fetch_site: Some("same-site"),
            ..good
        }));
        assert!(!good.may_bootstrap(BootstrapPolicy::Off));
        let remote = Arrival {
            peer: "192.0.2.1".parse().expect("an address"),
            host: Some("x"),
            ..good
        };
        assert!(remote.may_bootstrap(BootstrapPolicy::Any));
        assert!(
            !Arrival {
                has_origin: true,
                ..remote
            }
            .may_bootstrap(BootstrapPolicy::Any)
        );
    }
}
