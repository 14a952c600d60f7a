//! The files of the pages: style sheet, modules, icons. They are part of the binary.
//!
//! A file is asked for with the beginning of its own digest (`?v=…`), so it may be kept forever: a
//! file that changes has another address. A module that imports another names it as `./other.js`;
//! that name gets the digest too, which is why a file stands below what it imports.

use std::{io::Write as _, sync::LazyLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// How much of the digest stands in an address: twelve characters.
const DIGEST_BYTES: usize = 6;

/// Names a file of `crates/server/assets/canvas` and takes it in.
macro_rules! files {
    ($($name:literal as $media_type:ident,)*) => {
        &[$(Source {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("../../assets/canvas/", $name)),
        }),*]
    };
}

/// Puts parts of `crates/server/assets/canvas/style` together, in this order.
macro_rules! style {
    ($($name:literal,)*) => {
        concat!($(include_str!(concat!("../../assets/canvas/style/", $name)), "\n"),*)
    };
}

/// The style sheet: many files for whoever writes it, one for the browser. What stands later wins.
const STYLE: Source = Source {
    name: "canvas.css",
    media_type: CSS,
    text: style![
        "base.css",
        "frame.css",
        "parts.css",
        "forms.css",
        "shown.css",
        "lists.css",
        "keys.css",
        "places.css",
        "rooms.css",
    ],
};

/// Every other file. To add one, write its line, below the lines of what it imports.
const SOURCES: &[Source] = files![
    "icons.svg" as SVG,
    "favicon.svg" as SVG,
    "copy.js" as JS,
    "time.js" as JS,
    "busy.js" as JS,
    "dialog.js" as JS,
    "keys.js" as JS,
    "select.js" as JS,
    "search.js" as JS,
    "theme.js" as JS,
    "live.js" as JS,
    "mint.js" as JS,
    "shown.js" as JS,
    "first_call.js" as JS,
    "verify.js" as JS,
    "link.js" as JS,
    "canvas.js" as JS,
];

struct Source {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// A file as it is served.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    url: String,
    version: String,
    body: Bytes,
    /// The same in gzip.
    compressed: Option<Bytes>,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut assets: Vec<Asset> = Vec::with_capacity(SOURCES.len() + 1);
    for source in [&STYLE].into_iter().chain(SOURCES) {
        let text = match source.media_type {
            JS => with_versioned_imports(&without_comments(source.text), &assets),
            CSS => tight(source.text),
            _ => source.text.to_owned(),
        };
        let whole = digest(&SHA256, text.as_bytes());
        let head = whole.as_ref().iter().take(DIGEST_BYTES);
        let version: String = head.map(|byte| format!("{byte:02x}")).collect();
        assets.push(Asset {
            name: source.name,
            media_type: source.media_type,
            url: format!("/canvas/assets/{}?v={version}", source.name),
            version,
            compressed: compressed(text.as_bytes()),
            body: Bytes::from(text),
        });
    }
    assets
});

fn compressed(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// A module without its lines of comment: they are for whoever reads the source, and would be a part of
/// what each first visit fetches.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim();
        !(line.starts_with("//") || line.starts_with("/**") && line.ends_with("*/"))
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A style sheet without what only its readers need: lines of comment, empty lines, and what lines are set in
/// by.
fn tight(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let said = lines.filter(|line| {
        let is_comment = line.starts_with("/*") && line.ends_with("*/");
        !(line.is_empty() || is_comment)
    });
    said.flat_map(|line| [line, "\n"]).collect()
}

fn with_versioned_imports(text: &str, known: &[Asset]) -> String {
    known.iter().fold(text.to_owned(), |text, asset| {
        let (plain, versioned) = (
            format!("\"./{}\"", asset.name),
            format!("\"{}\"", asset.url),
        );
        text.replace(&plain, &versioned)
    })
}

/// The address of an icon of `icons.svg`, for `<use href>`.
#[must_use]
pub fn icon(name: &str) -> String {
    format!("{}#{name}", asset("icons.svg"))
}

/// The address of a file, with its digest; empty for a file that does not exist.
#[must_use]
pub fn asset(name: &str) -> &'static str {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or("", |asset| &asset.url)
}

