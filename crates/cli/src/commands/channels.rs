//! `claviger channels`.

use std::path::Path;

use claviger_wire::{
    channels::{Channel, ChannelChange, NewChannel},
    map::TextMap,
};

use super::{online, secrets::token_takes_input};
use crate::{
    args::{
        Global,
        channels::{AddArgs, ChannelsCommand, ConfigArgs, UpdateArgs},
        pair,
    },
    error::Failure,
    input,
    output::{Cell, Output, Table, Tone},
    text::{or_dash, pairs},
};

/// The fields that let whoever has them send.
const CREDENTIALS: [&str; 4] = ["webhook_url", "bot_token", "signing_secret", "url"];

/// Carries out one of the commands.
pub(super) fn run(command: ChannelsCommand, global: &Global, out: &Output) -> Result<(), Failure> {
    match command {
        ChannelsCommand::Add(args) => {
            let (workspace, body) = new_channel(args, global)?;
            online(global, out, async |client| {
                let channel = client.add_channel(&workspace, &body).await?;
                out.show(&channel, fields)
            })
        }
        ChannelsCommand::List { workspace } => online(global, out, async |client| {
            let list = client.list_channels(&workspace).await?;
            out.show(&list, |list| table(&list.channels))
        }),
        ChannelsCommand::Show { workspace, id } => online(global, out, async |client| {
            let channel = client.get_channel(&workspace, &id).await?;
            out.show(&channel, fields)
        }),
        ChannelsCommand::Update(args) => {
            let body = change(&args, global)?;
            online(global, out, async |client| {
                let channel = client
                    .update_channel(&args.workspace, &args.id, &body)
                    .await?;
                out.show(&channel, fields)
            })
        }
        ChannelsCommand::Remove { workspace, id } => online(global, out, async |client| {
            let deleted = client.remove_channel(&workspace, &id).await?;
            out.show(&deleted, |deleted| {
                let mut table = Table::fields();
                table.field("removed", deleted.deleted.as_str());
                table
            })
        }),
    }
}

fn new_channel(args: AddArgs, global: &Global) -> Result<(String, NewChannel), Failure> {
    let config = config(&args.config, global)?;
    let enabled = args.disabled.then_some(false);
    Ok((
        args.workspace,
        NewChannel {
            kind: args.kind,
            name: args.name,
            config,
            enabled,
        },
    ))
}

fn change(args: &UpdateArgs, global: &Global) -> Result<ChannelChange, Failure> {
    let config = config(&args.config, global)?;
    let config = (!config.0.is_empty()).then_some(config);
    let enabled = if args.disable {
        Some(false)
    } else {
        args.enable.then_some(true)
    };
    if args.name.is_none() && config.is_none() && enabled.is_none() {
        return Err(Failure::Usage(
            "nothing to change: give --name, --config, --enable or --disable".to_owned(),
        ));
    }
    Ok(ChannelChange {
        name: args.name.clone(),
        config,
        enabled,
    })
}

/// The configuration from arguments, a person and standard input.
fn config(args: &ConfigArgs, global: &Global) -> Result<TextMap, Failure> {
    let mut config = written(args)?;
    for field in &args.credential {
        if config.0.contains_key(field) {
            return Err(twice(field));
        }
        let value = input::hidden(field)?;
        if value.is_empty() {
            return Err(Failure::Usage(format!(
                "`{field}` is empty: nothing was sent"
            )));
        }
        config.0.insert(field.clone(), value.as_str().to_owned());
    }
    if args.credentials_stdin {
        if global.token_file.as_deref() == Some(Path::new("-")) {
            return Err(token_takes_input("credentials"));
        }
        for (field, value) in credentials(&input::read_all("the credentials")?)?.0 {
            if config.0.contains_key(&field) {
                return Err(twice(&field));
            }
            config.0.insert(field, value);
        }
    }
    Ok(config)
}

