//! The command line as it is written: every command and every flag.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use claviger_server::config::Flags;

use crate::error::EXIT_HELP;

pub(crate) mod advice;
pub(crate) mod anchors;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod keys;
pub(crate) mod members;
pub(crate) mod orgs;
pub(crate) mod pair;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod requests;
pub(crate) mod scan;
pub(crate) mod secrets;
pub(crate) mod siem;
pub(crate) mod workspaces;

/// Org-scoped API keys for agents, pipelines and integrations
///
/// One binary: the server, and the client that speaks to it. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, after_help = EXIT_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What `serve` takes, for when the command is left out.
    #[command(flatten)]
    pub(crate) serve: ServeFlags,
    /// What to do; `serve` if left out.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server to speak to [env: CLAVIGER_URL] [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The org to act on, by name or id: for ADMIN_TOKEN alone [env: CLAVIGER_ORG]
    #[arg(long, global = true, value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// Read the token from this file, `-` for standard input, instead of CLAVIGER_TOKEN
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print the API's JSON, as one document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no colour [env: NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server; so does `claviger` without a command
    Serve(ServeFlags),
    /// Mint, list, change, rotate, suspend and revoke org API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Show and set what the org asks of its keys
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Ask for keys and for more rights; approve, deny and collect
    #[command(subcommand)]
    Requests(requests::RequestsCommand),
    /// Create, list, change and delete workspaces
    #[command(subcommand, visible_alias = "ws")]
    Workspaces(workspaces::WorkspacesCommand),
    /// Set, list, reveal and delete the secrets of a workspace
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Add, list, change and remove the channels of a workspace
    #[command(subcommand)]
    Channels(channels::ChannelsCommand),
    /// Read the audit trail
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show who the token is, and what it may do
    Whoami,
    /// List people; suspend, restore, remove them, or hand over what they made
    #[command(subcommand)]
    Members(members::MembersCommand),
    /// Make a link with which one browser signs in to the Canvas, once, within ten minutes
    LoginLink,
    /// Create, list and delete orgs: for ADMIN_TOKEN alone
    #[command(subcommand)]
    Orgs(orgs::OrgsCommand),
    /// Find secrets in files and in git history, by shape and checksum; exit 10 if there are any
    Scan(scan::ScanArgs),
    /// Say which settings are in force, where they come from, and what is wrong; exit 1 if something is
    Doctor(ServeFlags),
    /// Print the OpenAPI description of the API
    Openapi,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of this program or of one command
    Man {
        /// A command, such as `keys mint`
        command: Vec<String>,
    },
}

/// Where data lies.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
pub(crate) struct DataFlags {
    /// The configuration file [env: CLAVIGER_CONFIG]
    #[arg(long, value_name = "PATH")]
    config: Option<String>,
    /// The directory for the database and the master key [env: CLAVIGER_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// `sqlite:PATH` or `postgres://...` [env: CLAVIGER_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The file with the master key: 32 random bytes in base64 [env: CLAVIGER_MASTER_KEY_FILE]
    #[arg(long, value_name = "PATH")]
    master_key_file: Option<String>,
    /// The file with the keys that sign the audit trail [env: CLAVIGER_LEDGER_KEY_FILE]
    #[arg(long, value_name = "PATH")]
    ledger_key_file: Option<String>,
}

/// How to serve. The variables ADMIN_TOKEN and ADMIN_TOKEN_FILE are read too.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
#[command(after_help = "\
ADMIN_TOKEN, or ADMIN_TOKEN_FILE with the path of a file, sets the break-glass credential: at least \
32 characters. It is never an argument. Flags go before variables, variables before the file.")]
pub(crate) struct ServeFlags {
    #[command(flatten)]
    data: DataFlags,
    /// Start although the keys of the ledger are others than those that signed the audit trail; each trail
    /// says so
    #[arg(long)]
    accept_ledger_key: bool,
    /// The address to listen on [env: CLAVIGER_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Who may mint the first key with no credential: loopback, any or off [env: CLAVIGER_BOOTSTRAP]
    #[arg(long, value_name = "WHO")]
    bootstrap: Option<String>,
    /// When an audit record is safe: relaxed, durable or synced [env: CLAVIGER_AUDIT]
    #[arg(long, value_name = "MODE")]
    audit: Option<String>,
    /// How log lines look: text or json [env: CLAVIGER_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// The address by which others reach this server [env: CLAVIGER_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The address for /metrics alone [env: CLAVIGER_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// Whether deprecated workspace tokens are accepted: on or off [env: CLAVIGER_WORKSPACE_TOKENS]
    #[arg(long, value_name = "ON|OFF")]
    workspace_tokens: Option<String>,
    /// Proxies whose X-Forwarded-For is believed: address ranges with commas between
    /// [env: CLAVIGER_TRUSTED_PROXIES]
    #[arg(long, value_name = "CIDRS")]
    trusted_proxies: Option<String>,
    /// How many keys one key may mint in a minute [env: CLAVIGER_MINTS_PER_MINUTE]
    #[arg(long, value_name = "N")]
    mints_per_minute: Option<String>,
    /// After how long without a use a person's session ends [env: CLAVIGER_SESSION_IDLE]
    /// [default: 2h]
    #[arg(long, value_name = "DURATION")]
    session_idle: Option<String>,
    /// How long a person's session lasts at most [env: CLAVIGER_SESSION_MAX] [default: 24h]
    #[arg(long, value_name = "DURATION")]
    session_max: Option<String>,
    /// What secrets begin with: 2 to 4 letters [env: CLAVIGER_BRAND]
    #[arg(long, value_name = "LETTERS")]
    brand: Option<String>,
    /// Take reports of GitHub's secret scanning: on, off, or where GitHub's keys come from: an https
    /// address or a file [env: CLAVIGER_GITHUB_SECRET_SCANNING]
    #[arg(long, value_name = "ON|OFF|SOURCE")]
    github_secret_scanning: Option<String>,
    #[command(flatten)]
    anchors: anchors::AnchorFlags,
    #[command(flatten)]
    siem: siem::SiemFlags,
    #[command(flatten)]
    provider: provider::ProviderFlags,
}

