//! Permissions: the verbs of the API as data, and sets of them.

use std::{fmt, str::FromStr};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// One thing that a key may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($(#[$doc])* $variant,)* }

        impl Permission {
            /// Every permission, in the order in which sets are printed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in the API, for example `secrets:reveal`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

permissions! {
    /// List and get workspaces.
    WorkspacesRead = "workspaces:read";
    /// Create workspaces, change name and labels.
    WorkspacesWrite = "workspaces:write";
    /// Delete workspaces.
    WorkspacesDelete = "workspaces:delete";
    /// List and get channels.
    ChannelsRead = "channels:read";
    /// Create, change and delete channels.
    ChannelsWrite = "channels:write";
    /// Send through a channel, and test it.
    ChannelsSend = "channels:send";
    /// List the names of secrets.
    SecretsRead = "secrets:read";
    /// Set and delete secrets.
    SecretsWrite = "secrets:write";
    /// Read the values of secrets.
    SecretsReveal = "secrets:reveal";
    /// List and get org API keys and what they did.
    TokensRead = "org.tokens:read";
    /// Mint, change, rotate and resume org API keys.
    TokensMint = "org.tokens:mint";
    /// Revoke and suspend org API keys.
    TokensRevoke = "org.tokens:revoke";
    /// Read the audit trail.
    AuditRead = "audit:read";
    /// Policy, members, webhooks, settings, requests, workspace tokens.
    OrgAdmin = "org:admin";
    /// Call the routes of an upstream.
    GatewayCall = "gateway:call";
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Permission {
    fn bit(self) -> u32 {
        Self::ALL
            .iter()
            .position(|other| *other == self)
            .map_or(0, |at| 1_u32 << at)
    }

    fn resource(self) -> &'static str {
        self.as_str()
            .split_once(':')
            .map_or("", |(resource, _)| resource)
    }
}

/// A set of permissions. The empty set permits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermissionSet(u32);

/// A pattern that names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission `{0}`")]
pub struct UnknownPermission(pub String);

/// A preset that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown preset `{0}`; there are `reader`, `editor` and `admin`")]
pub struct UnknownPreset(pub String);

impl PermissionSet {
    /// Permits nothing.
    pub const NONE: Self = Self(0);
    /// `*`: everything, also what later versions add.
    pub const ALL: Self = Self(u32::MAX);

    /// The set of these permissions.
    #[must_use]
    pub fn of(permissions: &[Permission]) -> Self {
        Self(
            permissions
                .iter()
                .fold(0, |bits, permission| bits | permission.bit()),
        )
    }

    /// Reads patterns: a permission, `resource:*`, or `*`.
    ///
    /// # Errors
    /// [`UnknownPermission`] with the first pattern that names nothing.
    pub fn parse<'a>(
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, UnknownPermission> {
        let mut bits = 0;
        for pattern in patterns {
            let matching = match pattern.strip_suffix('*') {
                Some("") => u32::MAX,
                Some(stem) => Permission::ALL
                    .iter()
                    .filter(|p| stem.strip_suffix(':') == Some(p.resource()))
                    .fold(0, |all, p| all | p.bit()),
                None => Permission::ALL
                    .iter()
                    .find(|p| p.as_str() == pattern)
                    .map_or(0, |p| p.bit()),
            };
            if matching == 0 {
                return Err(UnknownPermission(pattern.to_owned()));
            }
            bits |= matching;
        }
        Ok(Self(bits))
    }

    /// `reader`, `editor` or `admin`.
    ///
    /// # Errors
    /// [`UnknownPreset`] for any other name.
    pub fn preset(name: &str) -> Result<Self, UnknownPreset> {
        let reader = Self::of(&[
            Permission::WorkspacesRead,
            Permission::ChannelsRead,
            Permission::SecretsRead,
            Permission::TokensRead,
            Permission::AuditRead,
        ]);
        match name {
            "reader" => Ok(reader),
            "editor" => Ok(reader.union(Self::of(&[
                Permission::WorkspacesWrite,
                Permission::ChannelsWrite,
                Permission::SecretsWrite,
                Permission::ChannelsSend,
            ]))),
            "admin" => Ok(Self::ALL),
            other => Err(UnknownPreset(other.to_owned())),
        }
    }

    /// Whether the permission is in the set.
    #[must_use]
    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The shortest patterns that [`PermissionSet::parse`] reads back to this set.
    #[must_use]
    pub fn patterns(self) -> Vec<String> {
        if self == Self::ALL {
            return vec!["*".to_owned()];
        }
        let mut patterns = Vec::new();
        for permission in Permission::ALL.iter().filter(|p| self.has(**p)) {
            let resource = permission.resource();
            let siblings = || Permission::ALL.iter().filter(|p| p.resource() == resource);
            let whole = siblings().count() > 1 && siblings().all(|p| self.has(*p));
            let pattern = if whole {
                format!("{resource}:*")
            } else {
                permission.to_string()
            };
            if patterns.last() != Some(&pattern) {
                patterns.push(pattern);
            }
        }
        patterns
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.iter().find(|p| p.as_str() == text).copied();
        found.ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::proptest, sample::select};

    use super::{Permission, PermissionSet};

    proptest! {
        #[test]
        fn parse_inverts_print(chosen in vec(select(Permission::ALL), 0..15)) {
            let set = PermissionSet::of(&chosen);
            let patterns = set.patterns();
            assert_eq!(PermissionSet::parse(patterns.iter().map(String::as_str)), Ok(set));
            assert!(chosen.iter().all(|p| set.has(*p)));
            assert!(PermissionSet::ALL.covers(set));
        }
    }

    #[test]
    fn the_empty_set_permits_nothing() {
        assert!(Permission::ALL.iter().all(|p| !PermissionSet::NONE.has(*p)));
    }

    #[test]
    fn readers_do_not_reveal() {
        let reader = PermissionSet::preset("reader").expect("a preset");
        assert!(reader.has(Permission::SecretsRead));
        assert!(!reader.has(Permission::SecretsReveal));
        let editor = PermissionSet::preset("editor").expect("a preset");
        assert!(editor.covers(reader) && !reader.covers(editor));
        assert!(!editor.has(Permission::TokensMint));
    }

    #[test]
    fn patterns_that_name_nothing_are_refused() {
        for bad in [
            "",
            ":*",
            "chan*",
            "channels",
            "channels:reed",
            "**",
            "Channels:*",
        ] {
            assert!(PermissionSet::parse([bad]).is_err(), "{bad}");
        }
    }
}
