//! The channels of a workspace. What is a credential goes in and never comes out.

use std::collections::BTreeMap;

use askama::Template;
use claviger_core::{
    action::{ReadChannels, ReadWorkspace, WriteChannels},
    id::ChannelId,
};
use claviger_store::{Channel, Page as Part};
use claviger_wire::{
    channels::{ChannelChange, NewChannel},
    map::TextMap,
};
use http::StatusCode;

use super::{
    PATH,
    frame::{self, Frame},
    shapes::{self, Shape},
};
use crate::{
    api::channels as api,
    failure::Failure,
    gate::{Call, Form, Reply},
    web::{
        fault::Fault,
        html::{html, refused},
        layout::Page,
        parts::Pager,
        time::When,
    },
};

/// How many channels a page shows.
const ROWS: u32 = 50;

/// The channels of a workspace.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/channels.html")]
struct ChannelsPage {
    page: Page,
    workspace: Frame,
    rows: Vec<Row>,
    pager: Pager,
    may_read: bool,
    may_write: bool,
}

/// A channel as a row.
#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    kind: &'static str,
    target: String,
    credentials: String,
    is_enabled: bool,
    changed: When,
}

/// The form of a channel, new or known.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/channel.html")]
struct ChannelPage {
    page: Page,
    /// Where the form goes.
    action: String,
    back: String,
    /// The ways to deliver, as far as one is to be chosen.
    shapes: Vec<ShapeLink>,
    /// The one that is chosen.
    shape: Option<&'static Shape>,
    fields: Vec<FieldRow>,
    name: String,
    /// The channel that is changed.
    known: Option<Row>,
    fault: Fault,
}

/// A way to deliver, as a link to its form.
#[derive(Debug)]
struct ShapeLink {
    label: &'static str,
    help: &'static str,
    href: String,
    is_chosen: bool,
}

/// A field of a configuration as the form shows it.
#[derive(Debug)]
struct FieldRow {
    text: &'static shapes::FieldText,
    value: String,
    is_credential: bool,
    /// It is sealed already: what is typed takes its place.
    is_kept: bool,
    error: String,
}

impl FieldRow {
    fn input_type(&self) -> &'static str {
        if self.is_credential {
            "password"
        } else {
            "text"
        }
    }

    /// No browser is to keep a credential, or to fill one in.
    fn autocomplete(&self) -> &'static str {
        if self.is_credential {
            "new-password"
        } else {
            "off"
        }
    }

    fn placeholder(&self) -> &'static str {
        if self.is_kept {
            "Sealed. Type to replace it."
        } else {
            self.text.example
        }
    }

    fn must_be_typed(&self) -> bool {
        self.text.is_required && !self.is_kept
    }

    fn is_optional(&self) -> bool {
        !self.text.is_required
    }
}

/// The question before a removal.
#[derive(Debug, Template)]
#[template(path = "canvas/workspaces/channel_remove.html")]
struct RemovePage {
    page: Page,
    name: String,
    action: String,
    back: String,
}

/// `GET /canvas/workspaces/{id}`.
///
/// # Errors
/// 404, 503.
pub(super) async fn list(call: Call<ReadWorkspace>) -> Result<Reply, Failure> {
    let query = call.query(&["cursor", "done"])?;
    let after = query.parse::<ChannelId>("cursor", "the place where a list goes on")?;
    let id = call.workspace()?;
    let (page, workspace) = frame::of(&call, frame::Part::Channels, query.get("done")).await?;
    let may_read = call.may::<ReadChannels>(Some(id)).await?;
    let found = if may_read {
        let part = Part { after, limit: ROWS };
        call.app.store.list_channels(call.org(), id, part).await?
    } else {
        Vec::new()
    };
    let is_full = u32::try_from(found.len()).is_ok_and(|count| count == ROWS);
    let last = found.last().filter(|_| is_full).map(|channel| channel.id);
    let path = frame::Part::Channels.href(id);
    let shown = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let channels = ChannelsPage {
        rows: found.iter().map(|channel| row(&page, channel)).collect(),
        pager: Pager {
            shown,
            total: (after.is_none() && last.is_none()).then_some(shown),
            first: after.map(|_| path.clone()),
            next: last.map(|last| format!("{path}?cursor={last}")),
        },
        may_read,
        may_write: call.may::<WriteChannels>(Some(id)).await?,
        page,
        workspace,
    };
    Ok(html(StatusCode::OK, &channels))
}

