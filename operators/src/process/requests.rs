//! Requests about a twin: create, remove, read.

use std::sync::atomic::Ordering;

use twinflow_connectors::{
    link::OutcomeKind,
    row::{Row, RowKind},
};

use super::{
    call::{Calls, create},
    model_worker::{TypedModel, state_json},
    scope::EpochScope,
    statistics::EpochCounts,
    twin_run::TwinRun,
};
use crate::{dead_letter::DeadLetterKind, model::MessageProcessor};

impl<'e, P: MessageProcessor> TwinRun<'e, P> {
    /// Requests in their order; says whether one changed the state.
    #[cold]
    pub(super) fn requests(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        rows: Vec<Row<'e>>,
        index: u32,
        calls: &mut Calls,
    ) -> bool {
        let id = model.table.slot(index).id.clone();
        let mut changed = false;
        for row in rows {
            changed |= self.request(model, scope, row, (index, &id), calls);
        }
        changed
    }

    /// Create, remove, read or release; says whether the state changed.
    fn request(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        (index, id): (u32, &str),
        calls: &mut Calls,
    ) -> bool {
        let state = &mut model.table.slot_mut(index).state;
        match row.kind() {
            RowKind::Read => {
                let answer = OutcomeKind::State(state.as_ref().map(state_json));
                scope.outcome(row, answer);
                false
            }
            RowKind::Remove => {
                let was_there = state.take().is_some();
                scope.outcome(row, OutcomeKind::Removed(was_there));
                was_there
            }
            RowKind::Release => {
                let was = model.quarantined.remove(id);
                if was {
                    scope.released(model.number, id);
                }
                scope.outcome(row, OutcomeKind::Released(was));
                false
            }
            RowKind::Create if state.is_none() && self.quarantined => {
                let reason = scope.shared.setup.quarantine.reason(model.number, id);
                self.reject(model, scope, row, DeadLetterKind::Quarantined, &reason, 1);
                false
            }
            RowKind::Create if state.is_none() && self.full => {
                let reason = too_many_twins(model);
                self.reject(model, scope, row, DeadLetterKind::Failed, &reason, 1);
                false
            }
            RowKind::Create if state.is_none() => {
                self.create(model, scope, row, (index, id), calls)
            }
            RowKind::Create => {
                scope.outcome(row, OutcomeKind::Created(false));
                false
            }
            _ => false,
        }
    }

    fn create(
        &mut self,
        model: &mut TypedModel<P>,
        scope: &mut EpochScope<'_>,
        row: Row<'e>,
        (index, id): (u32, &str),
        calls: &mut Calls,
    ) -> bool {
        let sent = calls.feedback.len();
        match create(&self.site, id, &mut model.table.slot_mut(index).state, calls) {
            Ok(()) => {
                for index in sent..calls.feedback.len() {
                    scope.feedback_without_source(&model.name, id, calls.feedback.get(index));
                }
                scope.outcome(row, OutcomeKind::Created(true));
                true
            }
            Err(reason) => {
                self.reject(model, scope, row, DeadLetterKind::Failed, &reason, 1);
                false
            }
        }
    }
}

/// Whether no new twin may be made.
pub(super) fn is_full<P: MessageProcessor>(model: &TypedModel<P>, counts: &EpochCounts) -> bool {
    let twins = model.statistics.twins.load(Ordering::Relaxed);
    twins + counts.created >= model.settings.twins_max
}

/// Why a message or a request for a new twin is refused then.
pub(super) fn too_many_twins<P: MessageProcessor>(model: &TypedModel<P>) -> String {
    let max = model.settings.twins_max;
    format!("the model has {max} twins, its limit; no new ones are made")
}
