//! What every target is made of.

use std::ffi::OsStr;

use tidegate_fuzz::Input;

pub use libfuzzer_sys;

/// A target for libFuzzer: the one of `tidegate_fuzz` that has this name.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(
            init: $crate::compile_if_asked(),
            |data: &[u8]| $crate::holds($name, data)
        );
        $crate::libfuzzer_sys::fuzz_mutator!(
            |data: &mut [u8], size: usize, max_size: usize, seed: u32| {
                $crate::mutate($name, data, size, max_size, seed)
            }
        );
    };
}

/// The process that fuzzes compiles its policy in a child, as the host does: by running itself.
pub fn compile_if_asked() {
    let asked = std::env::args_os().nth(1);
    if asked.as_deref() == Some(OsStr::new(tidegate::policy::compile::COMPILE_SUBCOMMAND)) {
        let code = tidegate::policy::compile_child_main();
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// Runs one input.
pub fn holds(name: &str, data: &[u8]) {
    if let Some(target) = tidegate_fuzz::target(name) {
        (target.holds)(data);
    }
}

/// Makes one input out of another: libFuzzer's own way where it is any bytes, and one time in eight where it is a document.
pub fn mutate(name: &str, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let input = tidegate_fuzz::target(name).map(|target| target.input);
    match input {
        Some(input @ Input::Json(_)) if seed % 8 != 0 => {
            let now = data.get(..size).unwrap_or_default();
            let varied = input.varied(now, u64::from(seed));
            let end = varied.len().min(max_size).min(data.len());
            match (data.get_mut(..end), varied.get(..end)) {
                (Some(place), Some(varied)) => place.copy_from_slice(varied),
                (_, _) => return size,
            }
            end
        }
        Some(_) | None => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
}
