//! The flags of `serve` about receivers of the records: syslog and OpenTelemetry.

use clap::Args;

/// Where the records of the audit trails are sent as they come.
#[derive(Debug, Clone, Default, Args, PartialEq, Eq)]
#[command(next_help_heading = "Records to a SIEM")]
pub(crate) struct SiemFlags {
    /// A receiver of syslog (RFC 5424): tcp://host:601, tls://host:6514, udp://host:514 or
    /// unix:///run/claviger/log; may be repeated [env: CLAVIGER_SYSLOG, with commas between]
    #[arg(long, value_name = "URL")]
    syslog: Vec<String>,
    /// A receiver of OTLP logs over HTTP, such as http://127.0.0.1:4318/v1/logs; may be repeated
    /// [env: CLAVIGER_OTLP_LOGS, with commas between]
    #[arg(long, value_name = "URL")]
    otlp_logs: Vec<String>,
    /// Which records are sent: signals, changes or all [env: CLAVIGER_SIEM_RECORDS] [default: all]
    #[arg(long, value_name = "WHICH")]
    siem_records: Option<String>,
    /// The authorities by which tls:// and https:// receivers are believed, in PEM
    /// [env: CLAVIGER_SIEM_CA_FILE] [default: those of the system]
    #[arg(long, value_name = "PATH")]
    siem_ca_file: Option<String>,
    /// A file with headers for OTLP receivers, one `Name: value` a line
    /// [env: CLAVIGER_OTLP_HEADERS_FILE]
    #[arg(long, value_name = "PATH")]
    otlp_headers_file: Option<String>,
    /// The private enterprise number in structured data [env: CLAVIGER_SYSLOG_ENTERPRISE]
    /// [default: 32473]
    #[arg(long, value_name = "NUMBER")]
    syslog_enterprise: Option<String>,
}

impl SiemFlags {
    /// For the server's configuration.
    pub(crate) fn flags(self) -> claviger_server::config::SiemFlags {
        let joined = |all: Vec<String>| Some(all.join(",")).filter(|text| !text.is_empty());
        claviger_server::config::SiemFlags {
            syslog: joined(self.syslog),
            otlp_logs: joined(self.otlp_logs),
            records: self.siem_records,
            ca_file: self.siem_ca_file,
            otlp_headers_file: self.otlp_headers_file,
            enterprise: self.syslog_enterprise,
        }
    }
}
