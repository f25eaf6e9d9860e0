//! Quarantine: which twins are set aside and why, and their release.

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    Api,
    problem::Problem,
    twins::{path, problem},
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/quarantine", get(list))
        .route("/v1/quarantine/{model}/{id}/release", post(release))
}

async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "quarantine": api.engine()?.quarantined() })))
}

async fn release(
    State(api): State<Api>,
    twin: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let (model, id) = path(twin)?;
    let engine = api.engine()?;
    if engine.release(&model, &id).await.map_err(|error| problem(engine, error))? {
        tracing::info!(model, twin = id, "released from quarantine by the API");
        return Ok(Json(json!({ "model": model, "twin": id, "released": true })));
    }
    let id: String = id.chars().take(80).collect();
    let detail = format!("twin \"{id}\" of model \"{model}\" is not in quarantine");
    Err(Problem::new(404, "not-in-quarantine", detail))
}
