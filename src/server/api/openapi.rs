//! `/openapi.json`: every route of the table with its role and its answers, for programs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};
use twinflow_connectors::rest::{
    ROUTES,
    access::{Need, Role, Route},
};

use super::{Api, events::EVENTS, table};

/// What is said of a route beside what its line in the table says.
struct About {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Names in its query.
    query: &'static [&'static str],
    /// Type of what it takes, if it takes anything.
    takes: Option<&'static str>,
    /// Type of what it gives when all is well.
    gives: &'static str,
    answers: &'static [u16],
}

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

const fn about(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    answers: &'static [u16],
) -> About {
    About { method, path, summary, query: &[], takes: None, gives: JSON, answers }
}

impl About {
    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn takes(self, takes: &'static str) -> Self {
        Self { takes: Some(takes), ..self }
    }

    const fn gives(self, gives: &'static str) -> Self {
        Self { gives, ..self }
    }
}

/// What posts messages may be answered.
const POSTED: &[u16] = &[200, 400, 404, 408, 409, 413, 415, 422, 429, 431, 500, 503, 504];

const ALL: &[About] = &[
    about("GET", "/", "what there is, for people", &[200]).gives(TEXT),
    about("GET", "/livez", "whether the process lives", &[200]).gives(TEXT),
    about("GET", "/health", "the same as /livez", &[200]).gives(TEXT),
    about("GET", "/ping", "the same as /livez", &[200]).gives(TEXT),
    about("GET", "/readyz", "whether requests should come here, and why not", &[200, 503]),
    about("GET", "/ready", "the same as /readyz", &[200, 503]),
    about("GET", "/version", "name and version", &[200]),
    about("GET", "/openapi.json", "this document", &[200]),
    about("GET", "/metrics", "OpenMetrics text", &[200, 503]).gives("application/openmetrics-text"),
    about("GET", "/v1/twins/{model}", "ids of a model's twins", &[200, 400, 404, 503, 504])
        .query(&["limit", "after"]),
    about("GET", "/v1/twins/{model}/{id}", "a twin's state", &[200, 400, 404, 500, 503, 504])
        .query(&["committed"]),
    about("GET", "/v1/twins/{model}/{id}/calls", "what is done to a twin", &[200, 400, 404, 503])
        .gives(EVENTS),
    about("GET", "/v1/calls/{model}", "what is done to a model's twins", &[200, 400, 404, 503])
        .gives(EVENTS),
    about("PUT", "/v1/twins/{model}/{id}", "create a twin", &[201, 400, 404, 409, 500, 503, 504]),
    about("DELETE", "/v1/twins/{model}/{id}", "remove a twin", &[200, 400, 404, 503, 504]),
    about("GET", "/v1/connections", "all connections, and what they wait for", &[200, 503]),
    about("GET", "/v1/connections/{name}", "one connection", &[200, 400, 404, 503]),
    about("POST", "/v1/connections/{name}/pause", "take no messages", &[200, 400, 404, 503]),
    about("POST", "/v1/connections/{name}/resume", "go on", &[200, 400, 404, 503]),
    about("GET", "/v1/dead-letters", "what could not be processed", &[200, 400, 503])
        .query(&["limit", "after"]),
    about(
        "GET",
        "/v1/dead-letters/{id}",
        "one of them with its payload",
        &[200, 400, 404, 500, 503],
    ),
    about("DELETE", "/v1/dead-letters/{id}", "forget it", &[200, 400, 404, 503, 504]),
    about(
        "POST",
        "/v1/dead-letters/{id}/replay",
        "give it to its twin once more",
        &[200, 400, 404, 409, 500, 503, 504],
    ),
    #[cfg(feature = "live-views")]
    about("GET", "/v1/views", "names of the live views", &[200, 503]),
    #[cfg(feature = "live-views")]
    about("GET", "/v1/views/{name}", "a live view and its epoch", &[200, 400, 404, 503]),
    #[cfg(feature = "live-views")]
    about("GET", "/v1/views/{name}/changes", "what becomes of it", &[200, 400, 404, 503])
        .gives(EVENTS),
    about("GET", "/v1/quarantine", "twins that are set aside, and why", &[200, 503]),
    about(
        "POST",
        "/v1/quarantine/{model}/{id}/release",
        "take messages for a twin again",
        &[200, 400, 404, 503, 504],
    ),
    about("POST", "/v1/twins/{model}/{id}/messages", "a message, or an array of them", POSTED)
        .takes(JSON),
    about("POST", "/v1/messages", "messages for any twins, one a line", POSTED)
        .takes(NDJSON)
        .gives(NDJSON),
    about(
        "GET",
        "/v1/twins/{model}/{id}/feedback",
        "what waits for a device",
        &[200, 204, 400, 404, 429, 503],
    )
    .query(&["wait_secs", "max"]),
    about(
        "POST",
        "/v1/twins/{model}/{id}/feedback/ack",
        "a device has its feedback",
        &[204, 400, 404, 408, 413, 415, 429, 431, 503],
    )
    .takes(JSON),
];

