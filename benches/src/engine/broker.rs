//! W1 through a connector with a backlog.
//!
//! Estimate: see the broker's file.

use std::sync::Arc;

use twinflow::Engine;
use twinflow::connectors::Connector;

use super::declared::Declared;
use super::models::{Counting, Outputs};
use super::{Twinflow, store};
use crate::Result;
use crate::check::Check;
use crate::data::DataSet;
use crate::drain::through_engine;
use crate::meter::Usage;
use crate::rest::MODEL;
use crate::system::MessageKind;

impl Twinflow {
    /// Drains the records of W1 from a connector, with as many workers as they have sources.
    pub(crate) fn drain(self, from: impl Connector, data: &DataSet) -> Result<(Usage, Check)> {
        let (builder, _dir) = store(Engine::builder(), self.durable)?;
        let builder = builder.workers(data.partitions().len());
        let (outputs, messages) = (Arc::<Outputs>::default(), data.len() as u64);
        let usage = match self.message {
            MessageKind::Declared => {
                let processor = Declared { outputs: Arc::clone(&outputs) };
                through_engine(builder, MODEL, processor, from, messages)?
            }
            MessageKind::Serde => {
                let processor = Counting { outputs: Arc::clone(&outputs), due: None };
                through_engine(builder, MODEL, processor, from, messages)?
            }
        };
        Ok((usage, outputs.check()))
    }
}
