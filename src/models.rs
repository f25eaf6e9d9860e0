//! The stock models, and the list of kinds that the configuration file can name.
//!
//! Each kind is an ordinary message processor with ordinary settings: what these files do, a
//! program of yours can do. Add your own kinds with [`ModelKinds::with`].

pub mod gas_sensor;
pub mod journal;
pub mod shadow;
pub mod wind_turbine;

mod check;
mod kind;
mod kinds;
#[cfg(test)]
mod testing;

pub use self::{
    kind::{ModelKind, RESERVED_KEYS},
    kinds::ModelKinds,
};
