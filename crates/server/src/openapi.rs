//! The reference of the API: OpenAPI 3.1, made of the same table that the router is made of.

use std::sync::{Arc, OnceLock};

use claviger_core::action::Needs;
use claviger_wire::problem::{MEDIA_TYPE, Problem};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApiBuilder,
        PathItem, PathsBuilder, Ref, RefOr, Required, ResponseBuilder,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::Schema,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::router::{OPEN_ROUTES, RouteInfo, routes};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// What the reference says of a route.
#[derive(Clone)]
pub(crate) struct Doc {
    summary: &'static str,
    query: &'static [&'static str],
    headers: &'static [&'static str],
    body: Option<(String, bool)>,
    status: u16,
    answer: Option<String>,
    media_type: &'static str,
    schemas: Schemas,
}

impl std::fmt::Debug for Doc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doc")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl Doc {
    pub(crate) fn new(summary: &'static str) -> Self {
        Self {
            summary,
            query: &[],
            headers: &[],
            body: None,
            status: 200,
            answer: None,
            media_type: "application/json",
            schemas: Vec::new(),
        }
    }

    fn with_schema<T: ToSchema + PartialSchema>(&mut self) -> String {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        name
    }

    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some((self.with_schema::<T>(), true));
        self
    }

    pub(crate) fn takes_optional<T: ToSchema>(mut self) -> Self {
        self.body = Some((self.with_schema::<T>(), false));
        self
    }

    pub(crate) fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        self.status = status;
        self.answer = Some(self.with_schema::<T>());
        self
    }

    pub(crate) const fn streams(mut self, media_type: &'static str) -> Self {
        self.media_type = media_type;
        self
    }

    pub(crate) const fn query(mut self, names: &'static [&'static str]) -> Self {
        self.query = names;
        self
    }

    pub(crate) const fn headers(mut self, names: &'static [&'static str]) -> Self {
        self.headers = names;
        self
    }
}

/// The document, made once.
#[must_use]
pub(crate) fn json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| build().to_pretty_json().unwrap_or_default())
}

/// A file of the page at `/docs`: its media type and its bytes.
pub(crate) fn page(file: &str) -> Option<(String, Vec<u8>)> {
    static CONFIG: OnceLock<Arc<utoipa_swagger_ui::Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Arc::new(utoipa_swagger_ui::Config::new(["/openapi.json"])));
    let found = utoipa_swagger_ui::serve(file, Arc::clone(config))
        .ok()
        .flatten()?;
    Some((found.content_type, found.bytes.into_owned()))
}

fn build() -> utoipa::openapi::OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new().security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(
                    "An org API key (`mole_…`), `ADMIN_TOKEN`, or a deprecated workspace token.",
                ))
                .build(),
        ),
    );
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    for route in routes() {
        schemas.extend(route.doc.schemas.iter().cloned());
        let item = PathItem::new(method(&route), operation(&route));
        // A parameter that takes the rest of the path: OpenAPI has no word for that.
        paths = paths.path(route.path.replace("{*", "{"), item);
    }
    for &(path, summary) in OPEN_ROUTES {
        let operation = OperationBuilder::new()
            .summary(Some(summary))
            .tag("operation")
            .operation_id(Some(operation_id("get", path)))
            .parameters(Some(path_parameters(path)))
            .response("200", ResponseBuilder::new().description("The answer"))
            .securities(Some(Vec::<SecurityRequirement>::new()));
        paths = paths.path(path, PathItem::new(HttpMethod::Get, operation));
    }
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Claviger")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Org-scoped API keys for multi-agent platforms."))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                )),
        )
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

fn method(route: &RouteInfo) -> HttpMethod {
    match route.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split(['/', '{', '}', '.', '*'])
        .filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |id, word| {
        format!("{id}_{word}")
    })
}

fn path_parameters(path: &str) -> Vec<utoipa::openapi::path::Parameter> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| parameter(name.trim_start_matches('*'), ParameterIn::Path))
        .collect()
}

fn parameter(name: &str, place: ParameterIn) -> utoipa::openapi::path::Parameter {
    let required = if place == ParameterIn::Path {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(String::schema()))
        .build()
}

/// What a route needs, in words and as the document has it.
fn access(needs: Needs) -> (String, Vec<SecurityRequirement>) {
    let bearer = SecurityRequirement::new("bearer", Vec::<String>::new());
    match needs {
        Needs::Anyone | Needs::GivingUp => ("Needs any key of the org.".to_owned(), vec![bearer]),
        Needs::Permission(permission) => (format!("Needs `{permission}`."), vec![bearer]),
        Needs::AdminToken => ("Needs `ADMIN_TOKEN`.".to_owned(), vec![bearer]),
        Needs::NoCredential => (
            "Needs no credential; one that is presented must be good.".to_owned(),
            // The empty one says that none is needed (OpenAPI 3.1, 4.8.10).
            vec![SecurityRequirement::default(), bearer],
        ),
    }
}

fn operation(route: &RouteInfo) -> Operation {
    let doc = &route.doc;
    let (needs, securities) = access(route.needs);
    let reference = |name: &String| Ref::from_schema_name(name.clone());
    let mut answer = ResponseBuilder::new().description("Done");
    answer = match &doc.answer {
        Some(name) => answer.content(
            doc.media_type,
            ContentBuilder::new().schema(Some(reference(name))).build(),
        ),
        None => answer.content(
            doc.media_type,
            ContentBuilder::new().schema(Some(String::schema())).build(),
        ),
    };
    let problem = || {
        let schema = Ref::from_schema_name(Problem::name().into_owned());
        ContentBuilder::new().schema(Some(schema)).build()
    };
    let mut parameters = path_parameters(route.path);
    parameters.extend(
        doc.query
            .iter()
            .map(|name| parameter(name, ParameterIn::Query)),
    );
    parameters.extend(
        doc.headers
            .iter()
            .map(|name| parameter(name, ParameterIn::Header)),
    );
    if doc.schemas.is_empty()
        || route.path.starts_with("/org")
        || route.path.starts_with("/workspaces")
    {
        parameters.push(parameter("X-Org-Id", ParameterIn::Header));
    }
    let refused = ResponseBuilder::new()
        .description("Not done; `code` says why")
        .content(MEDIA_TYPE, problem());
    let mut operation = OperationBuilder::new()
        .summary(Some(doc.summary))
        .description(Some(needs))
        .tag(tag(route.path))
        .operation_id(Some(operation_id(route.method.as_str(), route.path)))
        .parameters(Some(parameters))
        .response(doc.status.to_string(), answer)
        .response("default", refused)
        .securities(Some(securities));
    if let Some((name, is_required)) = &doc.body {
        let required = if *is_required {
            Required::True
        } else {
            Required::False
        };
        let content = ContentBuilder::new().schema(Some(reference(name))).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(required));
        operation = operation.request_body(Some(body.build()));
    }
    if route.path.ends_with("/tokens") && route.path.starts_with("/workspaces") {
        operation = operation.deprecated(Some(utoipa::openapi::Deprecated::True));
    }
    operation.build()
}

fn tag(path: &str) -> &'static str {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [_, "org", "audit", ..] => "audit",
        [_, "org", "tokens", "found"] | [_, "integrations", ..] => "found secrets",
        [_, "org", ..] => "keys",
        [_, "admin", ..] => "orgs",
        [_, "workspaces", _, "channels", ..] => "channels",
        [_, "workspaces", _, "secrets", ..] => "secrets",
        [_, "workspaces", _, "tokens", ..] => "workspace tokens (deprecated)",
        _ => "workspaces",
    }
}
