//! Why messages whose senders wait are refused at the moment (laws R1, P5).

use std::{
    collections::BTreeMap,
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the engine takes no new requests for. A connector whose callers wait asks before each
/// message; it costs one load and, while no model is refused, nothing more.
#[derive(Debug, Default)]
pub struct Refusals {
    held: AtomicBool,
    full: AtomicBool,
    any_model: AtomicBool,
    models: RwLock<BTreeMap<String, Refused>>,
    /// Models for which nothing more can be kept, and why (law D12).
    overfull: RwLock<BTreeMap<String, String>>,
}

/// A model that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, in words for a person.
    pub reason: String,
    /// The connection that brought the last of its failures.
    pub connection: String,
}

impl Refusals {
    /// Whether the store has not moved for so long that nothing new is taken.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Says whether the store is held; gives what was said before.
    pub fn set_held(&self, held: bool) -> bool {
        self.held.swap(held, Ordering::AcqRel)
    }

    /// Whether there is no room to keep anything new.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Says whether there is no room; gives what was said before.
    pub fn set_full(&self, full: bool) -> bool {
        self.full.swap(full, Ordering::AcqRel)
    }

    /// Why nothing is taken for any model; `None` when something is.
    pub fn of_store(&self) -> Option<&'static str> {
        if self.is_full() {
            return Some("the disk of the state has no room left");
        }
        self.is_held().then_some("the store has not moved for two seconds")
    }

    /// Takes no messages for a model until [`Self::allow`]; `false` when that was so already.
    pub fn refuse(&self, model: &str, refused: Refused) -> bool {
        let mut models = self.models.write().expect("refusals");
        let new = models.insert(model.to_owned(), refused).is_none();
        self.any_model.store(true, Ordering::Release);
        new
    }

    /// Takes messages for a model again; `false` when it was not refused.
    pub fn allow(&self, model: &str) -> bool {
        let mut models = self.models.write().expect("refusals");
        let was = models.remove(model).is_some();
        let any = !models.is_empty() || !self.overfull.read().expect("refusals").is_empty();
        self.any_model.store(any, Ordering::Release);
        was
    }

    /// Takes no messages for exactly these models, since there is no room for their dead letters;
    /// each with the reason. Whatever else models are refused for stays as it is.
    pub fn set_overfull(&self, overfull: BTreeMap<String, String>) {
        let models = self.models.write().expect("refusals");
        let any = !models.is_empty() || !overfull.is_empty();
        *self.overfull.write().expect("refusals") = overfull;
        self.any_model.store(any, Ordering::Release);
    }

    /// The models that [`Self::set_overfull`] named.
    pub fn overfull(&self) -> BTreeMap<String, String> {
        self.overfull.read().expect("refusals").clone()
    }

    /// The refused models.
    pub fn models(&self) -> BTreeMap<String, Refused> {
        self.models.read().expect("refusals").clone()
    }

    /// Why a message for this model is refused; `None` when it is not.
    pub fn reason(&self, model: &str) -> Option<String> {
        if let Some(reason) = self.of_store() {
            return Some(reason.to_owned());
        }
        if !self.any_model.load(Ordering::Acquire) {
            return None;
        }
        let models = self.models.read().expect("refusals");
        let refused = models.get(model).map(|refused| refused.reason.clone());
        refused.or_else(|| self.overfull.read().expect("refusals").get(model).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_is_refused_and_the_others_are_not() {
        let refusals = Refusals::default();
        let refused = Refused { reason: "it fails".into(), connection: "plant".into() };
        assert!(refusals.refuse("pumps", refused.clone()));
        assert!(!refusals.refuse("pumps", refused));
        assert_eq!(refusals.reason("pumps").as_deref(), Some("it fails"));
        assert_eq!(refusals.reason("fans"), None);
        assert!(refusals.allow("pumps") && !refusals.allow("pumps"));
        assert_eq!(refusals.reason("pumps"), None);
        assert!(refusals.refuse("fans", Refused { reason: "both".into(), connection: "x".into() }));
        refusals.set_overfull([("fans".to_owned(), "no room".to_owned())].into());
        assert_eq!(refusals.reason("fans").as_deref(), Some("both"));
        assert!(refusals.allow("fans"));
        assert_eq!(refusals.reason("fans").as_deref(), Some("no room"));
        refusals.set_overfull(BTreeMap::new());
        assert_eq!(refusals.reason("fans"), None);
        assert!(!refusals.set_held(true));
        assert!(refusals.reason("fans").is_some());
        assert!(!refusals.set_full(true));
        assert!(refusals.reason("fans").unwrap().contains("no room"));
    }
}
