//! From what was seen to what is proved.

use super::{Claims, FINDINGS_MAX, Finding, Judged, Kind, Report, Source, Standing, Verifier};
use crate::ledger::tree::tile::TILE_WIDTH;

impl<C: Claims> Verifier<C> {
    /// The report on an export that has the records up to the number `have`.
    pub(super) fn report(mut self, have: u64) -> Report {
        let (mut findings, more) = self.gaps.findings();
        for finding in &mut findings {
            if finding.kind == Kind::Removed && finding.first > have {
                finding.kind = Kind::CutOff;
            }
        }
        let by_records = self.trust_records(&mut findings);
        let vouched = if by_records {
            self.departed_at.unwrap_or_default()
        } else {
            self.find_mismatch(&mut findings);
            self.fits()
        };
        self.find_altered_tiles(vouched, &mut findings);
        let more = more.saturating_add(self.find_forks(&mut findings));
        self.find_ends(have, &mut findings);
        if let Some((first, last)) = self.missing {
            let kind = Kind::HashMissing;
            findings.push(Finding { kind, first, last });
            for judged in &mut self.judged {
                if judged.standing == Standing::Ahead && judged.checkpoint.size >= first {
                    judged.standing = Standing::Unjudged;
                }
            }
        }
        let fits = self.judged.iter().rev().find(|judged| is_fit(judged));
        let proved = fits.map(|judged| judged.checkpoint);
        let size = proved.map_or(0, |proved| proved.size);
        let decided = self.decisions.proved(size, by_records);
        let excused = self.decisions.excuse(&decided, &mut findings);
        findings.sort_by_key(|finding| (finding.place(), finding.first));
        let beyond = findings.len().saturating_sub(FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        let mut of_records = findings.iter().filter(|f| f.kind != Kind::TilesAltered);
        let first = of_records.next().map_or(u64::MAX, Finding::place);
        Report {
            records: self.records,
            dropped: self.dropped.saturating_add(excused),
            decided,
            proved,
            intact: proved.map_or(0, |p| p.size.min(first.saturating_sub(1))),
            checkpoints: self.judged,
            findings,
            more: more.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX)),
        }
    }

    /// The size of the largest checkpoint that fits.
    fn fits(&self) -> u64 {
        let fits = self.judged.iter().filter(|judged| is_fit(judged));
        fits.map(|judged| judged.checkpoint.size).max().unwrap_or(0)
    }

    /// Where the records fit a larger checkpoint than the hashes do, the hashes are what is wrong.
    fn trust_records(&mut self, findings: &mut Vec<Finding>) -> bool {
        let sizes = self.own_fits.iter().filter_map(|at| self.judged.get(*at));
        let own = sizes.map(|judged| judged.checkpoint.size).max();
        let Some(own) = own.filter(|own| *own > self.fits()) else {
            return false;
        };
        for at in &self.own_fits {
            if let Some(judged) = self.judged.get_mut(*at) {
                judged.standing = Standing::Fits;
            }
        }
        findings.retain(|finding| finding.place() > own);
        let before = self.departed_at.unwrap_or_default();
        push(findings, Kind::HashesAltered, before, own);
        true
    }

    /// The first checkpoint beyond those that fit which does not: what lies between was changed.
    fn find_mismatch(&self, findings: &mut Vec<Finding>) {
        let fits = self.fits();
        let differs = |judged: &&Judged| {
            judged.standing == Standing::Differs && judged.checkpoint.size > fits
        };
        let Some(judged) = self.judged.iter().find(differs) else {
            return;
        };
        let size = judged.checkpoint.size;
        let known = findings.len();
        if self.blocks_fit >= size {
            for range in self.tree.differing() {
                let last = range.end.min(self.blocks_fit);
                push(findings, Kind::RootMismatch, range.start.max(fits), last);
            }
        }
        if findings.len() == known {
            push(findings, Kind::RootMismatch, fits, size);
        }
    }

    /// Among the hashes that are `vouched` for, whole blocks of which the export claims other roots. Nothing
    /// here relies on those, but others do who read the tiles.
    fn find_altered_tiles(&self, vouched: u64, findings: &mut Vec<Finding>) {
        let blocks = vouched - vouched % u64::from(TILE_WIDTH);
        for range in self.tree.differing() {
            let last = range.end.min(blocks);
            push(findings, Kind::TilesAltered, range.start, last);
        }
    }

    /// Signed trees that are not the beginning of one another; how many more there are than a report
    /// has room for. One pass, for an anchor file can have a line for every hour of years.
    fn find_forks(&self, findings: &mut Vec<Finding>) -> u64 {
        let fits = self.fits();
        let (mut found, mut more) = (0, 0);
        // They come by size. What fits, of the sizes before this one and of this one; the tree that came
        // last; and the size of the fork that did.
        let (mut before, mut fit, mut last, mut forked) = (0, 0, None, None);
        for judged in &self.judged {
            let (size, root) = (judged.checkpoint.size, judged.checkpoint.root);
            if last.is_none_or(|(other, _)| other < size) {
                before = fit;
            }
            if is_fit(judged) {
                fit = size;
            }
            let has_twin = last.is_some_and(|(other, of)| other == size && of != root);
            let is_wrong = judged.standing == Standing::Differs && size <= fits;
            last = Some((size, root));
            if !(has_twin || is_wrong) || forked == Some(size) {
                continue;
            }
            forked = Some(size);
            if found == FINDINGS_MAX {
                more += 1;
                continue;
            }
            found += 1;
            findings.push(Finding {
                kind: Kind::Fork,
                first: size.min(before + 1),
                last: size,
            });
        }
        more
    }

    /// What is covered and not there, and what is there and not covered.
    fn find_ends(&self, have: u64, findings: &mut Vec<Finding>) {
        let largest = |source| {
            let of_source = self.judged.iter().map(|judged| judged.checkpoint);
            let of_source = of_source.filter(move |checkpoint| checkpoint.source == source);
            of_source.map(|checkpoint| checkpoint.size).max()
        };
        let (export, anchor) = (largest(Source::Export), largest(Source::Anchor));
        if self.missing.is_some() {
            return;
        }
        let size = self.tree.size();
        let covered = export.unwrap_or(0).max(size);
        if covered > size {
            // Hashes that have no records may stand before those that are covered and unknown.
            let joins = |f: &&mut Finding| f.kind == Kind::CutOff && f.last == size;
            match findings.iter_mut().find(joins) {
                Some(cut) => cut.last = covered,
                None => push(findings, Kind::CutOff, size, covered),
            }
        }
        let anchored = anchor.unwrap_or(0);
        push(findings, Kind::Rollback, covered, anchored);
        let signed = export.max(anchor).unwrap_or(0);
        push(findings, Kind::Unsigned, signed, have);
    }
}

fn is_fit(judged: &Judged) -> bool {
    judged.standing == Standing::Fits
}

/// Adds a finding on the records behind `before`, up to `last`, if there are any.
fn push(findings: &mut Vec<Finding>, kind: Kind, before: u64, last: u64) {
    if before < last {
        let first = before + 1;
        findings.push(Finding { kind, first, last });
    }
}
