//! `/metrics` in OpenMetrics text.

use axum::{extract::State, http::header, response::IntoResponse};

use super::{Api, problem::Problem};
use crate::metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let engine = api.engine()?;
    let text = metrics::text(&engine.statistics(), &engine.connections());
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}
