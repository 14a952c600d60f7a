//! Workspaces: the list, and of each one its channels, its secrets, the keys that reach it, its
//! deprecated tokens, its name and labels.

mod channels;
mod frame;
mod keys;
mod list;
mod secrets;
mod settings;
mod shapes;
mod tokens;

use claviger_core::{
    action::{
        ChangeWorkspace, CreateWorkspace, DeleteWorkspace, ListSecrets, ListWorkspaces,
        ManageWorkspaceTokens, ReadKeys, ReadWorkspace, RevealSecrets, WriteChannels, WriteSecrets,
    },
    grant::Labels,
};
use claviger_wire::map::TextMap;
use http::Method;

use super::{fault::Fault, page, parts::Flash};
use crate::router::Routes;

/// The path of the list.
const PATH: &str = "/canvas/workspaces";

/// Every page of workspaces, and every form on one.
#[rustfmt::skip]
pub(super) fn declare(routes: &mut Routes) {
    let (get, post) = (Method::GET, Method::POST);

    routes.page::<ListWorkspaces, _, _>(&get, "/canvas/workspaces", list::page);
    routes.page::<CreateWorkspace, _, _>(&post, "/canvas/workspaces", list::create);
    routes.page::<CreateWorkspace, _, _>(&get, "/canvas/workspaces/new", list::new);

    routes.page::<ReadWorkspace, _, _>(&get, "/canvas/workspaces/{id}", channels::list);
    routes.page::<WriteChannels, _, _>(&get, "/canvas/workspaces/{id}/channels/new", channels::new);
    routes.page::<WriteChannels, _, _>(&post, "/canvas/workspaces/{id}/channels/new", channels::add);
    routes.page::<WriteChannels, _, _>(&get, "/canvas/workspaces/{id}/channels/{cid}", channels::edit);
    routes.page::<WriteChannels, _, _>(&post, "/canvas/workspaces/{id}/channels/{cid}", channels::change);
    routes.page::<WriteChannels, _, _>(&post, "/canvas/workspaces/{id}/channels/{cid}/enabled", channels::turn);
    routes.page::<WriteChannels, _, _>(&get, "/canvas/workspaces/{id}/channels/{cid}/remove", channels::confirm_removal);
    routes.page::<WriteChannels, _, _>(&post, "/canvas/workspaces/{id}/channels/{cid}/remove", channels::remove);

    routes.page::<ListSecrets, _, _>(&get, "/canvas/workspaces/{id}/secrets", secrets::list);
    routes.page::<WriteSecrets, _, _>(&post, "/canvas/workspaces/{id}/secrets", secrets::set);
    routes.page::<ListSecrets, _, _>(&get, "/canvas/workspaces/{id}/secrets/values", secrets::back);
    routes.page::<RevealSecrets, _, _>(&post, "/canvas/workspaces/{id}/secrets/values", secrets::reveal);
    routes.page::<WriteSecrets, _, _>(&get, "/canvas/workspaces/{id}/secrets/{key}/delete", secrets::confirm_deletion);
    routes.page::<WriteSecrets, _, _>(&post, "/canvas/workspaces/{id}/secrets/{key}/delete", secrets::delete);

    routes.page::<ReadKeys, _, _>(&get, "/canvas/workspaces/{id}/keys", keys::list);

    routes.page::<ManageWorkspaceTokens, _, _>(&get, "/canvas/workspaces/{id}/tokens", tokens::list);
    routes.page::<ManageWorkspaceTokens, _, _>(&get, "/canvas/workspaces/{id}/tokens/{tid}/replace", tokens::ask_to_replace);
    routes.page::<ManageWorkspaceTokens, _, _>(&post, "/canvas/workspaces/{id}/tokens/{tid}/replace", tokens::replace);
    routes.page::<ManageWorkspaceTokens, _, _>(&get, "/canvas/workspaces/{id}/tokens/{tid}/revoke", tokens::confirm_revocation);
    routes.page::<ManageWorkspaceTokens, _, _>(&post, "/canvas/workspaces/{id}/tokens/{tid}/revoke", tokens::revoke);

    routes.page::<ReadWorkspace, _, _>(&get, "/canvas/workspaces/{id}/settings", settings::page);
    routes.page::<ChangeWorkspace, _, _>(&post, "/canvas/workspaces/{id}/settings", settings::change);
    routes.page::<DeleteWorkspace, _, _>(&get, "/canvas/workspaces/{id}/delete", settings::confirm_deletion);
    routes.page::<DeleteWorkspace, _, _>(&post, "/canvas/workspaces/{id}/delete", settings::delete);
}

/// What a page says of the form that led to it.
fn flash(word: Option<&str>) -> Option<Flash> {
    let text = match word? {
        "created" => "The workspace is there. Add a channel, or mint a key that is bound to it.",
        "workspace_deleted" => {
            "The workspace is gone, with its channels, its secrets and its tokens."
        }
        "channel_added" => "The channel is added. Its credentials are sealed.",
        "channel_removed" => "The channel is removed, with its credentials.",
        "enabled" => "Enabled. Keys may use the channel again.",
        "disabled" => "Disabled. No key can use the channel until somebody enables it.",
        "secret_set" => "The secret is set. Whoever reads it from now on gets the new value.",
        "secret_deleted" => "The secret is deleted.",
        "token_revoked" => "The token is revoked. Every request with it is refused from now on.",
        other => return page::flash(Some(other)),
    };
    Some(Flash::done(text))
}

/// Labels as they stand in a form: one a line.
fn labels_text(labels: &Labels) -> String {
    let lines: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    lines.join("\n")
}

/// Labels as they were typed: one a line, `name=value`.
fn read_labels(text: &str) -> Result<TextMap, Fault> {
    let mut labels = Labels::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once('=') else {
            let words = format!("`{line}` has no `=`: write one label a line, as `name=value`.");
            return Err(Fault::at_field("labels", &words));
        };
        let (name, value) = (name.trim(), value.trim());
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            let words = format!("`{name}` stands there twice.");
            return Err(Fault::at_field("labels", &words));
        }
    }
    Ok(TextMap(labels))
}

/// `labels.team` is a line of the field `labels`, and says which.
fn about_labels(fault: Fault) -> Fault {
    fault.renamed(|field| match field.split_once('.') {
        Some((first, _)) => first.to_owned(),
        None => field.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{labels_text, read_labels};

    #[test]
    fn labels_read_as_they_are_shown() {
        let read = read_labels(" agent = data-pipeline \n\nurl=a=b\n").expect("labels");
        assert_eq!(labels_text(&read.0), "agent=data-pipeline\nurl=a=b");
        assert!(read_labels("").expect("none").0.is_empty());
    }

    #[test]
    fn labels_that_mean_nothing_are_named() {
        for (text, word) in [("agent", "`agent`"), ("a=1\na=2", "twice")] {
            let fault = read_labels(text).expect_err("refused");
            assert!(fault.at("labels").contains(word), "{text}");
        }
    }
}
