//! What a state directory holds, in numbers.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use serde_json::{Value, json};

use super::Stored;
use crate::error::Result;

/// Numbers of one model.
#[derive(Default)]
struct OfModel {
    twins: u64,
    state_bytes: u64,
    message_ids: u64,
    quarantined: u64,
}

/// Describes a directory.
///
/// # Errors
///
/// As [`Stored::read`].
pub(crate) fn info(dir: &Path) -> Result<Value> {
    let Stored { summary, recovered, .. } = Stored::read(dir)?;
    let mut models: BTreeMap<u16, OfModel> =
        recovered.models().map(|(number, _)| (number, OfModel::default())).collect();
    let counted: Result<(), Infallible> = recovered.each_twin(|twin| {
        let of = models.entry(twin.model).or_default();
        of.twins += 1;
        of.state_bytes += (twin.id.len() + twin.state.len()) as u64;
        Ok(())
    });
    counted.unwrap_or_else(|never| match never {});
    let counted: Result<(), Infallible> = recovered.each_message_id(|id| {
        models.entry(id.model).or_default().message_ids += 1;
        Ok(())
    });
    counted.unwrap_or_else(|never| match never {});
    for (model, _) in recovered.quarantined() {
        models.entry(model).or_default().quarantined += 1;
    }
    let names: BTreeMap<_, _> = recovered.models().collect();
    let models: Vec<_> = models
        .iter()
        .map(|(number, of)| {
            json!({
                "name": names.get(number),
                "twins": of.twins,
                "bytes": of.state_bytes,
                "message_ids": of.message_ids,
                "quarantined": of.quarantined,
            })
        })
        .collect();
    let connections: Vec<_> = recovered
        .connections()
        .map(|(number, name)| {
            let mut positions: Vec<_> = recovered.positions(number).collect();
            positions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            let position = |it: &twinflow_connectors::link::Position| {
                json!({ "topic": it.topic, "partition": it.partition, "next": it.next })
            };
            let positions: Vec<_> = positions.iter().map(position).collect();
            let feedback = recovered.outbox(number).count();
            json!({ "name": name, "feedback": feedback, "positions": positions })
        })
        .collect();
    Ok(json!({
        "directory": dir.display().to_string(),
        "format": summary.version,
        "log": format!("{:016x}", summary.log_id),
        "generation": summary.generation,
        "epoch": summary.epoch,
        "sequence": summary.sequence,
        "time_us": recovered.now().0,
        "sealed": summary.is_sealed,
        "first_segment": summary.segments.map(|(first, _)| first),
        "last_segment": summary.segments.map(|(_, last)| last),
        "log_bytes": summary.log_bytes,
        "disk_bytes": summary.disk_bytes,
        "twins": recovered.twins_total(),
        "dead_letters": recovered.dead_letters().count(),
        "models": models,
        "connections": connections,
    }))
}
