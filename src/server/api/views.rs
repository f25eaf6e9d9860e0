//! Live views: as they are, and what becomes of them.

use axum::{Json, body::Bytes, extract::State, response::Response};
use serde_json::{Value, json};

use super::{
    Api,
    events::{EventSource, event, stream},
    problem::Problem,
    twins::{PathOf, path},
};
use crate::{EngineHandle, ViewListener, ViewState};

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "views": api.engine()?.views() })))
}

pub(super) async fn show(
    State(api): State<Api>,
    name: PathOf<String>,
) -> Result<Json<ViewState>, Problem> {
    let (name, engine) = (path(name)?, api.engine()?);
    engine.view(&name).map(Json).ok_or_else(|| unknown(engine, &name))
}

/// Server-sent events: first the whole view, then what changes, with the epoch as the event's id.
pub(super) async fn changes(
    State(api): State<Api>,
    name: PathOf<String>,
) -> Result<Response, Problem> {
    let (name, engine) = (path(name)?, api.engine()?);
    let Some((state, listener)) = engine.listen_to_view(&name) else {
        return Err(match engine.view(&name) {
            None => unknown(engine, &name),
            Some(_) => Problem::new(503, "stopping", "the engine is stopping".to_owned()),
        });
    };
    let first = of_view("view", &state);
    Ok(stream(first, listener))
}

impl EventSource for ViewListener {
    async fn next(&mut self) -> Option<Bytes> {
        let (state, whole) = Self::next(self).await?;
        Some(of_view(if whole { "view" } else { "changed" }, &state))
    }
}

fn of_view(kind: &str, state: &ViewState) -> Bytes {
    event(kind, state.epoch, state)
}

fn unknown(engine: &EngineHandle, name: &str) -> Problem {
    let problem = Problem::new(404, "view", format!("no view is called \"{name}\""));
    problem.with("views", engine.views())
}
