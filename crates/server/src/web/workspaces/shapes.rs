//! What a channel of each kind needs, as a form asks for it.

use std::collections::BTreeMap;

use claviger_core::channel::ChannelKind;
use claviger_store::Channel;

/// A way to deliver: a kind of channel, and which of its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The word in the address of the form.
    pub(super) word: &'static str,
    /// The kind.
    pub(super) kind: ChannelKind,
    /// What people call it.
    pub(super) label: &'static str,
    /// What it does, in a few words.
    pub(super) help: &'static str,
    /// What it needs.
    pub(super) fields: &'static [FieldText],
}

/// A field of a configuration, in words.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldText {
    /// Its name in the configuration.
    pub(super) name: &'static str,
    /// What people call it.
    pub(super) label: &'static str,
    /// Where to find it.
    pub(super) help: &'static str,
    /// What it looks like.
    pub(super) example: &'static str,
    /// The form cannot do without it.
    pub(super) is_required: bool,
}

impl FieldText {
    /// Whether it is sealed, and never shown again.
    pub(super) fn is_credential(&self, kind: ChannelKind) -> bool {
        let fields = kind.fields().iter();
        let mut same = fields.filter(|field| field.name == self.name);
        same.any(|field| field.is_credential)
    }
}

const fn needed(
    name: &'static str,
    label: &'static str,
    help: &'static str,
    example: &'static str,
) -> FieldText {
    FieldText {
        name,
        label,
        help,
        example,
        is_required: true,
    }
}

const SIGNING_SECRET: FieldText = FieldText {
    name: "signing_secret",
    label: "Signing secret",
    help: "With it each message is signed, so that the receiver knows where it comes from.",
    example: "",
    is_required: false,
};

/// Every way to deliver.
pub(super) const ALL: &[Shape] = &[
    Shape {
        word: "slack",
        kind: ChannelKind::Slack,
        label: "Slack webhook",
        help: "Posts to one conversation.",
        fields: &[needed(
            "webhook_url",
            "Webhook address",
            "Slack: your app, Incoming Webhooks.",
            "https://hooks.slack.com/services/…",
        )],
    },
    Shape {
        word: "slack-bot",
        kind: ChannelKind::Slack,
        label: "Slack bot",
        help: "Posts as a bot, with its token.",
        fields: &[
            needed(
                "bot_token",
                "Bot token",
                "Slack: your app, OAuth & Permissions. It begins with xoxb-.",
                "xoxb-…",
            ),
            needed(
                "channel",
                "Conversation",
                "Its id, or its name with # before it.",
                "C0123456789",
            ),
        ],
    },
    Shape {
        word: "discord",
        kind: ChannelKind::Discord,
        label: "Discord",
        help: "Posts through a webhook.",
        fields: &[needed(
            "webhook_url",
            "Webhook address",
            "Discord: the channel's settings, Integrations.",
            "https://discord.com/api/webhooks/…",
        )],
    },
    Shape {
        word: "telegram",
        kind: ChannelKind::Telegram,
        label: "Telegram",
        help: "Writes to a chat as a bot.",
        fields: &[
            needed(
                "bot_token",
                "Bot token",
                "As BotFather gives it out.",
                "123456:AA…",
            ),
            needed(
                "chat_id",
                "Chat",
                "The number of the chat, or @name of a public one.",
                "-1001234567890",
            ),
        ],
    },
    Shape {
        word: "lark",
        kind: ChannelKind::Lark,
        label: "Lark",
        help: "A custom bot of Lark or Feishu.",
        fields: &[
            needed(
                "webhook_url",
                "Webhook address",
                "Lark: the group's settings, Bots, Custom Bot.",
                "https://open.larksuite.com/open-apis/bot/v2/hook/…",
            ),
            SIGNING_SECRET,
        ],
    },
    Shape {
        word: "webhook",
        kind: ChannelKind::Webhook,
        label: "Webhook",
        help: "Any address that takes JSON.",
        fields: &[
            needed(
                "url",
                "Address",
                "It is kept sealed: some addresses are secrets themselves.",
                "https://example.com/hook",
            ),
            SIGNING_SECRET,
        ],
    },
];

/// The way to deliver of this word.
pub(super) fn named(word: &str) -> Option<&'static Shape> {
    ALL.iter().find(|shape| shape.word == word)
}

/// The way in which a channel delivers.
pub(super) fn of(channel: &Channel) -> Option<&'static Shape> {
    let has = |field: &FieldText| {
        channel
            .credential_names
            .iter()
            .any(|name| name == field.name)
            || channel.plain.contains_key(field.name)
    };
    ALL.iter().find(|shape| {
        let mut needed = shape.fields.iter().filter(|field| field.is_required);
        shape.kind == channel.kind && needed.all(has)
    })
}

/// Where a channel leads, as far as that is no secret.
pub(super) fn target(plain: &BTreeMap<String, String>) -> String {
    let values: Vec<_> = plain.values().map(String::as_str).collect();
    values.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use claviger_core::channel::ChannelKind;

    use super::ALL;

    #[test]
    fn every_field_of_every_kind_can_be_typed_somewhere() {
        for kind in ChannelKind::ALL {
            let shapes = ALL.iter().filter(|shape| shape.kind == *kind);
            let asked: BTreeSet<_> = shapes
                .flat_map(|shape| shape.fields.iter().map(|field| field.name))
                .collect();
            let known: BTreeSet<_> = kind.fields().iter().map(|field| field.name).collect();
            assert_eq!(asked, known, "{kind}");
        }
    }
}
