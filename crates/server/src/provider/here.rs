//! What the settings say of roles and orgs, whatever the provider.

use std::collections::BTreeMap;

use claviger_core::{
    claims::FOREIGN_NAME_CHARS_MAX,
    role::{Role, RoleMap},
    text,
};

/// What is settled here, whatever the provider.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) roles: RoleMap,
    pub(super) orgs: BTreeMap<String, String>,
    pub(super) redirect_uri: String,
}

impl Here {
    /// Our name of an org.
    pub(super) fn org(&self, theirs: String) -> String {
        self.orgs.get(&theirs).cloned().unwrap_or(theirs)
    }

    /// The role that these names come to, and the name.
    pub(super) fn role(&self, names: &[&str]) -> (Option<Role>, Option<String>) {
        let mapped = self.roles.widest(names);
        let name = mapped.map(|(_, name)| name).or(names.first().copied());
        let role = mapped.map(|(role, _)| role);
        // `*` widens, and never narrows.
        let role = role.max(self.roles.everybody());
        (
            role,
            name.and_then(|name| text::clean(name, FOREIGN_NAME_CHARS_MAX)),
        )
    }
}