pub(super) async fn show(State(api): State<Api>) -> Json<Value> {
    let mounted = if api.settings().takes_messages { &ROUTES[..] } else { &[] };
    Json(document(table::routes().chain(mounted.iter().copied())))
}

/// The document of these routes.
fn document(routes: impl Iterator<Item = Route>) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let operation = operation(&route);
        paths.entry(route.path).or_default().insert(route.method.to_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "twinflow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Without a file of keys no request needs one.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
            },
            "schemas": { "Problem": problem() },
        },
    })
}

/// What is said of a route.
fn about_of(route: &Route) -> Option<&'static About> {
    ALL.iter().find(|about| about.method == route.method && about.path == route.path)
}

/// Every status that a route may answer: its own, and those of who is let in.
fn answers(route: &Route) -> Vec<u16> {
    let own = about_of(route).map_or(&[][..], |about| about.answers);
    // A foreign page is refused everywhere.
    let guard: &[u16] = if route.need == Need::Open { &[403] } else { &[401, 403, 429] };
    let mut all = [own, guard].concat();
    all.sort_unstable();
    all.dedup();
    all
}

fn operation(route: &Route) -> Value {
    let about = about_of(route);
    let roles = Role::ALL.into_iter().filter(|role| role.may(route.need));
    let roles: Vec<_> = roles.map(Role::name).collect();
    let responses: Map<_, _> = answers(route)
        .into_iter()
        .map(|status| {
            let gives = about.map_or(JSON, |about| about.gives);
            (status.to_string(), response(status, route, gives))
        })
        .collect();
    let mut operation = json!({
        "summary": about.map(|about| about.summary),
        "parameters": parameters(route.path, about.map_or(&[], |about| about.query)),
        "responses": responses,
        "x-roles": roles,
        "security": match route.need {
            Need::Open => json!([]),
            _ => json!([{ "bearer": roles }, { "key": roles }]),
        },
    });
    if let Some(takes) = about.and_then(|about| about.takes) {
        operation["requestBody"] = json!({ "required": true, "content": { takes: {} } });
    }
    operation
}

fn parameters(path: &str, query: &[&str]) -> Vec<Value> {
    let parameter = |name: &str, place: &str| {
        let required = place == "path";
        json!({ "name": name, "in": place, "required": required, "schema": { "type": "string" } })
    };
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let names = names.map(|name| parameter(name, "path"));
    names.chain(query.iter().map(|name| parameter(name, "query"))).collect()
}

fn response(status: u16, route: &Route, gives: &str) -> Value {
    let known = axum::http::StatusCode::from_u16(status).ok();
    let words = known.and_then(|status| status.canonical_reason()).unwrap_or_default();
    // Whether it is ready is told in the same form either way.
    let is_readiness = matches!(route.path, "/readyz" | "/ready");
    let content = match status {
        204 => json!({}),
        200..=299 => json!({ gives: {} }),
        503 if is_readiness => json!({ gives: {} }),
        _ => json!({
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        }),
    };
    json!({ "description": words, "content": content })
}

/// RFC 9457, with the id of the request.
fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "id"],
        "properties": {
            "type": text, "title": text, "status": { "type": "integer" }, "detail": text,
            "id": text,
        },
    })
}

/// The statuses that the document tells of a request; `None`: no route is meant.
#[cfg(test)]
pub(super) fn told(method: &str, path: &str) -> Option<Vec<u16>> {
    let fits = |route: &Route| {
        let (mut known, mut asked) = (route.path.split('/'), path.split('/'));
        let method = if method == "HEAD" { "GET" } else { method };
        route.method == method
            && known.by_ref().zip(asked.by_ref()).all(|(a, b)| a.starts_with('{') || a == b)
            && route.path.split('/').count() == path.split('/').count()
    };
    table::routes().chain(ROUTES).find(fits).map(|route| answers(&route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_table_is_in_it_with_its_roles_and_nothing_else_is() {
        let routes: Vec<_> = table::routes().chain(ROUTES).collect();
        let document = document(routes.iter().copied());
        for route in &routes {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            assert!(operation["summary"].is_string(), "{} {}", route.method, route.path);
            let roles = Role::ALL.into_iter().filter(|role| role.may(route.need));
            let roles: Vec<_> = roles.map(|role| Value::from(role.name())).collect();
            assert_eq!(operation["x-roles"], Value::from(roles));
            let open = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(open, route.need == Need::Open, "{}", route.path);
            assert!(operation["responses"].as_object().unwrap().len() > 1, "{}", route.path);
        }
        let operations = document["paths"].as_object().unwrap().values();
        let count: usize = operations.map(|methods| methods.as_object().unwrap().len()).sum();
        assert_eq!((count, ALL.len()), (routes.len(), routes.len()));
    }
}
