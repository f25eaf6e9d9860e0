//! What each twin adds to its group, and how that changes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Group, Sums, Value, mailbox::Mailbox};
use crate::{model::TwinModel, process::guard::guarded};

/// Groups of one view at most; twins of further ones are left out.
pub(super) const GROUPS_MAX: usize = 100_000;

/// What a view does at once: epochs that came together.
pub(super) struct Step {
    /// What is added to groups, and taken from them.
    pub(super) differences: Vec<(String, Sums)>,
    /// The epoch before which that is all.
    pub(super) through: u64,
    /// How many twins are left out.
    pub(super) left_out: u64,
}

/// Differences of groups, whatever the type of the states.
pub(super) trait Differences: Send {
    /// Waits for changes. `None`: the engine stops.
    fn next(&mut self) -> Option<Step>;
}

pub(super) struct Contributions<M> {
    mailbox: Arc<Mailbox<M>>,
    group: Group<M>,
    value: Value<M>,
    /// Group and value of each twin that is in the view.
    twins: HashMap<String, (Arc<str>, i128)>,
    /// How many twins each group has.
    groups: HashMap<Arc<str>, u64>,
    left_out: HashSet<String>,
}

impl<M: TwinModel> Contributions<M> {
    pub(super) fn new(mailbox: Arc<Mailbox<M>>, group: Group<M>, value: Value<M>) -> Self {
        let (twins, groups, left_out) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { mailbox, group, value, twins, groups, left_out }
    }

    /// What a state adds, `None` if its group is none; or why it cannot be in the view.
    fn of(&self, twin: &str, state: &M) -> Result<Option<(String, i128)>, String> {
        let both = || Some(((self.group)(twin, state)?, (self.value)(twin, state)));
        let Some((group, value)) = guarded(both)? else { return Ok(None) };
        if !value.is_finite() || value.abs() > 1e24 {
            return Err(format!("its value is {value}"));
        }
        Ok(Some((group, (value * 1e6).round() as i128)))
    }

    fn twin(&mut self, twin: String, state: Option<M>, to: &mut Vec<(String, Sums)>) {
        let of = state.map_or(Ok(None), |state| self.of(&twin, &state));
        let mut new = match of {
            Ok(new) => {
                self.left_out.remove(&twin);
                new
            }
            Err(why) => {
                tracing::warn!(twin, why, "a twin is left out of a view");
                self.left_out.insert(twin.clone());
                None
            }
        };
        if let Some((group, sum)) = self.twins.remove(&twin) {
            to.push((group.to_string(), (-1, -sum)));
            if let Some(count) = self.groups.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.groups.remove(&group);
                }
            }
        }
        let is_new = |group: &str| !self.groups.contains_key(group);
        if self.groups.len() >= GROUPS_MAX && new.as_ref().is_some_and(|(group, _)| is_new(group)) {
            tracing::warn!(twin, most = GROUPS_MAX, "a view has too many groups");
            self.left_out.insert(twin.clone());
            new = None;
        }
        if let Some((group, sum)) = new {
            let key = match self.groups.get_key_value(group.as_str()) {
                Some((key, _)) => Arc::clone(key),
                None => group.as_str().into(),
            };
            *self.groups.entry(Arc::clone(&key)).or_default() += 1;
            to.push((group, (1, sum)));
            self.twins.insert(twin, (key, sum));
        }
    }
}

impl<M: TwinModel> Differences for Contributions<M> {
    fn next(&mut self) -> Option<Step> {
        let (states, through) = self.mailbox.take()?;
        let mut differences = Vec::with_capacity(2 * states.len());
        for (twin, state) in states {
            // The user's code may be slow, and a stop waits for no view.
            if self.mailbox.is_stopped() {
                return None;
            }
            self.twin(twin, state, &mut differences);
        }
        Some(Step { differences, through, left_out: self.left_out.len() as u64 })
    }
}
