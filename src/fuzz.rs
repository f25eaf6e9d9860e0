//! Every parser of this program with what it is tried on, as
//! [`connectors::fuzz`](crate::connectors::fuzz) describes it (feature `testing`).

mod declared;

pub use twinflow_operators::fuzz::Target;

/// The targets of all three crates in this build.
pub fn targets() -> Vec<Target> {
    let mut all = twinflow_connectors::fuzz::targets();
    all.extend(twinflow_operators::fuzz::targets());
    all.extend(crate::engine::fuzz::TARGETS);
    all.push(declared::TARGET);
    all.push(crate::config::fuzz::TARGET);
    #[cfg(feature = "local-log")]
    all.extend(crate::store::fuzz::TARGETS);
    #[cfg(feature = "server")]
    all.extend(crate::state::TARGETS);
    #[cfg(feature = "server")]
    all.push(crate::supervisor::TARGET);
    all
}

/// The bodies of the frames of a segment: more for the target `entries` to begin with.
#[cfg(feature = "local-log")]
pub fn bodies(segment: &[u8]) -> Vec<Vec<u8>> {
    crate::store::fuzz::bodies(segment)
}

/// Runs one target by its name.
///
/// # Panics
///
/// There is no such target in this build; or the target has found something.
pub fn run(name: &str, input: &[u8]) {
    let all = targets();
    let target = all.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target \"{name}\"")).run)(input);
}
