//! The stock models.

use crate::config::ModelKinds;

/// The kinds of models of this build.
pub fn kinds() -> ModelKinds {
    ModelKinds::new()
}
