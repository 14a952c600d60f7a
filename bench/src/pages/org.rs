//! An org with many keys, made as people make one: through the API of a running server.

use std::sync::atomic::{AtomicU64, Ordering};

use claviger_core::{
    id::{KeyId, WorkspaceId},
    token::Prefix,
};
use serde_json::{Value, json};

use crate::{Failure, http::Client};

/// The `ADMIN_TOKEN` of the server.
pub(crate) const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
/// Workspaces in the org.
const WORKSPACES: usize = 300;
/// Keys that mint others.
const MINTERS: usize = 20;
/// Requests that wait for a decision.
const REQUESTS: usize = 100;
/// Connections at once: what is minted together shares a wait for the disk.
const WORKERS: u64 = 32;

/// A key of the org.
pub(crate) struct SeededKey {
    /// Its id.
    pub(crate) id: KeyId,
    /// The public name of its secret.
    pub(crate) prefix: Prefix,
    secret: String,
}

/// What is in the org.
pub(crate) struct Org {
    /// Its keys, the oldest first; the first few mint others, and were used most.
    pub(crate) keys: Vec<SeededKey>,
    /// Its workspaces; the first has the most in it.
    pub(crate) workspaces: Vec<WorkspaceId>,
    /// A request that waits for a decision.
    pub(crate) request: String,
}

impl Org {
    /// An org that no server knows of, for a trail that is written without one.
    pub(crate) fn made_up(keys: u64, workspaces: u64) -> Result<Self, Failure> {
        let key = |number: u64| -> Result<SeededKey, Failure> {
            Ok(SeededKey {
                id: KeyId::from_u128((9 << 64) + u128::from(number)),
                prefix: format!("mole_{number:08}").parse()?,
                secret: String::new(),
            })
        };
        let workspace = |number| WorkspaceId::from_u128((7 << 64) + u128::from(number));
        Ok(Self {
            keys: (0..keys).map(key).collect::<Result<_, _>>()?,
            workspaces: (0..workspaces).map(workspace).collect(),
            request: String::new(),
        })
    }
}

/// Makes the org with so many keys.
pub(crate) fn make(address: &str, keys: u64) -> Result<Org, Failure> {
    let bearer = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let mut admin = Client::connect(address, &bearer)?;
    let workspaces = make_workspaces(&mut admin)?;
    furnish(&mut admin, &workspaces)?;
    let mut all = Vec::new();
    for number in 0..MINTERS {
        let body = json!({"name": format!("platform-{number:02}"), "preset": "admin", "metadata": {"team": "platform"}});
        all.push(mint(&mut admin, &body)?);
    }
    all.extend(mint_many(address, &all, &workspaces, keys)?);
    end_some(&mut admin, &all)?;
    let request = ask_for_keys(address, &all)?;
    Ok(Org {
        keys: all,
        workspaces,
        request,
    })
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, Failure> {
    let found = value.get(name).and_then(Value::as_str);
    found.ok_or_else(|| format!("no `{name}` in {value}").into())
}

fn make_workspaces(admin: &mut Client) -> Result<Vec<WorkspaceId>, Failure> {
    let make = |number: usize| {
        let agent = ["etl", "support", "billing", "search"].get(number % 4);
        let body = json!({"name": format!("workspace-{number:03}"), "labels": {"agent": agent}});
        let made = admin.send("POST", "/workspaces", &body)?;
        Ok(text(&made, "id")?.parse()?)
    };
    (0..WORKSPACES).map(make).collect()
}

/// Channels, secrets and tokens: twenty of each in the first workspace, one in the others.
fn furnish(admin: &mut Client, workspaces: &[WorkspaceId]) -> Result<(), Failure> {
    for (at, workspace) in workspaces.iter().enumerate() {
        for number in 0..if at == 0 { 20 } else { 1 } {
            let hook = json!({"url": format!("https://hooks.example.com/{number}")});
            let channel =
                json!({"name": format!("alerts-{number}"), "type": "webhook", "config": hook});
            admin.send(
                "POST",
                &format!("/workspaces/{workspace}/channels"),
                &channel,
            )?;
            let secret = json!({"key": format!("SECRET_{number}"), "value": "a value"});
            admin.send("PUT", &format!("/workspaces/{workspace}/secrets"), &secret)?;
            admin.send(
                "POST",
                &format!("/workspaces/{workspace}/tokens"),
                &json!({}),
            )?;
        }
    }
    Ok(())
}

fn mint(client: &mut Client, body: &Value) -> Result<SeededKey, Failure> {
    let minted = client.send("POST", "/org/tokens", body)?;
    Ok(SeededKey {
        id: text(&minted, "id")?.parse()?,
        prefix: text(&minted, "prefix")?.parse()?,
        secret: text(&minted, "auth_token")?.to_owned(),
    })
}

/// Mints from many connections: two of three by `ADMIN_TOKEN`, the others by the minters.
fn mint_many(
    address: &str,
    minters: &[SeededKey],
    workspaces: &[WorkspaceId],
    keys: u64,
) -> Result<Vec<SeededKey>, Failure> {
    let next = AtomicU64::new(0);
    let count = keys.saturating_sub(u64::try_from(minters.len())?);
    let work = |worker: u64| -> Result<Vec<SeededKey>, Failure> {
        let minter = minters.get(usize::try_from(worker)? % MINTERS);
        let secret = minter
            .filter(|_| worker.is_multiple_of(3))
            .map_or(ADMIN_TOKEN, |minter| minter.secret.as_str());
        let mut client = Client::connect(address, &format!("Authorization: Bearer {secret}"))?;
        let mut minted = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(minted);
            }
            minted.push(mint_unhurried(&mut client, &body(number, workspaces)?)?);
        }
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        for worker in workers {
            let minted = worker.join().map_err(|_panic| "a worker died")?;
            all.extend(minted?);
        }
        Ok::<(), Failure>(())
    })?;
    all.sort_by_key(|key| key.id);
    Ok(all)
}

