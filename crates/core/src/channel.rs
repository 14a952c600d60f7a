//! Channels: where an agent speaks to people, and which parts of a configuration are credentials.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::text::TextError;

/// The longest value of a configuration field in bytes.
const VALUE_BYTES_MAX: usize = 2048;

/// The kind of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Slack: an incoming webhook, or a bot token and a conversation.
    Slack,
    /// Discord: a webhook.
    Discord,
    /// Telegram: a bot token and a chat.
    Telegram,
    /// Lark (Feishu): a custom bot's webhook, with a signing secret if it has one.
    Lark,
    /// Any HTTP endpoint that takes JSON.
    Webhook,
}

/// The text names no kind of channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no kind of channel; there are `slack`, `discord`, `telegram`, `lark` and `webhook`"
)]
pub struct UnknownChannelKind(pub String);

impl ChannelKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Slack,
        Self::Discord,
        Self::Telegram,
        Self::Lark,
        Self::Webhook,
    ];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Lark => "lark",
            Self::Webhook => "webhook",
        }
    }

    /// The fields of its configuration.
    #[must_use]
    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::Slack => {
                const {
                    &[
                        Field::credential(
                            "webhook_url",
                            Check::Url(&["hooks.slack.com", "hooks.slack-gov.com"]),
                        ),
                        Field::credential("bot_token", Check::Begins("xoxb-")),
                        Field::plain("channel", Check::Text),
                    ]
                }
            }
            Self::Discord => {
                const {
                    &[Field::credential(
                        "webhook_url",
                        Check::Url(&[
                            "discord.com",
                            "discordapp.com",
                            "ptb.discord.com",
                            "canary.discord.com",
                        ]),
                    )]
                }
            }
            Self::Telegram => {
                const {
                    &[
                        Field::credential("bot_token", Check::TelegramToken),
                        Field::plain("chat_id", Check::TelegramChat),
                    ]
                }
            }
            Self::Lark => {
                const {
                    &[
                        Field::credential(
                            "webhook_url",
                            Check::Url(&["open.feishu.cn", "open.larksuite.com"]),
                        ),
                        Field::credential("signing_secret", Check::Text),
                    ]
                }
            }
            Self::Webhook => {
                const {
                    &[
                        Field::credential("url", Check::Url(&[])),
                        Field::credential("signing_secret", Check::Text),
                    ]
                }
            }
        }
    }

    /// The sets of fields of which exactly one must be given whole.
    const fn required(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Slack => &[&["webhook_url"], &["bot_token", "channel"]],
            Self::Discord | Self::Lark => &[&["webhook_url"]],
            Self::Telegram => &[&["bot_token", "chat_id"]],
            Self::Webhook => &[&["url"]],
        }
    }
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChannelKind {
    type Err = UnknownChannelKind;

    fn from_str(text: &str) -> Result<Self, UnknownChannelKind> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text).copied();
        found.ok_or_else(|| UnknownChannelKind(text.to_owned()))
    }
}

/// One field of a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in `config`.
    pub name: &'static str,
    /// Whether it is sealed and never comes back.
    pub is_credential: bool,
    check: Check,
}

#[derive(Debug, Clone, Copy)]
enum Check {
    /// Any short text.
    Text,
    /// Begins with this.
    Begins(&'static str),
    /// An https address on one of these hosts, or on any when the list is empty (then http too).
    Url(&'static [&'static str]),
    /// `<digits>:<35 characters>` as BotFather hands them out.
    TelegramToken,
    /// A number, or `@name`.
    TelegramChat,
}

impl Field {
    const fn credential(name: &'static str, check: Check) -> Self {
        Self {
            name,
            is_credential: true,
            check,
        }
    }

    const fn plain(name: &'static str, check: Check) -> Self {
        Self {
            name,
            is_credential: false,
            check,
        }
    }
}

/// A configuration that was checked, in its two halves.
///
/// It has no `Debug`: one half is credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// The kind.
    pub kind: ChannelKind,
    /// What may be shown.
    pub plain: BTreeMap<String, String>,
    /// What is sealed.
    pub credentials: BTreeMap<String, String>,
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConfig")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A field of a configuration is missing, unknown or malformed. Never quotes the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct ChannelError {
    /// The field of `config`.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

