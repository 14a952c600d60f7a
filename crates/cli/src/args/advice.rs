//! `claviger keys usage`, `advice`, `narrow` and `report`.

use clap::Args;

use super::pair::segment;

/// `claviger keys usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// From when on (RFC 3339); 7 days ago if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until when (RFC 3339); now if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// How to add up over time: hour or day
    #[arg(long, value_name = "STEP")]
    pub(crate) by: Option<String>,
}

/// What advice is asked for.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdviceArgs {
    /// Its id
    #[arg(value_parser = segment)]
    pub(crate) id: String,
    /// How far to look back: 24h, 30d, at most 180d; 30d if left out
    #[arg(long, value_name = "DURATION")]
    pub(crate) window: Option<String>,
    /// Suggest the routes too
    #[arg(long)]
    pub(crate) endpoints: bool,
    /// Suggest the addresses too, if there are at most 16
    #[arg(long)]
    pub(crate) addresses: bool,
}

/// `claviger keys narrow`.
#[derive(Debug, Args)]
pub(crate) struct NarrowArgs {
    #[command(flatten)]
    pub(crate) advice: AdviceArgs,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `claviger keys report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// From which age on a key that was never used is reported; 7d if left out
    #[arg(long, value_name = "DURATION")]
    pub(crate) unused_for: Option<String>,
    /// From when on a key counts as idle; 90d if left out
    #[arg(long, value_name = "DURATION")]
    pub(crate) idle_for: Option<String>,
    /// How many findings at most; all if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}
