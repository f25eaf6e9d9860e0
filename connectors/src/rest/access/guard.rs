//! The layer around a router: finds out who asks, and whether the route is for that key.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    RequestExt, Router,
    body::Body,
    extract::{MatchedPath, RawPathParams, Request, State},
    http::Response,
    middleware::{Next, from_fn_with_state},
};

use super::{Access, Caller, Denied, Names, Need, Request as Asked, Route};
use crate::rest::peer;

/// What [`protect`] needs.
pub struct Protect {
    /// The keys.
    pub access: Arc<Access>,
    /// Every route of the router.
    pub routes: Vec<Route>,
    /// Makes a response of a refusal.
    pub refuse: Arc<dyn Fn(Denied) -> Response<Body> + Send + Sync>,
}

/// In the extensions of a response: the audit log has to have it.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Method and path, without the query.
    pub what: String,
    /// Where the request came from.
    pub from: Option<SocketAddr>,
    /// Whose key it had.
    pub caller: Option<Caller>,
}

impl Audited {
    /// What is told of a request.
    pub fn of(request: &Request) -> Self {
        Self {
            what: format!("{} {}", request.method(), request.uri().path()),
            from: peer(request),
            caller: request.extensions().get().cloned(),
        }
    }
}

struct Guard {
    access: Arc<Access>,
    routes: HashMap<&'static str, Vec<Route>>,
    refuse: Arc<dyn Fn(Denied) -> Response<Body> + Send + Sync>,
}

/// Puts the keys in front of a router and of its fallback.
pub fn protect(router: Router, protect: Protect) -> Router {
    let Protect { access, routes: all, refuse } = protect;
    let mut routes: HashMap<_, Vec<Route>> = HashMap::new();
    for route in all {
        routes.entry(route.path).or_default().push(route);
    }
    router.layer(from_fn_with_state(Arc::new(Guard { access, routes, refuse }), guard))
}

async fn guard(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let route = guard.line(&request);
    let asked = Asked {
        method: request.method().as_str(),
        path: request.uri().path(),
        headers: request.headers(),
        from: peer(&request),
    };
    if route.is_some_and(|route| route.need == Need::Open) {
        // Who shows a key may hear more; a wrong one is no failed login.
        if let Ok(caller) = guard.access.look_up(asked.headers) {
            request.extensions_mut().insert(caller);
        }
        return next.run(request).await;
    }
    let caller = match guard.access.caller(&asked) {
        Ok(caller) => caller,
        Err(denied) => return (guard.refuse)(denied),
    };
    request.extensions_mut().insert(caller.clone());
    // A known key may hear that there is nothing.
    if let Some(route) = route
        && let Err(denied) = permitted(&caller, route, &mut request).await
    {
        let mut response = (guard.refuse)(denied);
        if route.need.is_audited() {
            response.extensions_mut().insert(Audited::of(&request));
        }
        return response;
    }
    next.run(request).await
}

impl Guard {
    /// The line of the table for a request; a path without one is not of this router.
    fn line(&self, request: &Request) -> Option<Route> {
        let path = request.extensions().get::<MatchedPath>()?;
        let method = match request.method().as_str() {
            "HEAD" => "GET",
            method => method,
        };
        let lines = self.routes.get(path.as_str());
        if lines.is_none() {
            // What nobody gave a role is for none but administrators; a test finds it before that.
            return Some(Route { method: "", path: "", need: Need::Admin, names: Names::Server });
        }
        lines?.iter().find(|route| route.method == method).copied()
    }
}

async fn permitted(caller: &Caller, route: Route, request: &mut Request) -> Result<(), Denied> {
    if !caller.role().may(route.need) {
        let detail = format!(
            "this key has the role {}; this takes the role {}",
            caller.role().name(),
            route.need.role()
        );
        return Err(forbidden("role", detail));
    }
    if caller.is_unbound() || matches!(route.names, Names::Body) {
        return Ok(());
    }
    // A path that is not UTF-8 names nothing that a bound key is for.
    let params = request.extract_parts::<RawPathParams>().await.ok();
    let param = |name: &str| {
        let found = params.as_ref().and_then(|all| all.iter().find(|(key, _)| *key == name));
        found.map_or("", |(_, value)| value)
    };
    let allowed = match route.names {
        Names::Server | Names::Body => false,
        Names::Model => caller.is_for_model(param("model")) && caller.is_for_all_twins(),
        Names::Twin => caller.is_for(param("model"), param("id")),
    };
    if allowed { Ok(()) } else { Err(not_for()) }
}

/// The refusal of a model or twin that a key is not for.
pub(in crate::rest) fn not_for() -> Denied {
    forbidden("binding", "this key is bound to other models or twins".into())
}

fn forbidden(kind: &'static str, detail: String) -> Denied {
    Denied { status: 403, kind, detail, retry_after_secs: None }
}
