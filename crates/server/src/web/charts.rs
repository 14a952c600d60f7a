//! Pictures of numbers as SVG without style attributes, and the tree of a key's line.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::web::{
    parts::KeyStatus,
    time::{When, thousands},
};

/// The height of a sparkline, and the most that a bar of it rises.
const SPARK_HEIGHT: u64 = 20;
const SPARK_RISE: u64 = 18;
/// How wide a day of it is.
const SPARK_DAY: u64 = 3;
/// The height of a bar chart in its own units.
const CHART_HEIGHT: u64 = 100;
/// From one bar of a chart to the next, and how wide each is.
const CHART_STEP: u64 = 10;
const CHART_BAR: u64 = 7;

/// A row of small bars, one a day, the last one today: prints `<svg>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spark {
    /// The number of each day.
    pub days: Vec<u64>,
}

impl Spark {
    /// All days together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.days
            .iter()
            .fold(0, |sum, day| sum.saturating_add(*day))
    }

    /// What it shows, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let days = self.days.len();
        match self.total() {
            0 => format!("No calls in {days} days"),
            1 => format!("1 call in {days} days"),
            total => format!("{} calls in {days} days", thousands(total)),
        }
    }
}

impl Spark {
    /// Draws the outline of all bars in one line from left to right. Days that are as high as the day
    /// before them lengthen its step, so a quiet key costs few bytes.
    fn steps(&self, f: &mut fmt::Formatter<'_>, most: u64) -> fmt::Result {
        let mut height = 0;
        let mut run = 0_u64;
        write!(f, "M0 {SPARK_HEIGHT}")?;
        // The last step leads back to the ground.
        let days = self.days.iter().map(Some).chain([None]);
        for day in days {
            // A day with any call at all shows.
            let rise = day.map_or(0, |day| scaled(*day, most, SPARK_RISE));
            if rise != height || day.is_none() {
                if run > 0 {
                    write!(f, "h{}", run * SPARK_DAY)?;
                }
                if rise > height {
                    write!(f, "v-{}", rise - height)?;
                } else if rise < height {
                    write!(f, "v{}", height - rise)?;
                }
                (height, run) = (rise, 0);
            }
            run += 1;
        }
        Ok(())
    }
}

impl HtmlSafe for Spark {}

impl fmt::Display for Spark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words();
        let most = self.days.iter().copied().max().unwrap_or(0);
        let idle = if most == 0 { " idle" } else { "" };
        write!(
            f,
            "<svg class=\"spark{idle}\" viewBox=\"0 0 90 20\" role=\"img\" aria-label=\"{words}\"><path d=\""
        )?;
        if most == 0 {
            write!(f, "M0 19.5h90")?;
        } else {
            self.steps(f, most)?;
        }
        write!(f, "\"/></svg>")
    }
}

/// `value` of `most` on a scale of `height`; more than nothing is at least 1.
fn scaled(value: u64, most: u64, height: u64) -> u64 {
    if value == 0 || most == 0 {
        return 0;
    }
    let exact = u128::from(value) * u128::from(height) / u128::from(most);
    u64::try_from(exact).unwrap_or(height).clamp(1, height)
}

/// One bar of a chart: what went well, and what was refused, on top of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// What it stands for, such as `20 Nov`.
    pub label: String,
    /// What went well.
    pub good: u64,
    /// What was refused.
    pub refused: u64,
}

/// A bar chart of calls over time. The macro `bars` shows it, with the same numbers as a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// The bars, oldest first.
    pub bars: Vec<Bar>,
}

/// A bar as it is drawn, from above.
#[derive(Debug, Clone, Copy)]
pub struct DrawnBar<'a> {
    /// What it stands for.
    pub bar: &'a Bar,
    /// From the left.
    pub x: u64,
    /// The upper edge of what went well.
    pub good_y: u64,
    /// The height of what went well.
    pub good_height: u64,
    /// The upper edge of what was refused.
    pub refused_y: u64,
    /// The height of what was refused.
    pub refused_height: u64,
}

impl Bars {
    /// The highest bar.
    #[must_use]
    pub fn most(&self) -> u64 {
        let sums = self
            .bars
            .iter()
            .map(|bar| bar.good.saturating_add(bar.refused));
        sums.max().unwrap_or(0)
    }

    /// The highest bar, as people write it.
    #[must_use]
    pub fn most_words(&self) -> String {
        thousands(self.most())
    }

    /// The sum of all, in words: `1,204 calls, 3 refused`.
    #[must_use]
    pub fn words(&self) -> String {
        let sum = |part: fn(&Bar) -> u64| {
            self.bars
                .iter()
                .fold(0_u64, |sum, bar| sum.saturating_add(part(bar)))
        };
        let (good, refused) = (sum(|bar| bar.good), sum(|bar| bar.refused));
        let all = good.saturating_add(refused);
        let plural = if all == 1 { "" } else { "s" };
        format!(
            "{} call{plural}, {} refused",
            thousands(all),
            thousands(refused)
        )
    }

