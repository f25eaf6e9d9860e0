//! The guard around user code: an error or a panic leaves the twin as before the call (law P1).

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a guarded call; the process's panic hook asks (law F1).
pub fn in_guarded_call() -> bool {
    GUARDED.get()
}

/// Runs user code; a panic becomes its text.
#[inline]
pub(crate) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    GUARDED.set(true);
    // The caller restores everything that the call could reach.
    let result = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    result.map_err(|panic| format!("panic: {}", panic_text(&*panic)))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_text_and_the_guard_is_left() {
        assert_eq!(guarded(|| 7), Ok(7));
        let text = guarded(|| {
            assert!(in_guarded_call());
            panic!("bearing {}", 4)
        });
        assert_eq!(text, Err::<(), _>("panic: bearing 4".to_owned()));
        assert!(!in_guarded_call());
    }
}