impl ChannelConfig {
    /// Checks a configuration as it was given.
    ///
    /// # Errors
    /// [`ChannelError`] naming the field.
    pub fn check(
        kind: ChannelKind,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, ChannelError> {
        let fail = |field: &str, reason: String| ChannelError {
            field: field.to_owned(),
            reason,
        };
        let mut config = Self {
            kind,
            plain: BTreeMap::new(),
            credentials: BTreeMap::new(),
        };
        for (name, value) in given {
            let Some(field) = kind.fields().iter().find(|field| field.name == name) else {
                let known: Vec<_> = kind.fields().iter().map(|field| field.name).collect();
                return Err(fail(
                    name,
                    format!("is no field of `{kind}`; there are {}", known.join(", ")),
                ));
            };
            field
                .check
                .apply(value)
                .map_err(|reason| fail(name, reason))?;
            let half = if field.is_credential {
                &mut config.credentials
            } else {
                &mut config.plain
            };
            half.insert(name.clone(), value.clone());
        }
        let whole = |set: &&&[&str]| set.iter().all(|name| given.contains_key(*name));
        match kind.required().iter().filter(whole).count() {
            1 => Ok(config),
            0 => {
                let sets: Vec<_> = kind
                    .required()
                    .iter()
                    .map(|set| set.join(" with "))
                    .collect();
                Err(fail("config", format!("needs {}", sets.join(", or "))))
            }
            _ => Err(fail(
                "config",
                "names two ways to deliver; give one".to_owned(),
            )),
        }
    }
}

impl Check {
    fn apply(self, value: &str) -> Result<(), String> {
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return Err(format!("must have 1 to {VALUE_BYTES_MAX} bytes"));
        }
        if let Some(c) = value.chars().find(|c| c.is_control()) {
            return Err(TextError::Invisible { code: u32::from(c) }.to_string());
        }
        match self {
            Self::Text => Ok(()),
            Self::Begins(start) if value.starts_with(start) && value.len() > start.len() => Ok(()),
            Self::Begins(start) => Err(format!("must begin with `{start}`")),
            Self::Url(hosts) => check_url(value, hosts),
            Self::TelegramToken => {
                let good = value.split_once(':').is_some_and(|(id, rest)| {
                    !id.is_empty()
                        && id.bytes().all(|b| b.is_ascii_digit())
                        && (30..=64).contains(&rest.len())
                        && rest
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
                });
                if good {
                    Ok(())
                } else {
                    Err("is not a bot token such as `123456:AA…`".to_owned())
                }
            }
            Self::TelegramChat => {
                let digits = value.strip_prefix('-').unwrap_or(value);
                let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                let is_name = value.strip_prefix('@').is_some_and(|name| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                });
                if is_number || is_name {
                    Ok(())
                } else {
                    Err("is not a number or `@name`".to_owned())
                }
            }
        }
    }
}

fn check_url(value: &str, hosts: &[&str]) -> Result<(), String> {
    let Ok(url) = url::Url::parse(value) else {
        return Err("is not an address".to_owned());
    };
    // Kept as it was written, so it must read the same to every parser.
    if url.as_str() != value && url.as_str() != format!("{value}/") {
        return Err("is not written in its normal form".to_owned());
    }
    let secure = url.scheme() == "https" || (hosts.is_empty() && url.scheme() == "http");
    if !secure {
        return Err("must be an `https` address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    match url.host_str() {
        Some(host) if hosts.is_empty() || hosts.contains(&host) => Ok(()),
        Some(_) => Err(format!("must be on {}", hosts.join(" or "))),
        None => Err("has no host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ChannelConfig, ChannelKind};

    fn check(kind: ChannelKind, pairs: &[(&str, &str)]) -> Result<ChannelConfig, String> {
        let given: BTreeMap<_, _> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        ChannelConfig::check(kind, &given).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_takes_its_documented_shape() {
        use ChannelKind::{Discord, Lark, Slack, Telegram, Webhook};
        let slack = check(Slack, &[("bot_token", "xoxb-1"), ("channel", "C1")]).expect("accepted");
        assert_eq!(slack.plain.keys().collect::<Vec<_>>(), ["channel"]);
        assert_eq!(slack.credentials.keys().collect::<Vec<_>>(), ["bot_token"]);
        check(
            Slack,
            &[("webhook_url", "https://hooks.slack.com/services/T/B/x")],
        )
        .expect("accepted");
        check(
            Discord,
            &[("webhook_url", "https://discord.com/api/webhooks/1/x")],
        )
        .expect("accepted");
        check(
            Telegram,
            &[
                ("bot_token", "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
                ("chat_id", "-100"),
            ],
        )
        .expect("accepted");
        check(
            Lark,
            &[(
                "webhook_url",
                "https://open.larksuite.com/open-apis/bot/v2/hook/x",
            )],
        )
        .expect("accepted");
        check(
            Webhook,
            &[
                ("url", "http://hooks.internal:9000/x"),
                ("signing_secret", "s"),
            ],
        )
        .expect("accepted");
    }

    #[test]
    fn what_is_wrong_is_named_and_the_value_is_not_quoted() {
        use ChannelKind::{Discord, Slack, Telegram, Webhook};
        type Row = (
            ChannelKind,
            &'static [(&'static str, &'static str)],
            &'static str,
        );
        let table: &[Row] = &[
            (Slack, &[], "config"),
            (Slack, &[("bot_token", "xoxb-hush")], "config"),
            (
                Slack,
                &[("bot_token", "hush"), ("channel", "C")],
                "bot_token",
            ),
            (
                Slack,
                &[
                    ("webhook_url", "https://hooks.slack.com/hush"),
                    ("bot_token", "xoxb-1"),
                    ("channel", "C"),
                ],
                "two ways",
            ),
            (
                Discord,
                &[("webhook_url", "https://evil.example/hush")],
                "webhook_url",
            ),
            (
                Discord,
                &[("webhook_url", "http://discord.com/hush")],
                "https",
            ),
            (
                Telegram,
                &[("bot_token", "hush"), ("chat_id", "1")],
                "bot_token",
            ),
            (Webhook, &[("url", "https://user:hush@host/")], "user name"),
            (Webhook, &[("url", "file:///hush")], "https"),
            (
                Webhook,
                &[("url", "https://a/"), ("colour", "hush")],
                "colour",
            ),
        ];
        for (kind, pairs, expected) in table {
            let error = check(*kind, pairs).expect_err("refused");
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
