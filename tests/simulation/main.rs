//! The whole engine over a disk that loses power, killed at every step, beside an oracle.
//!
//! `plan` is what happens, `twin` what messages do, `upstream` the two kinds of sources that a plan
//! has, `store` a log that counts steps, `world` one plan with its lives, `oracle` what must come
//! of it, `zombies` processes that stand still and go on beside their successors. `crashes`,
//! `zombies`, `late` (the log alone), `damage` and `mistakes` are the tests. A seed decides the
//! plan; the threads of the engine run as they do, so a step is a place in the protocol and not a
//! moment.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that goes wrong")]
#![expect(clippy::print_stdout, reason = "what was counted is the result of a full run")]

mod crashes;
mod damage;
mod late;
mod mistakes;
mod oracle;
mod plan;
mod store;
mod twin;
mod upstream;
mod world;
mod zombies;
