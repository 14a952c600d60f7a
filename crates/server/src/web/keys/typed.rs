//! What was typed into a form, so that a page can show it again with what is wrong at the field.

use crate::{failure::Failure, gate::Form, web::fault::Fault};

/// The values of a form, and what is wrong with one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed {
    values: Vec<(String, String)>,
    fault: Fault,
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
        self.fault = Fault::told(failure);
        self
    }

    /// A value; empty for none.
    #[must_use]
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.values.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value)
    }

    /// Every value of a field.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.values.iter().filter(move |(field, _)| field == name);
        values.map(|(_, value)| value.as_str())
    }

    /// Whether a value is among those of a field.
    #[must_use]
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
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
    pub(super) fn error(&self, names: &str) -> &str {
        self.fault.at_any(names)
    }

    /// What is wrong that stands at none of these fields.
    #[must_use]
    pub(super) fn other_error(&self, names: &str) -> &str {
        self.fault.beside(names)
    }
}
