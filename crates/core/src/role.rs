//! The roles of people: what a provider calls them, and the preset that each comes to.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::permission::{PermissionSet, UnknownPreset};

/// What a person may do: one of the presets. The later one covers the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees everything but the values of secrets.
    Reader,
    /// Also writes workspaces, channels and secrets.
    Editor,
    /// May do everything.
    Admin,
}

impl Role {
    /// Its name, which is that of the preset.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// What it permits.
    #[must_use]
    pub fn permissions(self) -> PermissionSet {
        // Each of the names is that of a preset; a test says so.
        PermissionSet::preset(self.as_str()).unwrap_or(PermissionSet::NONE)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        match text {
            "reader" => Ok(Self::Reader),
            "editor" => Ok(Self::Editor),
            "admin" => Ok(Self::Admin),
            other => Err(UnknownPreset(other.to_owned())),
        }
    }
}

/// Which role each name at the provider comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMap {
    names: BTreeMap<String, Role>,
    /// The role of `*`: of everybody whom the provider lets in.
    everybody: Option<Role>,
}

/// Why a text is no map of roles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleMapError {
    /// A part without `=`, or with nothing before it.
    #[error("`{0}` is not of the form name=role")]
    Shape(String),
    /// The same name twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// No such role.
    #[error("unknown role `{0}`; there are `reader`, `editor` and `admin`")]
    Unknown(String),
}

impl Default for RoleMap {
    /// `admin`, `editor` and `reader` are what they say; `member`, which `WorkOS` gives to
    /// everybody, is a reader.
    fn default() -> Self {
        let names = [
            ("admin", Role::Admin),
            ("editor", Role::Editor),
            ("reader", Role::Reader),
            ("member", Role::Reader),
        ];
        Self {
            names: names.map(|(name, role)| (name.to_owned(), role)).into(),
            everybody: None,
        }
    }
}

impl RoleMap {
    /// Whether everybody whom the provider lets in has a role.
    #[must_use]
    pub const fn everybody(&self) -> Option<Role> {
        self.everybody
    }

    /// The widest role among these names, with the name that it comes from. A name that is not in
    /// the map comes to nothing.
    #[must_use]
    pub fn widest<'a>(&self, names: &[&'a str]) -> Option<(Role, &'a str)> {
        let known = names
            .iter()
            .filter_map(|name| Some((*self.names.get(*name)?, *name)));
        known.max_by_key(|(role, _)| *role)
    }
}

impl FromStr for RoleMap {
    type Err = RoleMapError;

    /// Reads `platform-admins=admin,everyone=reader`; `*=reader` is for everybody.
    fn from_str(text: &str) -> Result<Self, RoleMapError> {
        let mut map = Self {
            names: BTreeMap::new(),
            everybody: None,
        };
        for part in text.split(',') {
            let shape = || RoleMapError::Shape(part.trim().to_owned());
            let (name, role) = part.rsplit_once('=').ok_or_else(shape)?;
            let (name, role) = (name.trim(), role.trim());
            if name.is_empty() {
                return Err(shape());
            }
            let role = role
                .parse()
                .map_err(|error: UnknownPreset| RoleMapError::Unknown(error.0))?;
            let old = if name == "*" {
                map.everybody.replace(role)
            } else {
                map.names.insert(name.to_owned(), role)
            };
            if old.is_some() {
                return Err(RoleMapError::Twice(name.to_owned()));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, RoleMap, RoleMapError};
    use crate::permission::PermissionSet;

    #[test]
    fn roles_are_presets_and_each_covers_the_one_before() {
        let sets = [Role::Reader, Role::Editor, Role::Admin].map(|role| {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(PermissionSet::preset(role.as_str()), Ok(role.permissions()));
            role.permissions()
        });
        assert!(sets[1].covers(sets[0]) && sets[2].covers(sets[1]));
        assert!(!sets[0].covers(sets[1]) && !sets[1].covers(sets[2]));
    }

    #[test]
    fn widest_role_counts_and_unknown_names_do_not() {
        let map = RoleMap::default();
        assert_eq!(
            map.widest(&["member", "editor", "god"]),
            Some((Role::Editor, "editor"))
        );
        assert_eq!(map.widest(&["member"]), Some((Role::Reader, "member")));
        assert_eq!(map.widest(&["Admin", "god"]), None);
        assert_eq!(map.everybody(), None);
    }

    #[test]
    fn map_that_is_given_replaces_the_usual_one() {
        let map: RoleMap = "cn=ops=admin, *=reader".parse().expect("a map");
        assert_eq!(map.widest(&["cn=ops"]), Some((Role::Admin, "cn=ops")));
        assert_eq!(map.widest(&["admin"]), None);
        assert_eq!(map.everybody(), Some(Role::Reader));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let parse = |text: &str| text.parse::<RoleMap>();
        assert_eq!(parse(""), Err(RoleMapError::Shape(String::new())));
        assert_eq!(parse("a"), Err(RoleMapError::Shape("a".to_owned())));
        assert_eq!(
            parse("=admin"),
            Err(RoleMapError::Shape("=admin".to_owned()))
        );
        assert_eq!(parse("a=god"), Err(RoleMapError::Unknown("god".to_owned())));
        assert_eq!(
            parse("a=admin,a=reader"),
            Err(RoleMapError::Twice("a".to_owned()))
        );
    }
}
