//! Where the public keys of GitHub's secret scanning come from.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use url::{Host, Url};

/// Where GitHub publishes them.
const GITHUB_KEYS: &str = "https://api.github.com/meta/public_keys/secret_scanning";

/// Where to read the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GithubKeySource {
    /// From this address: https, or this machine.
    Address(Url),
    /// From this file.
    File(PathBuf),
}

/// `on`, `off`, an address or a path.
pub(super) fn parse(text: &str) -> Result<Option<GithubKeySource>, String> {
    match text {
        "off" => Ok(None),
        "on" => address(GITHUB_KEYS).map(Some),
        text if text.contains("://") => address(text).map(Some),
        path if Path::new(path).is_file() => Ok(Some(GithubKeySource::File(path.into()))),
        _ => Err(
            "must be `on`, `off`, an https address, or the path of a JSON file that is there"
                .to_owned(),
        ),
    }
}

fn address(text: &str) -> Result<GithubKeySource, String> {
    let url = Url::parse(text).map_err(|error| format!("is no address: {error}"))?;
    let is_plain_but_near = url.scheme() == "http" && is_loopback(&url);
    if url.scheme() != "https" && !is_plain_but_near {
        return Err(
            "must be an https address: whoever can change the keys can forge reports".to_owned(),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    Ok(GithubKeySource::Address(url))
}

/// Whether the address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{GithubKeySource, parse};

    #[test]
    fn keys_come_from_github_from_an_address_or_from_a_file() {
        assert_eq!(parse("off"), Ok(None));
        let on = parse("on").expect("a source");
        assert!(matches!(on, Some(GithubKeySource::Address(url))
            if url.as_str() == "https://api.github.com/meta/public_keys/secret_scanning"));
        for near in [
            "http://127.0.0.1:1/k",
            "http://[::1]:1/k",
            "http://localhost/k",
        ] {
            assert!(parse(near).is_ok(), "{near}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("UTF-8");
        let expected = GithubKeySource::File(file.path().to_owned());
        assert_eq!(parse(path), Ok(Some(expected)));
    }

    #[test]
    fn what_could_be_forged_or_is_not_there_is_refused() {
        for bad in [
            "yes",
            "no-such-file.json",
            "http://api.github.com/keys",
            "http://localhost.example.com/k",
            "ftp://127.0.0.1/k",
            "https://u:p@example.com/k",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
