//! `Browser`: a person's browser, with the cookie of its session and the headers that browsers send.

use crate::{
    ask::{Answer, Ask},
    service::{ADMIN, Service, text},
};

/// A browser that is signed in.
pub(crate) struct Browser<'a> {
    service: &'a Service,
    pub(crate) cookie: String,
}

impl<'a> Browser<'a> {
    /// The local administrator, by a link of `ADMIN_TOKEN`.
    pub(crate) async fn admin(service: &'a Service) -> Self {
        Self::with_link_of(service, ADMIN).await
    }

    /// Whoever opens a link that this bearer made.
    pub(crate) async fn with_link_of(service: &'a Service, bearer: &str) -> Self {
        let answer = form(
            service,
            "/canvas/link",
            &[("token", &link(service, bearer).await)],
        );
        let answer = answer.header("sec-fetch-site", "same-origin").send().await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        Self { service, cookie }
    }

    /// One that holds this cookie.
    pub(crate) const fn holding(service: &'a Service, cookie: String) -> Self {
        Self { service, cookie }
    }

    /// Opens a page.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let ask = self.service.ask("GET", path).header("cookie", &self.cookie);
        ask.header("sec-fetch-site", "same-origin").send().await
    }

    /// Sends a form of one of our own pages.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from("same-origin", path, fields).await
    }

    /// Sends a form from a page of this site.
    pub(crate) async fn post_from(
        &self,
        site: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let ask = form(self.service, path, fields).header("cookie", &self.cookie);
        ask.header("sec-fetch-site", site).send().await
    }

    /// Sends a form that changes something, and says where it leads.
    #[track_caller]
    pub(crate) fn goes(&self, path: &str, fields: &[(&str, &str)]) -> impl Future<Output = String> {
        let asked = self.post(path, fields);
        async move {
            let answer = asked.await;
            assert_eq!(answer.status, 303, "{path}: {}", answer.text());
            answer.header("location").expect("a place").to_owned()
        }
    }
}

/// A form that is sent by nobody yet.
pub(crate) fn form(service: &Service, path: &str, fields: &[(&str, &str)]) -> Ask {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        body.append_pair(name, value);
    }
    let ask = service.ask("POST", path);
    ask.header("content-type", "application/x-www-form-urlencoded")
        .raw(body.finish())
}

/// What stands behind `#` in a link that this bearer makes.
pub(crate) async fn link(service: &Service, bearer: &str) -> String {
    let made = service
        .ask_as(bearer, "POST", "/org/login-links")
        .send()
        .await;
    let url = text(&made.ok(201)["url"]);
    url.rsplit('#').next().expect("a token").to_owned()
}

/// The secret of the call that a page shows.
pub(crate) fn secret_in(page: &str) -> String {
    let (_, rest) = page.split_once("Bearer ").expect("a call");
    rest.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

impl Answer {
    /// The page, after a check of the status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        self.text()
    }

    /// The page, which is shown.
    #[track_caller]
    pub(crate) fn page(&self) -> String {
        self.is(200)
    }
}
