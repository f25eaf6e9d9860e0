//! `/metrics` in OpenMetrics text.

use axum::{extract::State, http::header, response::IntoResponse};
use twinflow_connectors::rest::ServerTls;

use std::sync::Arc;

use super::{Api, problem::Problem};
use crate::metrics::{self, ListenerStatus, ServerStatus};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(State(api): State<Api>) -> Result<impl IntoResponse, Problem> {
    let engine = api.engine()?;
    let settings = api.settings();
    let listener = |(name, tls): &(String, Arc<ServerTls>)| ListenerStatus {
        name: name.clone(),
        certificate_expires: tls.expires(),
    };
    let server = ServerStatus {
        logins_failed: settings.access.as_ref().map(|access| access.failed()),
        listeners: settings.certificates.iter().map(listener).collect(),
    };
    let text = metrics::text(&engine.statistics(), &engine.connections(), &server);
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}
