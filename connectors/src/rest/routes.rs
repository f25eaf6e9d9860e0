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

pub(super) fn check_host(
    service: &Service,
    is_reachable: bool,
    request: &Request,
) -> Option<Response<Body>> {
    let why = foreign(is_reachable, request.uri(), request.headers())?;
    Some(service.refuse(Problem::new(403, "host", why)))
}

/// Why a request is not answered: a browser that was sent here by a foreign page must not reach
/// the twins. A loopback listener answers under a loopback name and to pages of one only, one that
/// other machines reach to pages of its own name.
pub fn foreign(is_reachable: bool, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // HTTP/2 has the name in the address of the request, HTTP/1.0 may have none.
    let host = uri.authority().map(|name| name.as_str()).or_else(|| text(header::HOST));
    let origin = text(header::ORIGIN)
        .map(|origin| origin.split_once("://").map_or("?", |(_scheme, host)| host));
    if is_reachable {
        return origin.is_some_and(|origin| Some(origin) != host).then_some(
            "this address answers to no page of another origin; behind a proxy, let the proxy hand \
             on Host as it came",
        );
    }
    let is_local = host.is_none_or(is_loopback) && origin.is_none_or(is_loopback);
    (!is_local).then_some(
        "this address answers under a loopback name only; behind a proxy, let the proxy set Host \
         to the address that it forwards to",
    )
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

    #[test]
    fn pages_of_other_names_are_foreign_wherever_it_listens() {
        let of = |is_reachable, host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            foreign(is_reachable, &Uri::from_static("/"), &headers).is_some()
        };
        assert!(!of(true, "plant:7700", None) && of(false, "plant:7700", None));
        assert!(!of(true, "plant:7700", Some("https://plant:7700")));
        for origin in ["https://evil.example", "https://plant:7701", "null", "http://localhost"] {
            assert!(of(true, "plant:7700", Some(origin)), "{origin}");
        }
    }
}
