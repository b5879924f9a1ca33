//! The host's log. In a native test the lines go to standard error and can be read back with
//! [`testing::logged`](crate::testing::logged).

pub use crate::bindings::tidegate::policy::log::Level;

/// Logs a line for the author of the policy.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Logs a line for whoever follows one drain.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Logs that something is odd although the drain goes on.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Logs that something is wrong and that a person should look.
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::tidegate::policy::log::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, message: &str) {
    crate::testing::collect(level, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn lines_can_be_read_back_in_a_native_test() {
        debug("one");
        error("two");
        let lines = vec![(Level::Debug, "one".to_owned()), (Level::Error, "two".to_owned())];
        assert_eq!(testing::logged(), lines);
        assert_eq!(testing::logged(), Vec::new());
    }
}
