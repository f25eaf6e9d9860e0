//! Pipelines of one's own: what they drop, make, send elsewhere and fail on, and that nothing of it
//! changes what is promised about acknowledgement, order and repetition.

mod before;
mod behind;
mod enriched;
mod promised;
