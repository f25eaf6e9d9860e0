//! The calls of twins as events: what came, what became of the state, what was sent.

use axum::{body::Bytes, extract::State, response::Response};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use twinflow_connectors::answer::reply_value;

use super::{
    Api,
    events::{EventSource, event, stream},
    problem::Problem,
    twins::{PathOf, path, problem},
};
use crate::{
    engine::CallListener,
    operators::tap::{TappedCall, TappedMessage},
};

/// Server-sent events: first what is listened to, then each call once its epoch is committed.
pub(super) async fn of_twin(
    State(api): State<Api>,
    twin: PathOf<(String, String)>,
) -> Result<Response, Problem> {
    let (model, id) = path(twin)?;
    listen(&api, &model, Some(&id))
}

/// The same for all twins of a model.
pub(super) async fn of_model(
    State(api): State<Api>,
    model: PathOf<String>,
) -> Result<Response, Problem> {
    listen(&api, &path(model)?, None)
}

fn listen(api: &Api, model: &str, twin: Option<&str>) -> Result<Response, Problem> {
    let engine = api.engine()?;
    let listener = engine.listen_to_calls(model, twin).map_err(|error| problem(engine, error))?;
    let epoch = listener.committed();
    let first = event("listening", epoch, &json!({ "model": model, "twin": twin }));
    Ok(stream(first, listener))
}

impl EventSource for CallListener {
    async fn next(&mut self) -> Option<Bytes> {
        let call = Self::next(self).await?;
        Some(event("call", call.epoch, &Shown::of(&call, self.missed())))
    }
}

/// A call as the API shows it.
#[derive(Serialize)]
struct Shown<'c> {
    twin: &'c str,
    epoch: u64,
    /// Microseconds since 1970.
    at: u64,
    calls: u64,
    messages: Vec<ShownMessage<'c>>,
    /// `null`: the twin was not there.
    before: Option<Box<RawValue>>,
    /// `null`: it is not there any more.
    after: Option<Box<RawValue>>,
    feedback: Vec<Box<RawValue>>,
    /// Calls that are not shown, because they came faster than they were fetched.
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
}

#[derive(Serialize)]
struct ShownMessage<'c> {
    connection: &'c str,
    received_at: u64,
    /// JSON as it is, anything else as `{"base64":".."}`.
    payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'c str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'c> Shown<'c> {
    fn of(call: &'c TappedCall, missed: u64) -> Self {
        let state = |json: &Option<Vec<u8>>| json.as_deref().map(reply_value);
        Self {
            twin: &call.twin,
            epoch: call.epoch,
            at: call.at.0,
            calls: call.calls,
            messages: call.messages.iter().map(ShownMessage::of).collect(),
            before: state(&call.before),
            after: state(&call.after),
            feedback: call.feedback.iter().map(|payload| reply_value(payload)).collect(),
            missed,
        }
    }
}

impl<'c> ShownMessage<'c> {
    fn of(message: &'c TappedMessage) -> Self {
        Self {
            connection: &message.connection,
            received_at: message.received_at.0,
            payload: reply_value(&message.payload),
            failed: message.failed.as_deref(),
        }
    }
}