/// The addresses of the modules that every page runs, so that they are fetched at once.
pub fn modules() -> impl Iterator<Item = &'static str> {
    ASSETS
        .iter()
        .filter(|asset| asset.media_type == JS)
        .map(|asset| asset.url.as_str())
}

/// The answer to `GET /canvas/assets/{file}?v={version}`; none for a file that does not exist.
///
/// Only a file that is what its address says may be kept: while nodes of two versions run side by
/// side, the page of one may ask the other.
#[must_use]
pub fn serve(file: &str, version: Option<&str>, request: &HeaderMap) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == file)?;
    let caching = if version == Some(asset.version.as_str()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    let compressed = asset.compressed.as_ref().filter(|_| takes_gzip(request));
    let mut response = Response::new(Body::from(compressed.unwrap_or(&asset.body).clone()));
    let fields = response.headers_mut();
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        fields.insert(name, HeaderValue::from_static(value));
    }
    if compressed.is_some() {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

/// Whether the request names gzip, and not with a weight: who weighs codings gets the plain file.
fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

/// How much a browser fetches besides the page that it has never seen before.
#[cfg(test)]
pub(crate) fn transfer_bytes() -> usize {
    ASSETS
        .iter()
        .map(|asset| {
            asset
                .compressed
                .as_ref()
                .map_or(asset.body.len(), Bytes::len)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(response: &Response, name: &str) -> String {
        response.headers()[name].to_str().unwrap().to_owned()
    }

    #[test]
    fn file_is_kept_forever_under_its_own_digest_alone() {
        let url = asset("canvas.css");
        let (path, version) = url.split_once("?v=").unwrap();
        assert_eq!(path, "/canvas/assets/canvas.css");
        assert_eq!(version.len(), 12);
        let right = serve("canvas.css", Some(version), &HeaderMap::new()).unwrap();
        assert_eq!(
            header_of(&right, "cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(header_of(&right, "content-type"), CSS);
        assert_eq!(header_of(&right, "x-content-type-options"), "nosniff");
        for wrong in [None, Some("0123456789ab")] {
            let other = serve("canvas.css", wrong, &HeaderMap::new()).unwrap();
            assert_eq!(header_of(&other, "cache-control"), "no-store");
        }
        assert!(serve("../canvas.css", None, &HeaderMap::new()).is_none());
        assert_eq!(asset("no-such.css"), "");
    }

    #[test]
    fn file_is_compressed_for_whoever_takes_it() {
        for (takes, coding) in [
            ("gzip, deflate, br", Some("gzip")),
            ("br", None),
            ("gzip;q=0", None),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(takes));
            let response = serve("canvas.css", None, &request).unwrap();
            let found = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(
                found.map(|value| value.to_str().unwrap()),
                coding,
                "{takes}"
            );
            assert_eq!(header_of(&response, "vary"), "accept-encoding");
        }
        let sum = |size: fn(&Asset) -> usize| ASSETS.iter().map(size).sum::<usize>();
        let compressed = sum(|asset| asset.compressed.as_ref().unwrap().len());
        assert!(compressed * 2 < sum(|asset| asset.body.len()));
    }

    #[test]
    fn every_import_of_a_module_has_its_digest() {
        for asset in ASSETS.iter().filter(|asset| asset.media_type == JS) {
            let text = std::str::from_utf8(&asset.body).unwrap();
            assert!(!text.contains("from \"./"), "{}", asset.name);
            assert!(!text.contains("import \"./"), "{}", asset.name);
        }
    }

    #[test]
    fn nothing_is_fetched_from_another_host() {
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(&asset.body).unwrap();
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://"), "{}", asset.name);
            assert!(!foreign.contains("https://"), "{}", asset.name);
        }
    }
}
