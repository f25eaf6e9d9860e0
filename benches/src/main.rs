//! The benchmark harness of twinflow; see README.md beside it.

fn main() {}
