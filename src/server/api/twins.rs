//! Twins: list, read, create, remove.

use axum::{
    Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{Api, problem::Problem};
use crate::{EngineHandle, engine::RequestError};

/// Ids of one page when the caller does not say.
const PAGE: usize = 100;

type PathOf<T> = Result<Path<T>, PathRejection>;
type QueryOf<T> = Result<Query<T>, QueryRejection>;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/twins/{model}", get(list))
        .route("/v1/twins/{model}/{id}", get(read).put(create).delete(remove))
}

/// A path whose percent signs make no UTF-8.
pub(super) fn path<T>(path: PathOf<T>) -> Result<T, Problem> {
    path.map(|Path(path)| path).map_err(|error| Problem::new(400, "path", error.body_text()))
}

/// A query that does not fit.
pub(super) fn query<T>(query: QueryOf<T>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|error| Problem::new(400, "query", error.body_text()))
}

/// An error of the engine as a problem that says which models there are.
pub(super) fn problem(engine: &EngineHandle, error: RequestError) -> Problem {
    let unknown = matches!(error, RequestError::UnknownModel(_));
    let problem = Problem::from(error);
    if unknown { problem.with("models", engine.models()) } else { problem }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    twins: Vec<Id>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Id {
    id: String,
}

async fn list(
    State(api): State<Api>,
    model: PathOf<String>,
    page: QueryOf<Page>,
) -> Result<Json<Listed>, Problem> {
    let (model, page) = (path(model)?, query(page)?);
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=1000).contains(&limit) {
        let detail = format!("limit is {limit}, it must be 1 to 1000");
        return Err(Problem::new(400, "query", detail));
    }
    let engine = api.engine()?;
    let listed = engine.list(&model, page.after.as_deref(), limit).await;
    let (ids, next) = listed.map_err(|error| problem(engine, error))?;
    let twins = ids.into_iter().map(|id| Id { id }).collect();
    Ok(Json(Listed { twins, next }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    committed: Option<bool>,
}

#[derive(Serialize)]
struct Twin {
    model: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    committed: bool,
    state: Box<RawValue>,
}

async fn read(
    State(api): State<Api>,
    twin: PathOf<(String, String)>,
    which: QueryOf<Which>,
) -> Result<Json<Twin>, Problem> {
    let ((model, id), committed) = (path(twin)?, query(which)?.committed.unwrap_or(true));
    let engine = api.engine()?;
    let found = if committed {
        let read = engine.read(&model, &id).await;
        read.map(|twin| twin.map(|twin| (Some(twin.epoch), twin.json)))
    } else {
        engine.peek(&model, &id).await.map(|json| json.map(|json| (None, json)))
    };
    let Some((epoch, json)) = found.map_err(|error| problem(engine, error))? else {
        return Err(unknown_twin(&model, &id));
    };
    let state = String::from_utf8(json).ok().and_then(|json| RawValue::from_string(json).ok());
    let state = state.ok_or_else(|| {
        Problem::new(500, "state", "the state of this twin cannot be shown as JSON")
    })?;
    Ok(Json(Twin { model, id, epoch, committed, state }))
}

fn unknown_twin(model: &str, id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    let detail = format!("model \"{model}\" has no twin \"{id}\"");
    Problem::new(404, "unknown-twin", detail)
}

async fn create(
    State(api): State<Api>,
    twin: PathOf<(String, String)>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (model, id) = path(twin)?;
    let engine = api.engine()?;
    if engine.create(&model, &id).await.map_err(|error| problem(engine, error))? {
        let created = json!({ "model": model, "id": id, "created": true });
        Ok((StatusCode::CREATED, Json(created)))
    } else {
        let detail = "this twin exists already and was left as it is";
        Err(Problem::new(409, "exists", detail))
    }
}

async fn remove(
    State(api): State<Api>,
    twin: PathOf<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let (model, id) = path(twin)?;
    let engine = api.engine()?;
    if engine.remove(&model, &id).await.map_err(|error| problem(engine, error))? {
        Ok(Json(json!({ "model": model, "id": id, "removed": true })))
    } else {
        Err(unknown_twin(&model, &id))
    }
}
