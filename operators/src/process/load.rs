//! Stored twins become twins again (law D9).

use std::sync::atomic::Ordering;

use super::{guard::guarded, model_worker::TypedModel, routes::Route};
use crate::{
    message::DecodeError,
    model::{MessageProcessor, RawState, Rollback, TwinModel},
};

/// A twin as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredTwin<'a> {
    pub(crate) hash: u64,
    pub(crate) id: &'a str,
    /// Its state with its version.
    pub(crate) state: &'a [u8],
    pub(crate) route: Option<&'a [u8]>,
}

impl<P: MessageProcessor> TypedModel<P> {
    /// Loads twins that are not here yet; else says which of them does not load, and why.
    pub(super) fn load_all(&mut self, twins: &[StoredTwin<'_>]) -> Result<(), (usize, String)> {
        twins.iter().for_each(|twin| self.table.prefetch_cell(twin.hash));
        // Most twins have the route of the one before.
        let mut route = (None, 0);
        for (at, twin) in twins.iter().enumerate() {
            if route.0 != twin.route {
                route = (twin.route, self.route(twin).map_err(|why| (at, why))?);
            }
            self.load_one(twin, route.1).map_err(|why| (at, why))?;
        }
        self.statistics.twins.fetch_add(twins.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn route(&mut self, twin: &StoredTwin<'_>) -> Result<u32, String> {
        let Some(stored) = twin.route else { return Ok(0) };
        let route = Route::decode(stored).ok_or("its route is damaged")?;
        Ok(self.routes.intern(route))
    }

    fn load_one(&mut self, twin: &StoredTwin<'_>, route: u32) -> Result<(), String> {
        let state = guarded(|| decode_stored::<P::Model>(twin.state))??;
        // A migrated state does not roll back to the form that it was migrated from.
        let saved = (P::ROLLBACK == Rollback::LastEncoded).then(|| rmp_serde::to_vec_named(&state));
        let saved =
            saved.transpose().map_err(|error| error.to_string())?.map(Vec::into_boxed_slice);
        let index = self.table.insert(twin.hash, twin.id);
        let slot = self.table.slot_mut(index);
        (slot.state, slot.route) = (Some(state), route);
        if let Some(saved) = saved {
            self.saved.insert(index, saved);
        }
        Ok(())
    }
}

/// Stored form of a state: schema version u32, MessagePack with field names.
pub(crate) fn decode_stored<M: TwinModel>(stored: &[u8]) -> Result<M, String> {
    let (version, bytes) = stored.split_first_chunk::<4>().ok_or("it is cut short")?;
    let version = u32::from_le_bytes(*version);
    let newest = M::STATE_VERSION;
    if version > newest {
        return Err(format!(
            "it has state version {version}, this program knows {newest}: \
             it was written by a newer one"
        ));
    }
    let state = RawState::new(bytes);
    let decoded: Result<M, DecodeError> =
        if version == newest { state.deserialize() } else { M::migrate(version, state) };
    decoded.map_err(|error| error.to_string())
}
