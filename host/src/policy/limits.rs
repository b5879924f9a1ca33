//! What one call may use: instructions, wall time, memory and tables.

use wasmtime::{ResourceLimiter, Result, bail};

use super::engine::TICK_MILLIS;

/// Instructions (wasmtime's fuel) of one call: about 65 ms of computing, and thousands of times what a policy that edits a
/// pod template needs. The same arguments use the same fuel on every machine.
pub const FUEL_PER_CALL: u64 = 1_000_000_000;

/// Milliseconds of wall time of one call, instantiation included. Fuel ends whatever computes long before; this bounds what
/// costs time but little fuel, such as calls of the host, on a machine of any speed.
pub const DEADLINE_MILLIS: u64 = 1000;

/// The wall time in ticks of the epoch clock.
pub const DEADLINE_TICKS: u64 = DEADLINE_MILLIS / TICK_MILLIS;

/// Bytes of all linear memories of one call together. Policies in Rust use 2 MiB; interpreters that carry a language use 16 MiB.
pub const MEMORY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Elements of all tables of one call together; a compiled program has one for each function that it calls by pointer.
pub const TABLE_MAX_ELEMENTS: usize = 100_000;

/// Core instances of one call. A component made by a toolchain has up to about twenty.
pub const INSTANCES_MAX: usize = 100;

/// Linear memories of one call.
pub const MEMORIES_MAX: usize = 8;

/// Tables of one call.
pub const TABLES_MAX: usize = 32;

/// Bytes that one crossing from guest to host may copy: an answer, or a message for the log. Above the limits of every
/// answer, so that a too big template is refused by name, and far below what would hurt the host.
pub const CROSSING_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Counts what the memories and tables of one store hold together, and remembers that it refused: the error that the guest
/// sees then is an ordinary trap and tells nothing.
#[derive(Debug, Default)]
pub struct Limiter {
    memory_bytes: usize,
    table_elements: usize,
    refused: bool,
}

impl Limiter {
    /// True once the guest asked for more memory or table than a call may have.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Bytes that all memories hold together.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > MEMORY_MAX_BYTES {
            self.refused = true;
            bail!("a call may have {MEMORY_MAX_BYTES} bytes of memory, and asked for {total}");
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_MAX_ELEMENTS {
            self.refused = true;
            bail!("a call may have {TABLE_MAX_ELEMENTS} table elements, and asked for {total}");
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed() {
        let mut limiter = Limiter::default();
        let half = MEMORY_MAX_BYTES / 2;
        assert!(limiter.memory_growing(0, half, None).is_ok_and(|allowed| allowed));
        assert!(limiter.memory_growing(0, half, None).is_ok_and(|allowed| allowed));
        assert!(!limiter.refused());
        assert!(limiter.memory_growing(half, half + 1, None).is_err());
        assert!(limiter.refused());
    }

    #[test]
    fn tables_are_summed() {
        let mut limiter = Limiter::default();
        assert!(limiter.table_growing(0, TABLE_MAX_ELEMENTS, None).is_ok_and(|allowed| allowed));
        assert!(limiter.table_growing(0, 1, None).is_err());
        assert!(limiter.refused());
    }
}