fn row(page: &Page, channel: &Channel) -> Row {
    Row {
        id: channel.id.to_string(),
        name: channel.name.clone(),
        kind: shapes::of(channel).map_or(channel.kind.as_str(), |shape| shape.label),
        target: shapes::target(&channel.plain),
        credentials: channel.credential_names.join(", "),
        is_enabled: channel.is_enabled,
        changed: page.when(channel.updated_at),
    }
}

/// What was typed into the form of a channel: its name, and its configuration without what is empty.
struct Typed {
    name: String,
    config: BTreeMap<String, String>,
}

impl Typed {
    fn of(form: &Form, shape: &Shape) -> Self {
        let fields = shape.fields.iter();
        let values = fields.filter_map(|field| {
            let value = form.get(field.name)?;
            Some((field.name.to_owned(), value.to_owned()))
        });
        Self {
            name: form.get("name").unwrap_or_default().to_owned(),
            config: values.collect(),
        }
    }

    /// Without the credentials: a page never says them again.
    fn shown(mut self, shape: &Shape) -> Self {
        for field in shape.fields {
            if field.is_credential(shape.kind) {
                self.config.remove(field.name);
            }
        }
        self
    }
}

/// `config.webhook_url` is the field `webhook_url` of the form.
fn in_form(fault: Fault) -> Fault {
    fault.renamed(|field| {
        let name = field.strip_prefix("config.").unwrap_or(field);
        name.to_owned()
    })
}

fn field_rows(shape: &Shape, typed: &Typed, kept: &[String], fault: &Fault) -> Vec<FieldRow> {
    let fields = shape.fields.iter();
    let row = |text: &'static shapes::FieldText| FieldRow {
        text,
        value: typed.config.get(text.name).cloned().unwrap_or_default(),
        is_credential: text.is_credential(shape.kind),
        is_kept: kept.iter().any(|name| name == text.name),
        error: fault.at(text.name).to_owned(),
    };
    fields.map(row).collect()
}

/// `GET /canvas/workspaces/{id}/channels/new`.
///
/// # Errors
/// 404, 503.
pub(super) async fn new(call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let query = call.query(&["kind"])?;
    let shape = query.get("kind").and_then(shapes::named);
    let typed = Typed {
        name: shape.map_or(String::new(), |shape| shape.label.to_owned()),
        config: BTreeMap::new(),
    };
    let page = new_page(&call, shape, (typed, Fault::default())).await?;
    Ok(html(StatusCode::OK, &page))
}

async fn new_page(
    call: &Call<WriteChannels>,
    shape: Option<&'static Shape>,
    (typed, fault): (Typed, Fault),
) -> Result<ChannelPage, Failure> {
    let workspace = frame::found(call).await?;
    let mut page = frame::below(call, &workspace, frame::Part::Channels);
    page.title = "Add a channel".to_owned();
    let back = frame::Part::Channels.href(workspace.id);
    let action = format!("{back}/channels/new");
    let link = |other: &Shape| ShapeLink {
        label: other.label,
        help: other.help,
        href: format!("{action}?kind={}", other.word),
        is_chosen: shape.is_some_and(|shape| shape.word == other.word),
    };
    Ok(ChannelPage {
        page,
        shapes: shapes::ALL.iter().map(link).collect(),
        fields: shape.map_or(Vec::new(), |shape| field_rows(shape, &typed, &[], &fault)),
        action,
        back,
        shape,
        name: typed.name,
        known: None,
        fault,
    })
}

