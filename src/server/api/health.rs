//! Whether the process lives, and whether requests should come here.

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use twinflow_connectors::rest::access::{Caller, Need};

use super::Api;
use crate::{
    ConnectionState,
    engine::{Step, Task},
};

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 503 while the engine starts or stops, while its store stands still, and while a connection
/// needs a person. A connection that tries again is a warning only: the rest works. Where keys are
/// asked for, the reasons are for those who may read.
pub(super) async fn ready(
    State(api): State<Api>,
    caller: Option<Extension<Caller>>,
) -> (StatusCode, Json<Value>) {
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
    if api.engine().is_ok_and(|engine| engine.statistics().careful) {
        let why = "engines died: one message per link and epoch is taken until a minute goes well";
        warnings.push(why.to_owned());
    }
    let (ready, status) = match reasons.is_empty() {
        true => (true, StatusCode::OK),
        false => (false, StatusCode::SERVICE_UNAVAILABLE),
    };
    let reads = |caller: Extension<Caller>| caller.is_unbound() && caller.role().may(Need::Read);
    if api.settings().access.is_some() && !caller.is_some_and(reads) {
        return (status, Json(json!({ "ready": ready })));
    }
    let mut body = json!({ "ready": ready, "reasons": reasons, "warnings": warnings });
    if let Some(step) = api.recovery() {
        body["recovery"] = recovery(&step);
    }
    (status, Json(body))
}

/// How far a start is, for programs.
fn recovery(step: &Step) -> Value {
    let (task, unit) = match step.task {
        Task::Reading => ("reading", "bytes"),
        Task::Loading => ("loading", "twins"),
    };
    json!({
        "task": task,
        "unit": unit,
        "done": step.done,
        "total": step.total,
        "per_second": step.per_second,
        "seconds_left": step.seconds_left(),
    })
}

pub(super) async fn version() -> Json<Value> {
    Json(json!({ "name": "twinflow", "version": env!("CARGO_PKG_VERSION") }))
}
