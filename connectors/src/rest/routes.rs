//! The paths of a REST connection.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri, header},
    routing::{get, post},
};

use super::{fetch, ndjson, post, problem::Problem, service::Service};

/// The paths, without a fallback, so that they can be merged with others.
pub(super) fn paths(service: &Arc<Service>) -> Router {
    Router::new()
        .route("/v1/twins/{model}/{id}/messages", post(post::messages))
        .route("/v1/messages", post(ndjson::messages))
        .route("/v1/twins/{model}/{id}/feedback", get(fetch::feedback))
        .route("/v1/twins/{model}/{id}/feedback/ack", post(fetch::acknowledge))
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(service))
}

/// The paths of an own listener: every other path says where the API is.
pub(super) fn own_listener(service: &Arc<Service>) -> Router {
    let other = Router::new().fallback(unknown_path).with_state(Arc::clone(service));
    paths(service).merge(other)
}

async fn wrong_method(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    let detail = format!("{} is not a method of this path", request.method());
    service.refuse(Problem::new(405, "method", detail))
}

async fn unknown_path(State(service): State<Arc<Service>>, request: Request) -> Response<Body> {
    service.refuse(service.unknown_path(request.uri().path()))
}

/// A loopback listener answers only under a loopback name, and no page of another one: a browser
/// that was sent here by a foreign page must not reach the twins.
pub(super) fn check_host(service: &Service, request: &Request) -> Option<Response<Body>> {
    if is_local(request.uri(), request.headers()) {
        return None;
    }
    let detail = "this address answers under a loopback name only; behind a proxy, let the proxy \
                  set Host to the address that it forwards to";
    Some(service.refuse(Problem::new(403, "host", detail)))
}

/// Whether a request was sent under a loopback name and by no page of another one.
pub fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // HTTP/2 has the name in the address of the request, HTTP/1.0 may have none.
    let host = uri.authority().map(|name| name.as_str()).or_else(|| text(header::HOST));
    let origin = text(header::ORIGIN)
        .map(|origin| origin.split_once("://").map_or("?", |(_scheme, host)| host));
    host.is_none_or(is_loopback) && origin.is_none_or(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_told_from_others() {
        for good in ["localhost", "LOCALHOST:7701", "127.0.0.1:7701", "[::1]:7701", "127.1.2.3"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["", "?", "evil.example:7701", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }
}
