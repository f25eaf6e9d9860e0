//! Feedback on its way into an answer: confirmed when the answer is written, kept otherwise.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use super::{feedback::Mailboxes, watch::Written};
use crate::link::{Confirmer, Feedback};

/// Where feedback of one session goes that no answer takes.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) confirmer: Confirmer,
    pub(super) mailboxes: Arc<Mailboxes>,
}

/// Feedback for one answer. Dropped without [`Replies::written`], it waits for a fetch (law P7).
#[derive(Debug)]
pub(super) struct Replies {
    home: Arc<Home>,
    list: Vec<Feedback>,
}

impl Replies {
    pub(super) fn new(home: &Arc<Home>) -> Self {
        Self { home: Arc::clone(home), list: Vec::new() }
    }

    pub(super) fn push(&mut self, feedback: Feedback) {
        self.list.push(feedback);
    }

    pub(super) fn list(&self) -> &[Feedback] {
        &self.list
    }

    /// The answer with this feedback was written without error.
    pub(super) fn written(mut self) {
        for feedback in std::mem::take(&mut self.list) {
            self.home.confirmer.sent(feedback.ticket);
        }
    }

    /// What is not for this answer goes to its mailbox now.
    pub(super) fn keep(&mut self, is_for_answer: impl Fn(&Feedback) -> bool) {
        for feedback in self.list.extract_if(.., |feedback| !is_for_answer(feedback)) {
            self.home.mailboxes.put(&self.home.confirmer, feedback);
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        for feedback in std::mem::take(&mut self.list) {
            self.home.mailboxes.put(&self.home.confirmer, feedback);
        }
    }
}

/// The body of an answer that carries feedback.
pub(super) fn body(bytes: Bytes, replies: Vec<Replies>, written: Option<Written>) -> Body {
    let replies: Vec<_> = replies.into_iter().filter(|replies| !replies.list.is_empty()).collect();
    if replies.is_empty() {
        return Body::from(bytes);
    }
    Body::new(AnswerBody { bytes: Some(bytes), replies, written })
}

struct AnswerBody {
    bytes: Option<Bytes>,
    replies: Vec<Replies>,
    /// The connection, when our own accept loop has it: it knows what reached the socket.
    written: Option<Written>,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.bytes.is_some() {
            return; // Nobody took the bytes: the feedback goes to its mailbox.
        }
        for replies in std::mem::take(&mut self.replies) {
            match &self.written {
                Some(Written(watch)) => watch.buffered(replies),
                None => replies.written(),
            }
        }
    }
}
