//! What was typed into a form, so that a page can show it again with what is wrong at the field.

use crate::{failure::Failure, gate::Form, problem, web::sentence};

/// The values of a form, and what is wrong with one of them.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    values: Vec<(String, String)>,
    field: String,
    error: String,
}

impl Typed {
    /// These fields of a form; what can be given more than once is kept each time.
    pub(super) fn of(form: &Form, names: &[&str]) -> Self {
        let mut typed = Self::default();
        for name in names {
            typed = form
                .all(name)
                .fold(typed, |typed, value| typed.with(name, value));
        }
        typed
    }

    /// With a value, unless it is empty.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.values.push((name.to_owned(), value));
        }
        self
    }

    /// With what is wrong.
    pub(super) fn refused(mut self, failure: &Failure) -> Self {
        let answer = problem::answer(failure);
        self.field = answer.field.unwrap_or_default();
        self.error = sentence(&answer.detail);
        self
    }

    /// A value; empty for none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let found = self.values.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// Whether a value is among those of a field.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        let mut all = self.values.iter();
        all.any(|(field, given)| field == name && given == value)
    }

    /// Whether these fields say the same in another form, in whatever order.
    pub(super) fn agrees(&self, other: &Self, names: &[&str]) -> bool {
        let of = |typed: &Self| {
            let values = typed.values.iter();
            let mut own: Vec<(String, String)> = values
                .filter(|(name, _)| names.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.replace("\r\n", "\n")))
                .collect();
            own.sort_unstable();
            own
        };
        of(self) == of(other)
    }

    /// What is wrong with one of these fields (names with spaces between), or with a part of it; empty
    /// for nothing.
    #[must_use]
    pub fn error(&self, names: &str) -> &str {
        let field = self.field.split('.').next().unwrap_or_default();
        let mut names = names.split(' ');
        if !field.is_empty() && names.any(|name| name == self.field || name == field) {
            &self.error
        } else {
            ""
        }
    }

    /// What is wrong that stands at none of these fields.
    #[must_use]
    pub fn other_error(&self, names: &str) -> &str {
        if self.error(names).is_empty() {
            &self.error
        } else {
            ""
        }
    }
}