/// What stands in arguments: everything but credentials.
fn written(args: &ConfigArgs) -> Result<TextMap, Failure> {
    let config = pair::map("--config", &args.config)?;
    match config.0.keys().find(|field| is_credential(field)) {
        None => Ok(config),
        Some(field) => Err(Failure::Usage(format!(
            "`{field}` is a credential: as an argument it stands in the shell's history and in \
             every list of processes; use --credential {field} to be asked for it, or \
             --credentials-stdin (and change it, if what you wrote was real)"
        ))),
    }
}

fn is_credential(field: &str) -> bool {
    CREDENTIALS.contains(&field.trim().to_ascii_lowercase().replace('-', "_").as_str())
}

/// The error says where, and never what: the text holds credentials.
fn credentials(text: &str) -> Result<TextMap, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::Usage(format!(
            "the credentials are no JSON object of texts, each name once (line {}, column {}); \
             write for example {{\"bot_token\": \"...\"}}",
            error.line(),
            error.column()
        ))
    })
}

fn twice(field: &str) -> Failure {
    Failure::Usage(format!("`{field}` is given twice"))
}

fn state(channel: &Channel) -> Cell {
    if channel.enabled {
        Cell::toned("enabled", Tone::Good)
    } else {
        Cell::toned("disabled", Tone::Warning)
    }
}

fn table(channels: &[Channel]) -> Table {
    let mut table = Table::new(&["ID", "TYPE", "NAME", "STATE", "CREATED BY", "UPDATED"]);
    for channel in channels {
        table.row([
            channel.id.as_str().into(),
            channel.kind.as_str().into(),
            channel.name.as_str().into(),
            state(channel),
            channel.created_by.as_str().into(),
            channel.updated_at.as_str().into(),
        ]);
    }
    table
}

fn fields(channel: &Channel) -> Table {
    let mut table = Table::fields();
    table.field("id", channel.id.as_str());
    table.field("type", channel.kind.as_str());
    table.field("name", channel.name.as_str());
    table.field("state", state(channel));
    table.field("config", or_dash(Some(&pairs(&channel.config))));
    table.field("credentials", or_dash(Some(&channel.credentials.join(","))));
    table.field("created by", channel.created_by.as_str());
    table.field("created at", channel.created_at.as_str());
    table.field("updated at", channel.updated_at.as_str());
    table
}

#[cfg(test)]
mod tests {
    use super::{credentials, written};
    use crate::{args::channels::ConfigArgs, args::pair::Pair, error::Failure};

    fn with(field: &str) -> Result<usize, Failure> {
        let pair = Pair {
            name: field.to_owned(),
            value: "s3cret".to_owned(),
        };
        let args = ConfigArgs {
            config: vec![pair],
            credential: vec![],
            credentials_stdin: false,
        };
        written(&args).map(|config| config.0.len())
    }

    #[test]
    fn credentials_are_refused_as_arguments() {
        for field in [
            "bot_token",
            "Bot-Token",
            "webhook_url",
            "signing_secret",
            "url",
        ] {
            let failure = with(field).expect_err(field).to_string();
            assert!(failure.contains("is a credential"), "{failure}");
            assert!(!failure.contains("s3cret"), "{failure}");
        }
    }

    #[test]
    fn other_fields_are_taken() {
        for field in ["channel", "chat_id"] {
            assert_eq!(with(field).ok(), Some(1), "{field}");
        }
    }

    #[test]
    fn credentials_are_an_object_of_texts() {
        assert!(credentials(r#"{"bot_token": "x"}"#).is_ok());
        for bad in [
            "",
            "[]",
            r#"{"bot_token": 1}"#,
            r#"{"a":"s3cret","a":"y"}"#,
            "s3cret",
        ] {
            let failure = credentials(bad).expect_err(bad).to_string();
            assert!(!failure.contains("s3cret"), "{failure}");
        }
    }
}
