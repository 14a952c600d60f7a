//! Lists that come in parts.

use claviger_wire::{
    advice::{KeyFinding, OrgAdvice},
    channels::{Channel, ChannelList},
    keys::{Key, KeyList},
    ledger::{Event, EventList},
    lines::{Lineage, Relative},
    orgs::{Org, OrgList},
    people::{Member, MemberList},
    requests::{KeyRequest, KeyRequestList},
    secrets::{Secret, SecretList},
    workspaces::{Workspace, WorkspaceList, WorkspaceToken, WorkspaceTokenList},
};
use serde::de::DeserializeOwned;

use super::{Client, Query};
use crate::error::Failure;

/// How many items one request asks for at most, where the whole list is not wanted.
const PAGE_ITEMS_MAX: u32 = 100;

/// A part of a list.
pub(crate) trait Page: DeserializeOwned {
    /// What it lists.
    type Item;
    /// The items.
    fn items(&mut self) -> &mut Vec<Self::Item>;
    /// Where the next part begins.
    fn next_cursor(&mut self) -> &mut Option<String>;
}

macro_rules! page {
    ($list:ty, $field:ident, $item:ty) => {
        impl Page for $list {
            type Item = $item;
            fn items(&mut self) -> &mut Vec<$item> {
                &mut self.$field
            }
            fn next_cursor(&mut self) -> &mut Option<String> {
                &mut self.next_cursor
            }
        }
    };
}

page!(KeyList, tokens, Key);
page!(Lineage, descendants, Relative);
page!(KeyRequestList, requests, KeyRequest);
page!(WorkspaceList, workspaces, Workspace);
page!(WorkspaceTokenList, tokens, WorkspaceToken);
page!(ChannelList, channels, Channel);
page!(SecretList, secrets, Secret);
page!(OrgList, orgs, Org);
page!(MemberList, members, Member);
page!(EventList, events, Event);
page!(OrgAdvice, findings, KeyFinding);

impl Client {
    /// The whole list as one part, or its first `limit` items. The cursor stays if there are more.
    pub(super) async fn pages<L: Page>(
        &self,
        path: &[&str],
        query: Query,
        limit: Option<u32>,
    ) -> Result<L, Failure> {
        let mut whole: L = self.get(path, &with(&query, limit, None)).await?;
        loop {
            let left = limit.map(|limit| {
                limit.saturating_sub(u32::try_from(whole.items().len()).unwrap_or(u32::MAX))
            });
            let Some(cursor) = whole.next_cursor().clone().filter(|_| left != Some(0)) else {
                return Ok(whole);
            };
            let mut part: L = self.get(path, &with(&query, left, Some(&cursor))).await?;
            if part.next_cursor().as_ref() == Some(&cursor) {
                return Err(Failure::Local(format!(
                    "{} answered the same part of a list twice",
                    self.url()
                )));
            }
            whole.items().append(part.items());
            *whole.next_cursor() = part.next_cursor().take();
        }
    }
}

fn with(query: &Query, left: Option<u32>, cursor: Option<&str>) -> Query {
    let mut query = query.clone();
    query.extend(left.map(|left| ("limit", left.min(PAGE_ITEMS_MAX).to_string())));
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn a_request_asks_for_what_is_left() {
        let query = vec![("q", "ci".to_owned())];
        assert_eq!(with(&query, None, None), query);
        let text = |query: Vec<(&str, String)>| {
            query
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            text(with(&query, Some(7), Some("c"))),
            ["q=ci", "limit=7", "cursor=c"]
        );
        assert_eq!(text(with(&query, Some(700), None)), ["q=ci", "limit=100"]);
    }
}
