//! The paths of a REST connection.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, Uri, header},
    routing::{MethodRouter, get, post},
};

use super::{
    access::{Names, Need, Protect, Route, protect},
    fetch, ndjson, post,
    problem::Problem,
    service::Service,
};

const fn of(method: &'static str, path: &'static str, names: Names) -> Route {
    Route { method, path, need: Need::Send, names }
}

/// Every route of a REST connection, with what it asks of its caller.
pub const ROUTES: [Route; 4] = [
    of("POST", "/v1/twins/{model}/{id}/messages", Names::Twin),
    of("POST", "/v1/messages", Names::Body),
    of("GET", "/v1/twins/{model}/{id}/feedback", Names::Twin),
    of("POST", "/v1/twins/{model}/{id}/feedback/ack", Names::Twin),
];

/// What answers each of them.
const HANDLERS: [fn() -> MethodRouter<Arc<Service>>; 4] = [
    || post(post::messages),
    || post(ndjson::messages),
    || get(fetch::feedback),
    || post(fetch::acknowledge),
];

/// The paths, without a fallback, so that they can be merged with others.
pub(super) fn paths(service: &Arc<Service>) -> Router {
    let lines = ROUTES.iter().zip(HANDLERS);
    lines
        .fold(Router::new(), |all, (route, handler)| all.route(route.path, handler()))
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(service))
}

/// The paths of an own listener: every other path says where the API is.
pub(super) fn own_listener(service: &Arc<Service>) -> Router {
    let other = Router::new().fallback(unknown_path).with_state(Arc::clone(service));
    let all = paths(service).merge(other);
    let Some(access) = service.access().cloned() else { return all };
    let refuse = {
        let service = Arc::clone(service);
        Arc::new(move |denied| service.refuse(Problem::from(denied)))
    };
    protect(all, Protect { access, routes: ROUTES.to_vec(), refuse })
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