impl DataFlags {
    /// For the server's configuration.
    pub(crate) fn flags(&self) -> Flags {
        let data = self.clone();
        Flags {
            config: data.config,
            data_dir: data.data_dir,
            database_url: data.database_url,
            master_key_file: data.master_key_file,
            ledger_key_file: data.ledger_key_file,
            ..Flags::default()
        }
    }
}

impl ServeFlags {
    /// For the server's configuration.
    pub(crate) fn flags(&self) -> Flags {
        let serve = self.clone();
        let data = serve.data.flags();
        Flags {
            config: data.config,
            data_dir: data.data_dir,
            database_url: data.database_url,
            master_key_file: data.master_key_file,
            ledger_key_file: data.ledger_key_file,
            accepts_ledger_key: serve.accept_ledger_key,
            listen: serve.listen,
            bootstrap: serve.bootstrap,
            audit: serve.audit,
            log_format: serve.log_format,
            public_url: serve.public_url,
            metrics_listen: serve.metrics_listen,
            workspace_tokens: serve.workspace_tokens,
            trusted_proxies: serve.trusted_proxies,
            mints_per_minute: serve.mints_per_minute,
            brand: serve.brand,
            session_idle: serve.session_idle,
            session_max: serve.session_max,
            github_secret_scanning: serve.github_secret_scanning,
            accepts_rollback: serve.anchors.accept_rollback,
            anchors: serve.anchors.flags(),
            siem: serve.siem.flags(),
            provider: serve.provider.flags(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, Command};

    fn usage(words: &[&str]) -> Option<clap::error::ErrorKind> {
        Cli::try_parse_from(words).err().map(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_no_mistake() {
        assert!(Cli::try_parse_from(["claviger"]).is_ok_and(|cli| cli.command.is_none()));
    }

    #[test]
    fn every_setting_reaches_the_server() {
        let words = "claviger serve --config 1 --listen 2 --data-dir 3 --database-url 4 \
                     --master-key-file 5 --bootstrap 6 --audit 7 --log-format 8 --public-url 9 \
                     --metrics-listen 10 --workspace-tokens 11 --mints-per-minute 12 --brand 13 --trusted-proxies 14 \
                     --github-secret-scanning 15 --oidc-issuer 16 --oidc-client-id 17 --oidc-org-claim 18 \
                     --oidc-role-claim 19 --oidc-audience 20 --oidc-scopes 21 --workos-client-id 22 \
                     --workos-api-url 23 --workos-issuer 24 --roles 25 --orgs 26 \
                     --session-idle 27 --session-max 28 --ledger-key-file 29 --accept-ledger-key --anchor-file 30 \
                     --anchor-webhook 31 --witness 32 --witness 33 --anchor-every 34 --accept-rollback --syslog 35 --syslog 36 \
                     --otlp-logs 37 --siem-records 38 --siem-ca-file 39 --otlp-headers-file 40 --syslog-enterprise 41";
        let cli = Cli::try_parse_from(words.split_whitespace()).expect("a command line");
        let Some(Command::Serve(serve)) = cli.command else {
            panic!("not serve")
        };
        let said = format!("{:?}", serve.flags());
        assert!(!said.contains("None") && !said.contains("false"), "{said}");
        assert!(said.contains("\"32,33\""), "{said}");
    }

    #[test]
    fn flags_that_exclude_each_other_are_refused() {
        use clap::error::ErrorKind::{ArgumentConflict, InvalidValue, UnknownArgument};
        let mint = ["claviger", "keys", "mint", "ci"];
        let with = |more: &[&'static str]| usage(&[&mint, more].concat());
        assert_eq!(with(&["--preset", "reader", "--workspace", "*"]), None);
        assert_eq!(
            with(&["--preset", "reader", "--permission", "*"]),
            Some(ArgumentConflict)
        );
        assert_eq!(
            with(&["--workspace", "*", "--label", "a=b"]),
            Some(ArgumentConflict)
        );
        assert_eq!(
            with(&["--expires-in", "1d", "--expires-at", "x"]),
            Some(ArgumentConflict)
        );
        assert_eq!(with(&["--token", "mole_x"]), Some(UnknownArgument));
        assert_eq!(
            usage(&["claviger", "keys", "list", "--limit", "0"]),
            Some(clap::error::ErrorKind::ValueValidation)
        );
        assert_eq!(
            usage(&["claviger", "completions", "perl"]),
            Some(InvalidValue)
        );
    }
}
