//! `claviger scan`: secrets in files and in the history of git. Shape and checksum decide what is one;
//! the server is asked only whether one is live, and only on request.

use std::{
    collections::HashSet,
    io::{self, Read},
    path::{Path, PathBuf},
};

use claviger_core::{
    scan::{Scanner, find_secrets, redact},
    token::{Brand, Prefix, PrefixError},
};
use zeroize::Zeroizing;

use self::{
    check::{Inquiry, Secrets},
    report::{Finding, Progress, Report},
};
use crate::{
    args::{Global, scan::ScanArgs},
    error::Failure,
    output::Output,
};

mod check;
mod files;
mod history;
mod report;

/// How much of a file is in memory at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many findings are kept. A tree with more of them is no leak, but a heap of test data.
const FINDINGS_MAX: usize = 10_000;

/// Scans all that the arguments name.
pub(super) fn run(args: &ScanArgs, global: &Global, out: &Output) -> Result<(), Failure> {
    let brands = brands(&args.brand);
    let inquiry = Inquiry::new(args, global, out)?;
    let unit = if args.history { "object" } else { "file" };
    let mut scan = Scan::new(&brands, excepted(&args.except)?, unit, out);
    scan.secrets = inquiry.as_ref().map(|_| Secrets::default());
    let here = [PathBuf::from(".")];
    let paths = match args.paths.as_slice() {
        [] => here.as_slice(),
        named => named,
    };
    if args.history {
        history::scan(paths, &mut scan)?;
    } else {
        for path in paths {
            files::scan(path, &mut scan);
        }
    }
    scan.end(inquiry.as_ref())
}

/// The brands to look for, each once.
fn brands(given: &[Brand]) -> Vec<Brand> {
    let given = match given {
        [] => [Brand::ORG_KEY].as_slice(),
        given => given,
    };
    let mut brands = vec![Brand::WORKSPACE_TOKEN];
    for brand in given {
        if !brands.contains(brand) {
            brands.push(*brand);
        }
    }
    brands
}

fn excepted(given: &[String]) -> Result<HashSet<Prefix>, Failure> {
    let mut excepted = HashSet::new();
    for text in given {
        excepted.insert(text.parse().map_err(|error: PrefixError| {
            let example = "mole_a1b2c3d4";
            Failure::Usage(format!(
                "--except: {error}; give one as `scan` prints it: {example}"
            ))
        })?);
    }
    Ok(excepted)
}

/// What is being read, as a person knows it.
#[derive(Debug, Clone)]
struct Source {
    /// The path of a file; what git calls the rest.
    file: String,
    /// Git's object.
    object: Option<String>,
}

/// A scan under way.
struct Scan<'a> {
    brands: &'a [Brand],
    excepted: HashSet<Prefix>,
    report: Report,
    /// In the history, where the same text comes back in every version of a file: what was found in
    /// which file.
    seen: HashSet<(Prefix, String)>,
    /// The secrets themselves, where the server is to be asked about them.
    secrets: Option<Secrets>,
    buffer: Zeroizing<Vec<u8>>,
    progress: Progress<'a>,
    out: &'a Output,
}

impl<'a> Scan<'a> {
    fn new(
        brands: &'a [Brand],
        excepted: HashSet<Prefix>,
        unit: &'static str,
        out: &'a Output,
    ) -> Self {
        Self {
            brands,
            excepted,
            report: Report::new(unit),
            seen: HashSet::new(),
            secrets: None,
            buffer: Zeroizing::new(vec![0; CHUNK_BYTES]),
            progress: Progress::new(out),
            out,
        }
    }

    /// Whether there is no room for more findings.
    fn is_full(&self) -> bool {
        self.report.findings.len() >= FINDINGS_MAX
    }

    /// The path as it may be printed: nothing keeps a secret from being the name of a file.
    fn shown(&self, path: &Path) -> String {
        // What begins at the directory of the caller need not say so.
        let path = match path.strip_prefix(".") {
            Ok(below) if below != Path::new("") => below,
            _ => path,
        };
        redact(self.brands, &path.to_string_lossy())
    }

    /// Looks at a name: of a file, or of a directory.
    fn look_at_name(&mut self, name: &str, source: &Source) {
        let found: Vec<_> = find_secrets(self.brands, name.as_bytes()).collect();
        for found in found {
            let secret = name.as_bytes().get(found.range).unwrap_or_default();
            self.add(Finding::new(found.prefix, source, None), secret);
        }
    }

    /// Reads to the end.
    fn read(&mut self, source: &Source, input: &mut dyn Read) -> io::Result<()> {
        self.report.scanned = self.report.scanned.saturating_add(1);
        let mut scanner = Scanner::new(self.brands);
        while !self.is_full() {
            let count = match input.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let chunk = self.buffer.get(..count).unwrap_or_default();
            let mut all = Vec::new();
            scanner.push_each(chunk, &mut |found, secret| {
                all.push((found, Zeroizing::new(secret.to_vec())));
            });
            for (found, secret) in all {
                let place = Some((found.line, found.column));
                self.add(Finding::new(found.prefix, source, place), &secret);
            }
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.report.bytes = self.report.bytes.saturating_add(count);
            self.progress.show(&self.report);
        }
        Ok(())
    }

    fn add(&mut self, mut finding: Finding, secret: &[u8]) {
        let is_news = !self.excepted.contains(&finding.prefix)
            // In a file every place counts: each has to be mended.
            && (finding.object.is_none()
                || self.seen.insert((finding.prefix, finding.file.clone())));
        if is_news && !self.is_full() {
            if let Some(secrets) = &mut self.secrets {
                finding.secret = secrets.keep(secret);
            }
            self.report.findings.push(finding);
        }
    }

    /// Says what could not be scanned. The scan goes on.
    fn complain(&mut self, sentence: &str) {
        self.report.unreadable = self.report.unreadable.saturating_add(1);
        self.progress.clear();
        self.out.warning(sentence);
    }

    /// Says what was found and, if the server is to be asked, how it stands.
    fn end(mut self, inquiry: Option<&Inquiry<'_>>) -> Result<(), Failure> {
        self.progress.clear();
        if self.is_full() {
            self.report.is_complete = false;
            self.out.warning(&format!(
                "the scan stopped at {FINDINGS_MAX} findings; scan less at a time to see the others"
            ));
        }
        match (inquiry, &self.secrets) {
            (Some(inquiry), Some(secrets)) if !self.report.findings.is_empty() => {
                inquiry.conclude(&mut self.report, secrets)
            }
            _ => {
                self.report.show(self.out)?;
                self.report.verdict(self.out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_core::token::Brand;

    use super::{brands, excepted};

    #[test]
    fn workspace_tokens_are_always_looked_for() {
        let acme: Brand = "acme".parse().expect("a brand");
        assert_eq!(brands(&[]), [Brand::WORKSPACE_TOKEN, Brand::ORG_KEY]);
        assert_eq!(brands(&[acme, acme]), [Brand::WORKSPACE_TOKEN, acme]);
        assert_eq!(brands(&[Brand::WORKSPACE_TOKEN]), [Brand::WORKSPACE_TOKEN]);
    }

    #[test]
    fn only_prefixes_are_left_out_and_a_whole_secret_is_not_repeated() {
        assert!(excepted(&["mole_a1b2c3d4".to_owned()]).is_ok_and(|all| all.len() == 1));
        let secret = format!("mole_{}", "a".repeat(49));
        let said = excepted(&[secret]).expect_err("no prefix").to_string();
        assert!(!said.contains("aaaa"), "{said}");
    }
}
