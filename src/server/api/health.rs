//! Whether the process lives, and whether requests should come here.

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};

use super::Api;
use crate::ConnectionState;

pub(super) fn routes() -> Router<Api> {
    // People type the shorter names by habit.
    Router::new()
        .route("/livez", get(alive))
        .route("/health", get(alive))
        .route("/ping", get(alive))
        .route("/readyz", get(ready))
        .route("/ready", get(ready))
        .route("/version", get(version))
}

async fn alive() -> &'static str {
    "ok\n"
}

/// 503 while the engine starts or stops, while its store stands still, and while a connection
/// needs a person. A connection that tries again is a warning only: the rest works.
async fn ready(State(api): State<Api>) -> (StatusCode, Json<Value>) {
    let mut reasons = api.not_ready();
    let mut warnings = Vec::new();
    for status in api.engine().map_or_else(|_| Vec::new(), |engine| engine.connections()) {
        let why = status.error.as_deref().unwrap_or("no reason given");
        let name = &status.name;
        match status.state {
            ConnectionState::Failed => {
                reasons.push(format!("connection \"{name}\" failed: {why}"));
            }
            ConnectionState::Degraded => {
                warnings.push(format!("connection \"{name}\" tries again: {why}"));
            }
            _ => {}
        }
    }
    for one in api.engine().map_or_else(|_| Vec::new(), |engine| engine.quarantined()) {
        let (model, twin) = (one.model, one.twin);
        warnings.push(format!("twin \"{twin}\" of model \"{model}\" is in quarantine"));
    }
    let (ready, status) = match reasons.is_empty() {
        true => (true, StatusCode::OK),
        false => (false, StatusCode::SERVICE_UNAVAILABLE),
    };
    (status, Json(json!({ "ready": ready, "reasons": reasons, "warnings": warnings })))
}

async fn version() -> Json<Value> {
    Json(json!({ "name": "twinflow", "version": env!("CARGO_PKG_VERSION") }))
}
