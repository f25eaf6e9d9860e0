//! The HTTP API: twins, connections, dead letters, health, metrics.
//!
//! Each file holds the routes of one idea. What posts messages is the REST connector's; a REST
//! connection without a listener of its own is mounted here.

mod connections;
mod dead_letters;
mod guard;
mod health;
mod index;
mod metrics;
mod problem;
mod quarantine;
mod state;
#[cfg(test)]
mod tests;
mod twins;

use axum::{Router, middleware::from_fn_with_state};

pub(crate) use self::state::{Api, ApiSettings};

/// All paths: this server's, those of `mounted`, and a sentence for every other one.
pub(crate) fn router(api: &Api, mounted: Option<Router>) -> Router {
    let own = Router::new()
        .merge(twins::routes())
        .merge(connections::routes())
        .merge(dead_letters::routes())
        .merge(quarantine::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(index::routes())
        .method_not_allowed_fallback(index::wrong_method)
        .fallback(index::unknown_path)
        .with_state(api.clone());
    let all = match mounted {
        Some(mounted) => own.merge(mounted),
        None => own,
    };
    all.layer(from_fn_with_state(api.clone(), guard::guard))
}
