//! What the targets share.

/// Lets panics inside symphonia pass, which the audio crate catches and turns into errors; all others end the process with their
/// backtrace. (libFuzzer's own hook ends it at any panic, caught or not.) Overflow is checked in this build only: elsewhere such
/// arithmetic wraps.
pub fn own_panics_only() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic
            .location()
            .is_some_and(|at| at.file().contains("/symphonia-"))
        {
            abort(panic);
        }
    }));
}
