//! `claviger secrets`.

use std::path::Path;

use claviger_server::config::Config;
use claviger_wire::{
    map::TextMap,
    secrets::{NewSecret, Secret},
};
use serde::Serialize;

use super::{block_on, online};
use crate::{
    args::{
        Global,
        secrets::{RekeyArgs, SecretsCommand},
    },
    client::Client,
    error::Failure,
    input,
    output::{Output, Table},
    text::{is_shell_name, printable, shell_quoted},
};

/// Carries out one of the commands.
pub(super) fn run(command: SecretsCommand, global: &Global, out: &Output) -> Result<(), Failure> {
    match command {
        SecretsCommand::Set { workspace, name } => {
            let body = new_secret(name, global)?;
            online(global, out, async |client| {
                set(&workspace, &body, &client, out).await
            })
        }
        SecretsCommand::List { workspace } => online(global, out, async |client| {
            let list = client.list_secrets(&workspace).await?;
            out.show(&list, |list| table(&list.secrets))
        }),
        SecretsCommand::Reveal {
            workspace,
            name,
            env,
        } => {
            if env && out.is_json() {
                return Err(Failure::Usage(
                    "--env and --json exclude each other".to_owned(),
                ));
            }
            online(global, out, async |client| {
                let values = client.reveal_secrets(&workspace).await?.values;
                reveal(values, name.as_deref(), env, out)
            })
        }
        SecretsCommand::Delete { workspace, name } => online(global, out, async |client| {
            let deleted = client.delete_secret(&workspace, &name).await?;
            out.show(&deleted, |deleted| {
                let mut table = Table::fields();
                table.field("deleted", deleted.deleted.as_str());
                table
            })
        }),
        SecretsCommand::Rekey(args) => rekey(args, out),
    }
}

/// The value comes from a person or from a pipe: an argument would stand in the shell's history and
/// in every list of processes.
fn new_secret(key: String, global: &Global) -> Result<NewSecret, Failure> {
    let value = if input::is_terminal() {
        input::hidden(&format!("value of {key}"))?
    } else if global.token_file.as_deref() == Some(Path::new("-")) {
        return Err(token_takes_input("the value"));
    } else {
        input::read_all("the value")?
    };
    let value = input::without_newline(&value);
    if value.is_empty() {
        return Err(Failure::Usage(format!(
            "the value of {key} is empty: nothing was set"
        )));
    }
    Ok(NewSecret {
        key,
        value: value.to_owned(),
    })
}

/// Standard input can be read once.
pub(super) fn token_takes_input(what: &str) -> Failure {
    Failure::Usage(format!(
        "--token-file - and {what} cannot both come from standard input; \
         put the token into CLAVIGER_TOKEN or into a file"
    ))
}

async fn set(
    workspace: &str,
    body: &NewSecret,
    client: &Client,
    out: &Output,
) -> Result<(), Failure> {
    let secret = client.set_secret(workspace, body).await?;
    out.show(&secret, |secret| table(std::slice::from_ref(secret)))
}

fn table(secrets: &[Secret]) -> Table {
    let mut table = Table::new(&["NAME", "VERSION", "CREATED BY", "CREATED", "UPDATED"]);
    for secret in secrets {
        table.row([
            secret.key.as_str().into(),
            secret.version.to_string().into(),
            secret.created_by.as_str().into(),
            secret.created_at.as_str().into(),
            secret.updated_at.as_str().into(),
        ]);
    }
    table
}

fn reveal(values: TextMap, name: Option<&str>, is_env: bool, out: &Output) -> Result<(), Failure> {
    let chosen = match name {
        None => values,
        Some(name) => only(values, name)?,
    };
    if out.is_json() {
        return out.json(&chosen);
    }
    if is_env {
        let (lines, left_out) = env_lines(&chosen);
        for name in left_out {
            out.warning(&format!(
                "{name} is left out: it cannot be a variable of a shell"
            ));
        }
        return out.raw(lines.as_bytes());
    }
    match (name.and_then(|name| chosen.0.get(name)), out.is_terminal()) {
        // A program gets the value as it is; a person's terminal is not steered by it.
        (Some(value), false) => out.line(value),
        (Some(value), true) => {
            let lines: Vec<String> = value.lines().map(printable).collect();
            out.line(&lines.join("\n"))
        }
        (None, _) => {
            let mut table = Table::new(&["NAME", "VALUE"]);
            for (name, value) in &chosen.0 {
                table.row([name.as_str().into(), value.as_str().into()]);
            }
            out.table(&table)
        }
    }
}

fn only(values: TextMap, name: &str) -> Result<TextMap, Failure> {
    let found = values.0.into_iter().find(|(key, _)| key == name);
    let Some(found) = found else {
        return Err(Failure::Missing(format!(
            "there is no secret `{name}` in the workspace; `claviger secrets list` shows the names"
        )));
    };
    Ok(TextMap([found].into()))
}

/// A line for each secret that can be a variable, and the names of the others.
fn env_lines(values: &TextMap) -> (String, Vec<&str>) {
    let (mut lines, mut left_out) = (String::new(), Vec::new());
    for (name, value) in &values.0 {
        if is_shell_name(name) && !value.contains('\0') {
            lines.push_str(&format!("{name}={}\n", shell_quoted(value)));
        } else {
            left_out.push(name.as_str());
        }
    }
    (lines, left_out)
}

#[derive(Serialize)]
struct Rekeyed {
    resealed: u64,
}

fn rekey(args: RekeyArgs, out: &Output) -> Result<(), Failure> {
    let config =
        Config::load(&args.data.flags()).map_err(|error| Failure::Usage(error.to_string()))?;
    let resealed = block_on(tokio::runtime::Builder::new_multi_thread(), async {
        claviger_server::rekey(config, args.new_master_key_file)
            .await
            .map_err(|error| Failure::Local(error.to_string()))
    })?;
    out.show(&Rekeyed { resealed }, |rekeyed| {
        let mut table = Table::fields();
        table.field("sealed anew", rekeyed.resealed.to_string());
        table
    })
}

#[cfg(test)]
mod tests {
    use claviger_wire::map::TextMap;

    use super::{env_lines, only};
    use crate::error::Exit;

    fn values() -> TextMap {
        let pairs = [
            ("A", "it's"),
            ("B", "two\nlines"),
            ("a.b", "x"),
            ("N", "a\0b"),
        ];
        TextMap(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    #[test]
    fn variables_are_quoted_and_other_names_are_left_out() {
        let values = values();
        let (lines, left_out) = env_lines(&values);
        assert_eq!(lines, "A='it'\\''s'\nB='two\nlines'\n");
        assert_eq!(left_out, ["N", "a.b"]);
    }

    #[test]
    fn a_missing_secret_is_not_found() {
        assert_eq!(only(values(), "A").map(|one| one.0.len()).ok(), Some(1));
        let failure = only(values(), "C").expect_err("missing");
        assert_eq!(failure.exit(), Exit::NotFound);
    }
}
