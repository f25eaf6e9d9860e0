//! Connections: where each is and why, pause and resume.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{Api, problem::Problem, twins::path};
use crate::{ConnectionStatus, EngineHandle};

pub(super) type Name = Result<Path<String>, axum::extract::rejection::PathRejection>;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "connections": api.engine()?.connections() })))
}

pub(super) async fn show(
    State(api): State<Api>,
    name: Name,
) -> Result<Json<ConnectionStatus>, Problem> {
    status(api.engine()?, &path(name)?).map(Json)
}

pub(super) async fn pause(State(api): State<Api>, name: Name) -> Result<Json<Value>, Problem> {
    ask(&api, &path(name)?, "paused", EngineHandle::pause)
}

pub(super) async fn resume(State(api): State<Api>, name: Name) -> Result<Json<Value>, Problem> {
    ask(&api, &path(name)?, "running", EngineHandle::resume)
}

/// Asks for a state; the connection gets there by itself.
fn ask(
    api: &Api,
    name: &str,
    asked: &str,
    ask: impl Fn(&EngineHandle, &str) -> bool,
) -> Result<Json<Value>, Problem> {
    let engine = api.engine()?;
    if !ask(engine, name) {
        return Err(unknown(engine, name));
    }
    tracing::info!(connection = name, asked, "asked by the API");
    Ok(Json(json!({ "connection": name, "asked": asked })))
}

fn status(engine: &EngineHandle, name: &str) -> Result<ConnectionStatus, Problem> {
    let known = engine.connections().into_iter().find(|connection| connection.name == name);
    known.ok_or_else(|| unknown(engine, name))
}

fn unknown(engine: &EngineHandle, name: &str) -> Problem {
    let name: String = name.chars().take(80).collect();
    let names: Vec<_> = engine.connections().into_iter().map(|known| known.name).collect();
    let detail = format!("no connection is called \"{name}\"");
    Problem::new(404, "unknown-connection", detail).with("connections", names)
}
