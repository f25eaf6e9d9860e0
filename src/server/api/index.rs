//! The page at `/`, and what every path that does not exist answers.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::{Api, problem::Problem};

const ADDRESSES: &str = "\
GET    /v1/twins/{model}                ids of twins
GET    /v1/twins/{model}/{id}           a twin's state; ?committed=false
PUT    /v1/twins/{model}/{id}           create a twin
DELETE /v1/twins/{model}/{id}           remove a twin
GET    /v1/connections                  connections and what they wait for
POST   /v1/connections/{name}/pause     and /resume
GET    /v1/dead-letters                 what could not be processed
POST   /v1/dead-letters/{number}/replay once more
DELETE /v1/dead-letters/{number}        forget it
GET    /v1/quarantine                   twins that are set aside, and why
GET    /livez  /readyz  /metrics  /version  /openapi.json
";

const MESSAGES: &str = "\
POST   /v1/twins/{model}/{id}/messages  a message, or an array of them
POST   /v1/messages                     NDJSON, for any twin
GET    /v1/twins/{model}/{id}/feedback  what waits for a device
";

pub(super) async fn index(State(api): State<Api>) -> impl IntoResponse {
    let mut text = format!("twinflow {}\n\n", env!("CARGO_PKG_VERSION"));
    if let Ok(engine) = api.engine() {
        text.push_str(&format!("models: {}\n\n", engine.models().join(", ")));
    }
    text.push_str(ADDRESSES);
    if api.settings().takes_messages {
        text.push_str(MESSAGES);
    }
    for address in &api.settings().elsewhere {
        text.push_str(&format!("\nmessages also go to http://{address}\n"));
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], (StatusCode::OK, text))
}

pub(super) async fn wrong_method(request: Request) -> Problem {
    let detail = format!("{} is not a method of this path", request.method());
    Problem::new(405, "method", detail)
}

pub(super) async fn unknown_path(State(api): State<Api>, request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(80).collect();
    let mut detail = format!("there is nothing at {path}; / lists what there is");
    let settings = api.settings();
    if !settings.takes_messages && (path.ends_with("/messages") || path.contains("/feedback")) {
        detail = match settings.elsewhere.as_slice() {
            [] => "no REST connection is configured; add [connections.web] with type = \"rest\""
                .to_owned(),
            elsewhere => format!("messages go to http://{}", elsewhere.join(" or http://")),
        };
    }
    Problem::new(404, "unknown-path", detail)
}
