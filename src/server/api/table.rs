//! Every route of this server with what it asks of its caller: there is no other way to add one.

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};
use twinflow_connectors::rest::access::{Audited, Names, Need, Route};

#[cfg(feature = "live-views")]
use super::views;
use super::{
    Api, calls, connections, dead_letters, health, index, metrics, openapi, quarantine, twins,
};

/// A route and what makes its handler.
struct Line {
    route: Route,
    handler: fn() -> MethodRouter<Api>,
}

const fn line(
    method: &'static str,
    path: &'static str,
    need: Need,
    names: Names,
    handler: fn() -> MethodRouter<Api>,
) -> Line {
    Line { route: Route { method, path, need, names }, handler }
}

use Names::{Model, Server, Twin};
use Need::{Open, Operate, Read};

const TABLE: &[Line] = &[
    line("GET", "/", Read, Server, || get(index::index)),
    // People type the shorter names by habit.
    line("GET", "/livez", Open, Server, || get(health::alive)),
    line("GET", "/health", Open, Server, || get(health::alive)),
    line("GET", "/ping", Open, Server, || get(health::alive)),
    line("GET", "/readyz", Open, Server, || get(health::ready)),
    line("GET", "/ready", Open, Server, || get(health::ready)),
    line("GET", "/version", Read, Server, || get(health::version)),
    line("GET", "/openapi.json", Read, Server, || get(openapi::show)),
    line("GET", "/metrics", Read, Server, || get(metrics::show)),
    line("GET", "/v1/twins/{model}", Read, Model, || get(twins::list)),
    line("GET", "/v1/twins/{model}/{id}", Read, Twin, || get(twins::read)),
    line("GET", "/v1/twins/{model}/{id}/calls", Read, Twin, || get(calls::of_twin)),
    line("GET", "/v1/calls/{model}", Read, Model, || get(calls::of_model)),
    line("PUT", "/v1/twins/{model}/{id}", Operate, Twin, || put(twins::create)),
    line("DELETE", "/v1/twins/{model}/{id}", Operate, Twin, || delete(twins::remove)),
    line("GET", "/v1/connections", Read, Server, || get(connections::list)),
    line("GET", "/v1/connections/{name}", Read, Server, || get(connections::show)),
    line("POST", "/v1/connections/{name}/pause", Operate, Server, || post(connections::pause)),
    line("POST", "/v1/connections/{name}/resume", Operate, Server, || post(connections::resume)),
    line("GET", "/v1/dead-letters", Read, Server, || get(dead_letters::list)),
    line("GET", "/v1/dead-letters/{id}", Read, Server, || get(dead_letters::show)),
    line("DELETE", "/v1/dead-letters/{id}", Operate, Server, || delete(dead_letters::remove)),
    line("POST", "/v1/dead-letters/{id}/replay", Operate, Server, || post(dead_letters::replay)),
    #[cfg(feature = "live-views")]
    line("GET", "/v1/views", Read, Server, || get(views::list)),
    #[cfg(feature = "live-views")]
    line("GET", "/v1/views/{name}", Read, Server, || get(views::show)),
    #[cfg(feature = "live-views")]
    line("GET", "/v1/views/{name}/changes", Read, Server, || get(views::changes)),
    line("GET", "/v1/quarantine", Read, Server, || get(quarantine::list)),
    line("POST", "/v1/quarantine/{model}/{id}/release", Operate, Twin, || {
        post(quarantine::release)
    }),
];

/// The routes without their handlers.
pub(super) fn routes() -> impl Iterator<Item = Route> {
    TABLE.iter().map(|line| line.route)
}

/// All of them as a router.
pub(super) fn router() -> Router<Api> {
    TABLE.iter().fold(Router::new(), |all, Line { route, handler }| {
        let handler = match route.need.is_audited() {
            true => handler().route_layer(from_fn(audited)),
            false => handler(),
        };
        all.route(route.path, handler)
    })
}

/// Tells the guard that a request has to stand in the audit log.
async fn audited(request: Request, next: Next) -> Response {
    let audited = Audited::of(&request);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(audited);
    response
}
