//! What every request passes: its id, and whether it comes from a page of somebody else's.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use twinflow_connectors::rest::{access::Audited, foreign};

use super::{Api, problem::Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ID_BYTES_MAX: usize = 64;

pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = given_id(request.headers()).unwrap_or_else(|| api.next_id());
    let is_reachable = api.settings().is_reachable;
    let mut response = match foreign(is_reachable, request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(detail) => Problem::new(403, "host", detail).respond(&id),
    };
    let audited = response.extensions_mut().remove::<Audited>();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.respond(&id);
    }
    if let (Some(audited), Some(audit)) = (audited, &api.settings().audit) {
        audit.request(&audited, response.status().as_u16(), &id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The caller's own id of a request, if it is fit to stand in a log.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_id_is_kept_only_if_it_is_short_and_plain() {
        let given = |id: &str| {
            given_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(id).unwrap())]))
        };
        assert_eq!(given("a-1"), Some("a-1".into()));
        assert_eq!(given(&"a".repeat(64)), Some("a".repeat(64)));
        assert_eq!(given(&"a".repeat(65)), None);
        assert_eq!(given("a b"), None);
    }
}
