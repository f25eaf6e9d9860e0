//! twinflow.
