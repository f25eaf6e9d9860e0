//! From a record to the message that is pushed: twin id, headers, times.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{Headers, Message as Record};

use super::plan::{IdPlace, TopicPlan};
use crate::{
    link::Delivery,
    message::{Message, PartitionRef, Timestamp, limits::HEADERS_MAX},
};

/// Reads records of one topic; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(super) struct Reader {
    twin: String,
    id: String,
}

type HeaderList<'r> = Vec<(&'r str, &'r [u8])>;

impl Reader {
    /// Pushes a record; `false`, with nothing added, when the delivery is full.
    #[inline]
    pub(super) fn push<R: Record>(
        &mut self,
        delivery: &mut Delivery<'_>,
        record: &R,
        partition: PartitionRef,
        topic: &TopicPlan,
        dedupe: Option<&IdPlace>,
    ) -> bool {
        // Offsets are never negative; the client library's type is.
        let position = Some((partition, record.offset().cast_unsigned()));
        let Some(payload) = record.payload() else {
            let reason = "the record has no value (a tombstone)";
            return delivery.push_undeliverable(&[], reason, position);
        };
        let Some(headers) = headers(record) else {
            let reason = "the name of a header is not UTF-8";
            return delivery.push_undeliverable(payload, reason, position);
        };
        let twin = match id_at(&topic.twin_id, record, &headers, payload, &mut self.twin) {
            Ok(twin) => twin,
            Err(reason) => {
                let reason = format!("no twin id: {reason}");
                return delivery.push_undeliverable(payload, &reason, position);
            }
        };
        // A record without an id of its own counts: only what has one can be a repeat.
        let id = dedupe.and_then(|place| match place {
            IdPlace::Header(name) => headers.iter().find(|(key, _)| key == name).map(|(_, id)| *id),
            place => {
                let found = id_at(place, record, &headers, payload, &mut self.id).ok();
                found.map(str::as_bytes)
            }
        });
        let time = record.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
        delivery.push(&Message {
            model: &topic.model,
            twin,
            payload,
            headers: &headers,
            names: &[],
            id: id.filter(|id| !id.is_empty()),
            position,
            source_time: time.and_then(|millis| millis.checked_mul(1000)).map(Timestamp),
        })
    }
}

/// The headers; `None` when the library cannot give them.
#[inline]
fn headers<R: Record>(record: &R) -> Option<HeaderList<'_>> {
    let Some(all) = record.headers() else { return Some(Vec::new()) };
    // One more than the limit, so that `push` sees that there are too many.
    let read = || {
        let some = all.iter().take(HEADERS_MAX + 1);
        some.map(|header| (header.key, header.value.unwrap_or_default())).collect()
    };
    // The library panics at a name that is not UTF-8; anybody may write one.
    catch_unwind(AssertUnwindSafe(read)).ok()
}

#[inline]
fn id_at<'r, R: Record>(
    place: &IdPlace,
    record: &'r R,
    headers: &[(&'r str, &'r [u8])],
    payload: &[u8],
    found: &'r mut String,
) -> Result<&'r str, String> {
    let (bytes, what) = match place {
        IdPlace::Key => (record.key().ok_or("the record has no key")?, "the key"),
        IdPlace::Header(name) => {
            let header = headers.iter().find(|(key, _)| key == name);
            (header.ok_or_else(|| format!("there is no header \"{name}\""))?.1, "the header")
        }
        IdPlace::Json(pointer) => {
            pointer.find(payload, found)?;
            return Ok(found);
        }
    };
    simdutf8::basic::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8"))
}