/// `POST /canvas/workspaces/{id}/channels/new`.
///
/// # Errors
/// As the API; what is wrong with the form is said on it.
pub(super) async fn add(mut call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let shape = form.get("kind").and_then(shapes::named);
    let shape = shape.ok_or_else(|| Failure::out_of_range("kind", "names no kind of channel"))?;
    let typed = Typed::of(&form, shape);
    let asked = NewChannel {
        kind: shape.kind.to_string(),
        name: Some(typed.name.clone()),
        config: TextMap(typed.config.clone()),
        enabled: None,
    };
    match api::add(&call, asked, StatusCode::SEE_OTHER).await {
        Ok(added) => {
            let path = format!("{PATH}/{}?done=channel_added", added.value.workspace);
            Ok(Reply::see_other(&path).written(added.receipt))
        }
        Err(failure) => match Fault::of(&failure).map(in_form) {
            Some(fault) => {
                let page = new_page(&call, Some(shape), (typed.shown(shape), fault)).await?;
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

async fn found(call: &Call<WriteChannels>) -> Result<Channel, Failure> {
    let (org, workspace) = (call.org(), call.workspace()?);
    let id = call.id(1, "channel")?;
    let found = call.app.store.find_channel(org, workspace, id).await?;
    found.ok_or(Failure::NotFound("channel"))
}

/// `GET /canvas/workspaces/{id}/channels/{cid}`.
///
/// # Errors
/// 404, 503.
pub(super) async fn edit(call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let channel = found(&call).await?;
    let typed = Typed {
        name: channel.name.clone(),
        config: channel.plain.clone(),
    };
    let page = edit_page(&call, &channel, (typed, Fault::default())).await?;
    Ok(html(StatusCode::OK, &page))
}

async fn edit_page(
    call: &Call<WriteChannels>,
    channel: &Channel,
    (typed, fault): (Typed, Fault),
) -> Result<ChannelPage, Failure> {
    let workspace = frame::found(call).await?;
    let mut page = frame::below(call, &workspace, frame::Part::Channels);
    page.title.clone_from(&channel.name);
    let back = frame::Part::Channels.href(workspace.id);
    let shape = shapes::of(channel);
    let kept = &channel.credential_names;
    Ok(ChannelPage {
        action: format!("{back}/channels/{}", channel.id),
        back,
        shapes: Vec::new(),
        shape,
        fields: shape.map_or(Vec::new(), |shape| field_rows(shape, &typed, kept, &fault)),
        name: typed.name,
        known: Some(row(&page, channel)),
        page,
        fault,
    })
}

/// `POST /canvas/workspaces/{id}/channels/{cid}`. A configuration is replaced whole, so it stays as it
/// is unless something of it was typed anew.
///
/// # Errors
/// As the API; what is wrong with the form is said on it.
pub(super) async fn change(mut call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let channel = found(&call).await?;
    let Some(shape) = shapes::of(&channel) else {
        return Err(Failure::NotFound("channel"));
    };
    let typed = Typed::of(&form, shape);
    let asked = ChannelChange {
        name: Some(typed.name.clone()),
        config: (typed.config != channel.plain).then(|| TextMap(typed.config.clone())),
        enabled: None,
    };
    match api::apply(&call, channel.id, asked, StatusCode::SEE_OTHER).await {
        Ok(changed) => {
            let path = format!("{PATH}/{}?done=saved", channel.workspace);
            Ok(Reply::see_other(&path).written(changed.receipt))
        }
        Err(failure) => match Fault::of(&failure).map(in_form) {
            Some(fault) => {
                let page = edit_page(&call, &channel, (typed.shown(shape), fault)).await?;
                Err(refused(failure, &page))
            }
            None => Err(failure),
        },
    }
}

/// `POST /canvas/workspaces/{id}/channels/{cid}/enabled`.
///
/// # Errors
/// 404, 503.
pub(super) async fn turn(mut call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let form = call.form().await?;
    let is_on = form.get("enabled") == Some("true");
    let id = call.id(1, "channel")?;
    let asked = ChannelChange {
        enabled: Some(is_on),
        ..ChannelChange::default()
    };
    let changed = api::apply(&call, id, asked, StatusCode::SEE_OTHER).await?;
    let done = if is_on { "enabled" } else { "disabled" };
    let path = format!("{PATH}/{}?done={done}", changed.value.workspace);
    Ok(Reply::see_other(&path).written(changed.receipt))
}

/// `GET /canvas/workspaces/{id}/channels/{cid}/remove`.
///
/// # Errors
/// 404, 503.
pub(super) async fn confirm_removal(call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let channel = found(&call).await?;
    let workspace = frame::found(&call).await?;
    let mut page = frame::below(&call, &workspace, frame::Part::Channels);
    page.title = "Remove the channel".to_owned();
    let back = frame::Part::Channels.href(workspace.id);
    let page = RemovePage {
        page,
        name: channel.name,
        action: format!("{back}/channels/{}/remove", channel.id),
        back,
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /canvas/workspaces/{id}/channels/{cid}/remove`.
///
/// # Errors
/// 404, 503.
pub(super) async fn remove(call: Call<WriteChannels>) -> Result<Reply, Failure> {
    let id = call.id(1, "channel")?;
    let removed = api::remove(&call, id, StatusCode::SEE_OTHER).await?;
    let path = format!("{PATH}/{}?done=channel_removed", call.workspace()?);
    Ok(Reply::see_other(&path).written(removed.receipt))
}
