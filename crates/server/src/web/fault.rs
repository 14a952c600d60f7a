//! What is wrong with a form that was sent, in words at the field.

use http::StatusCode;

use crate::{failure::Failure, problem};

/// What is wrong with a form; nothing for a form that was not sent yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    field: String,
    words: String,
}

impl Fault {
    /// A fault of a field that is found before anything is asked.
    #[must_use]
    pub fn at_field(field: &str, words: &str) -> Self {
        Self {
            field: field.to_owned(),
            words: words.to_owned(),
        }
    }

    /// What a failure says of the form, if the form is what is wrong: then the page is shown again.
    #[must_use]
    pub fn of(failure: &Failure) -> Option<Self> {
        let answer = problem::answer(failure);
        let is_about_form = match answer.status {
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                true
            }
            // What was asked for is more than may be asked for: less may be.
            StatusCode::FORBIDDEN => answer.code.starts_with("beyond_"),
            _ => false,
        };
        is_about_form.then(|| Self::told(failure))
    }

    /// What a failure says, whatever it is about.
    #[must_use]
    pub fn told(failure: &Failure) -> Self {
        let answer = problem::answer(failure);
        Self {
            words: sentence(without_name(&answer.detail, answer.field.as_deref())),
            field: answer.field.unwrap_or_default(),
        }
    }

    /// Whether anything is wrong.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        !self.words.is_empty()
    }

    /// The words at this field; empty for none.
    #[must_use]
    pub fn at(&self, field: &str) -> &str {
        if self.field == field { &self.words } else { "" }
    }

    /// The words at one of these fields, given with spaces between, or at a part of one.
    #[must_use]
    pub fn at_any(&self, fields: &str) -> &str {
        let whole = self.field.split('.').next().unwrap_or_default();
        let mut fields = fields.split(' ');
        if !whole.is_empty() && fields.any(|field| field == self.field || field == whole) {
            &self.words
        } else {
            ""
        }
    }

    /// The words that belong to none of these fields, given with spaces between, for the head of the
    /// form.
    #[must_use]
    pub fn beside(&self, fields: &str) -> &str {
        if self.at_any(fields).is_empty() {
            &self.words
        } else {
            ""
        }
    }

    /// The same with another name of the field: forms and JSON do not name everything alike.
    #[must_use]
    pub fn renamed(mut self, rename: impl FnOnce(&str) -> String) -> Self {
        self.field = rename(&self.field);
        self
    }

    /// The failure for a page that found the fault by itself.
    #[must_use]
    pub fn failure(&self) -> Failure {
        Failure::OutOfRange {
            field: self.field.clone(),
            reason: self.words.clone(),
        }
    }
}

/// The words without the name of the field at their beginning: the page has a better one beside them.
fn without_name<'a>(words: &'a str, field: Option<&str>) -> &'a str {
    let name = field.map(|field| format!("`{field}` "));
    name.and_then(|name| words.strip_prefix(&name))
        .unwrap_or(words)
}

/// A sentence of the words of an error.
#[must_use]
pub fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut text: String = first.into_iter().flatten().chain(letters).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Fault;
    use crate::failure::Failure;

    #[test]
    fn words_stand_at_the_field_that_is_wrong() {
        let fault = Fault::of(&Failure::out_of_range("name", "must not be empty"));
        let fault = fault.expect("about the form");
        assert_eq!(fault.at("name"), "Must not be empty.");
        assert_eq!(fault.at("labels"), "");
        assert_eq!(fault.beside("labels name"), "");
        assert_eq!(fault.beside("labels"), "Must not be empty.");
    }

    #[test]
    fn what_is_not_about_the_form_is_another_page() {
        assert_eq!(Fault::of(&Failure::NotFound("workspace")), None);
        assert_eq!(Fault::of(&Failure::NotRecorded), None);
    }
}