/// Mints are limited for each key: who has used up a minute leaves the rest to the others.
fn mint_unhurried(client: &mut Client, body: &Value) -> Result<SeededKey, Failure> {
    loop {
        let answer = client.ask(
            "POST",
            "/org/tokens",
            Some(("application/json", &body.to_string())),
        )?;
        if answer.status == 429 {
            let wait = answer.header("retry-after").and_then(|it| it.parse().ok());
            std::thread::sleep(std::time::Duration::from_secs(wait.unwrap_or(1)));
            continue;
        }
        let minted = answer.ok("mint")?.json()?;
        return Ok(SeededKey {
            id: text(&minted, "id")?.parse()?,
            prefix: text(&minted, "prefix")?.parse()?,
            secret: text(&minted, "auth_token")?.to_owned(),
        });
    }
}

/// Grants of every shape, by the number of the key.
fn body(number: u64, workspaces: &[WorkspaceId]) -> Result<Value, Failure> {
    let mut body = json!({"name": format!("agent-{number:05}")});
    let Some(fields) = body.as_object_mut() else {
        return Ok(body);
    };
    let own = workspaces.get(usize::try_from(number)? % workspaces.len());
    let own = own.map(ToString::to_string).unwrap_or_default();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    set(
        "metadata",
        json!({"team": format!("team-{}", number % 40), "env": if number.is_multiple_of(2) { "prod" } else { "test" }}),
    );
    match number % 5 {
        0 => set("preset", json!("reader")),
        1 => set("preset", json!("editor")),
        2 => set(
            "permissions",
            json!(["channels:read", "channels:send", "secrets:read"]),
        ),
        3 => set("permissions", json!(["workspaces:read", "secrets:*"])),
        _ => {}
    }
    match number % 4 {
        0 => set("workspaces", json!([own])),
        1 => set("workspaces", json!({"labels": {"agent": "etl"}})),
        _ => {}
    }
    if number.is_multiple_of(7) {
        set("ip_allow", json!(["10.0.0.0/8", "192.0.2.0/24"]));
    }
    if number.is_multiple_of(11) {
        set("rate_limit", json!({"per_minute": 600}));
    }
    match number % 9 {
        0..6 => set("expires_in", json!("90d")),
        6 => set("expires_in", json!("5d")),
        7 => set("expires_in", json!("90s")),
        _ => {}
    }
    Ok(body)
}

/// Some keys were revoked, some are suspended, some are being rotated.
fn end_some(admin: &mut Client, keys: &[SeededKey]) -> Result<(), Failure> {
    let empty = Some(("application/json", "{}"));
    for (number, key) in keys.iter().enumerate().skip(MINTERS) {
        let at = format!("/org/tokens/{}", key.id);
        // What has ended by itself meanwhile cannot be rotated: the answer does not matter.
        match number % 50 {
            0..3 => admin.ask("DELETE", &format!("{at}?reason=replaced"), None)?,
            3 => admin.ask("POST", &format!("{at}/suspend"), empty)?,
            4 => admin.ask("POST", &format!("{at}/rotate"), empty)?,
            _ => continue,
        };
    }
    Ok(())
}

/// Requests of keys that want more; gives the id of the last.
fn ask_for_keys(address: &str, keys: &[SeededKey]) -> Result<String, Failure> {
    let mut last = String::new();
    for number in 0..REQUESTS {
        let asker = keys.get(number % MINTERS).ok_or("there are minters")?;
        let bearer = format!("Authorization: Bearer {}", asker.secret);
        let ask = json!({"name": format!("wanted-{number}"), "justification": "a new agent", "preset": "editor"});
        let asked = Client::connect(address, &bearer)?.send("POST", "/org/requests", &ask)?;
        text(&asked, "id")?.clone_into(&mut last);
    }
    Ok(last)
}