    /// The width of the picture.
    #[must_use]
    pub fn width(&self) -> u64 {
        u64::try_from(self.bars.len())
            .unwrap_or(0)
            .saturating_mul(CHART_STEP)
            .max(CHART_STEP)
    }

    /// How wide a bar is.
    #[must_use]
    pub const fn bar_width(&self) -> u64 {
        CHART_BAR
    }

    /// What the first bar stands for.
    #[must_use]
    pub fn first(&self) -> &str {
        self.bars.first().map_or("", |bar| &bar.label)
    }

    /// What the last bar stands for.
    #[must_use]
    pub fn last(&self) -> &str {
        self.bars.last().map_or("", |bar| &bar.label)
    }

    /// The bars as they are drawn.
    #[must_use]
    pub fn drawn(&self) -> Vec<DrawnBar<'_>> {
        let most = self.most();
        (0_u64..)
            .zip(&self.bars)
            .map(|(at, bar)| {
                let refused_height = scaled(bar.refused, most, CHART_HEIGHT);
                let room = CHART_HEIGHT - refused_height;
                let good_height = scaled(bar.good, most, CHART_HEIGHT).min(room);
                DrawnBar {
                    bar,
                    x: at.saturating_mul(CHART_STEP) + 1,
                    good_y: CHART_HEIGHT - good_height,
                    good_height,
                    refused_y: room - good_height,
                    refused_height,
                }
            })
            .collect()
    }
}

/// A key in the tree of its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRow {
    /// How many generations it is below the top.
    pub depth: usize,
    /// Its name, or the person or org at the top.
    pub name: String,
    /// The public name of its secret; empty for a person or the org.
    pub prefix: String,
    /// Its page; empty for none.
    pub href: String,
    /// What it is now.
    pub status: Option<KeyStatus>,
    /// When it was last used.
    pub last_used: Option<When>,
    /// It is the one that the page is about.
    pub is_current: bool,
}

/// The tree of a key's line: who made it, and whom it made. The macro `tree` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// From the top, each key before those that it made. A row is at most one deeper than the row
    /// before it.
    pub rows: Vec<TreeRow>,
}

/// A row with what follows it in nested lists.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    /// The row.
    pub row: &'a TreeRow,
    /// A list of children begins after it.
    pub opens: bool,
    /// This many lists end after it.
    pub closes: usize,
}

impl Tree {
    /// The rows with the beginnings and ends of nested lists.
    #[must_use]
    pub fn branches(&self) -> Vec<Branch<'_>> {
        // What claims to be deeper than one below its parent is taken as one below it.
        let mut depth = 0_usize;
        let depths: Vec<usize> = self
            .rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                depth = if at == 0 {
                    0
                } else {
                    row.depth.clamp(1, depth + 1)
                };
                depth
            })
            .collect();
        let following = depths.iter().skip(1).copied().chain([0]);
        self.rows
            .iter()
            .zip(depths.iter().copied().zip(following))
            .map(|(row, (depth, next))| Branch {
                row,
                opens: next > depth,
                closes: depth.saturating_sub(next),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spark_shows_every_day_with_a_call() {
        let spark = Spark {
            days: vec![0, 1, 900],
        };
        assert_eq!(
            spark.to_string(),
            "<svg class=\"spark\" viewBox=\"0 0 90 20\" role=\"img\" aria-label=\"901 calls in 3 days\"><path d=\"M0 20h3v-1h3v-17h3v18\"/></svg>"
        );
        let idle = Spark { days: vec![0; 30] };
        assert_eq!(idle.words(), "No calls in 30 days");
        assert!(idle.to_string().contains("spark idle"));
    }

    #[test]
    fn bars_stay_within_the_picture() {
        let bar = |good, refused| Bar {
            label: String::new(),
            good,
            refused,
        };
        let bars = Bars {
            title: String::new(),
            bars: vec![bar(0, 0), bar(u64::MAX, 1), bar(1, u64::MAX), bar(7, 3)],
        };
        for drawn in bars.drawn() {
            assert!(drawn.good_height + drawn.refused_height <= CHART_HEIGHT);
            assert_eq!(drawn.good_y + drawn.good_height, CHART_HEIGHT);
            assert_eq!(drawn.refused_y + drawn.refused_height, drawn.good_y);
        }
        assert_eq!(bars.width(), 40);
    }

    #[test]
    fn every_list_of_a_tree_that_opens_closes() {
        for depths in [vec![0, 1, 2, 2, 1, 2, 3], vec![0], vec![3, 9, 0, 1], vec![]] {
            let row = |depth: &usize| TreeRow {
                depth: *depth,
                name: String::new(),
                prefix: String::new(),
                href: String::new(),
                status: None,
                last_used: None,
                is_current: false,
            };
            let tree = Tree {
                rows: depths.iter().map(row).collect(),
            };
            let branches = tree.branches();
            let opened = branches.iter().filter(|branch| branch.opens).count();
            let closed: usize = branches.iter().map(|branch| branch.closes).sum();
            assert_eq!(opened, closed, "{depths:?}");
        }
    }
}
