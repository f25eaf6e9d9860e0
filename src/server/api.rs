//! The HTTP API: twins, connections, dead letters, health, metrics.
//!
//! Each file holds the handlers of one idea; `table.rs` holds all routes and their roles. What
//! posts messages is the REST connector's; a REST connection without a listener of its own is
//! mounted here.

mod calls;
mod connections;
mod dead_letters;
mod events;
mod guard;
mod health;
mod index;
mod metrics;
mod openapi;
mod problem;
mod quarantine;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod twins;
#[cfg(feature = "live-views")]
mod views;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state, response::IntoResponse};
use twinflow_connectors::rest::{
    ROUTES,
    access::{Protect, protect},
};

use self::problem::Problem;

pub(crate) use self::state::{Api, ApiSettings};

/// All paths: this server's, those of `mounted`, and a sentence for every other one.
pub(crate) fn router(api: &Api, mounted: Option<Router>) -> Router {
    let own = table::router()
        .method_not_allowed_fallback(index::wrong_method)
        .fallback(index::unknown_path)
        .with_state(api.clone());
    let all = match mounted {
        Some(mounted) => own.merge(mounted),
        None => own,
    };
    let all = match api.settings().access.clone() {
        Some(access) => {
            let routes = table::routes().chain(ROUTES).collect();
            let refuse = Arc::new(|denied| Problem::from(denied).into_response());
            protect(all, Protect { access, routes, refuse })
        }
        None => all,
    };
    all.layer(from_fn_with_state(api.clone(), guard::guard))
}
