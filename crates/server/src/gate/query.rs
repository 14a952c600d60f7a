//! What a caller gives beside a body in JSON: query parameters, and the fields of a form.

use std::{collections::BTreeMap, str::FromStr};

use claviger_store::Page;

use crate::failure::Failure;

/// The largest `limit` of a list.
const LIST_LIMIT_MAX: u32 = 200;
/// The `limit` of a list unless the caller says otherwise.
const LIST_LIMIT: u32 = 50;

/// The fields of a form, in the order of the page.
#[derive(Debug)]
pub struct Form {
    pub(super) values: Vec<(String, String)>,
}

impl Form {
    /// A field without the space around it; `None` where it is absent or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.iter().find(|(field, _)| field == name);
        let value = value.map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    /// A field exactly as it was typed, with the line breaks that people mean: a browser sends each
    /// as two characters.
    #[must_use]
    pub fn exact(&self, name: &str) -> Option<String> {
        let value = self.values.iter().find(|(field, _)| field == name);
        value.map(|(_, value)| value.replace("\r\n", "\n"))
    }

    /// Every value of a field that can be given more than once, the empty ones left out.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.values.iter().filter(move |(field, _)| field == name);
        values
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// The query parameters of a request.
#[derive(Debug)]
pub struct Query {
    pub(super) values: BTreeMap<String, String>,
}

impl Query {
    /// A parameter as it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A parameter parsed.
    ///
    /// # Errors
    /// 400 naming it.
    pub fn parse<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Failure::Malformed {
                code: "bad_query",
                field: Some(name.to_owned()),
                reason: format!("query parameter `{name}` must be {expected}"),
            }),
        }
    }

    /// The same without what was left empty in a form.
    #[must_use]
    pub fn filled(mut self) -> Self {
        self.values.retain(|_, value| !value.trim().is_empty());
        self
    }

    /// The same with another value of a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The part of a list that is asked for.
    ///
    /// # Errors
    /// 400 for a malformed `cursor` or `limit`, 422 for a `limit` out of range.
    pub fn page<C: FromStr>(&self) -> Result<Page<C>, Failure> {
        let limit = self.parse("limit", "a whole number")?.unwrap_or(LIST_LIMIT);
        if !(1..=LIST_LIMIT_MAX).contains(&limit) {
            return Err(Failure::out_of_range(
                "limit",
                format!("must be 1 to {LIST_LIMIT_MAX}"),
            ));
        }
        Ok(Page {
            after: self.parse("cursor", "the `next_cursor` of an answer")?,
            limit,
        })
    }
}
