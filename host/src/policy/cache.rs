//! Loads policies and remembers them by digest: what was compiled, and what was refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::call::{Module, OwnArtifact, Runtime};
use super::compile::Compiler;
use super::fault::{Fault, LoadError};
use super::inspect::inspect;
use super::record::Recorder;
use super::refusal::Lasts;
use super::source::Digest;
use super::unpack::unpack;

/// Modules kept. A cluster has a handful of policies; one that fell out is compiled again when it is needed.
const MODULES_MAX: usize = 64;

/// Bytes of machine code of all modules kept, beside the compiler's child in a container of 512 MiB.
const MODULES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Refused digests kept. Each is a short text, and without it a bad module costs a compilation at every look.
const REFUSALS_MAX: usize = 256;

/// Every policy that this host has loaded.
pub struct Policies {
    compiler: Compiler,
    runtime: Arc<Runtime>,
    /// One compilation at a time, so that the limits of one are the limits of all.
    compiling: Semaphore,
    known: Mutex<Known>,
}

impl Policies {
    /// Starts the engine. Nothing is loaded yet.
    ///
    /// # Errors
    /// Where wasmtime does not support this machine or the system gives no thread.
    pub fn start(compiler: Compiler) -> wasmtime::Result<Self> {
        Self::start_recorded(compiler, None)
    }

    /// The same, and every call is recorded where there is a recorder.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_recorded(
        compiler: Compiler,
        recorder: Option<Recorder>,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            compiler,
            runtime: Arc::new(Runtime::start(recorder)?),
            compiling: Semaphore::new(1),
            known: Mutex::new(Known::default()),
        })
    }

    /// The module of this digest, where the host has it: a drain goes on with what it began with, whatever the ConfigMap
    /// holds by then.
    #[must_use]
    pub fn get(&self, digest: &Digest) -> Option<Module> {
        self.known().modules.get(digest).cloned()
    }

    /// Lets go of the module of this digest. Calls of it that run go on to their end.
    pub fn forget(&self, digest: &Digest) {
        self.known().modules.remove(digest);
    }

    /// The digests of the modules that are kept.
    #[must_use]
    pub fn digests(&self) -> Vec<Digest> {
        self.known().modules.digests().collect()
    }

    /// Makes a module of a ConfigMap's entry: unpacks it, compares its digest with the pinned one, checks what it imports and
    /// exports, compiles it and starts it once. A digest that is known costs the unpacking alone.
    ///
    /// # Errors
    /// [`LoadError`]; whatever blames the component is remembered and answered again without another compilation.
    pub async fn load(&self, pinned: Option<&Digest>, bytes: Vec<u8>) -> Result<Module, LoadError> {
        let (digest, component) = blocking(move || {
            let component = unpack(bytes)?;
            Ok((Digest::of(&component), component))
        })
        .await?;
        if let Some(expected) = pinned
            && *expected != digest
        {
            return Err(LoadError::DigestMismatch { expected: *expected, found: digest });
        }
        if let Some(known) = self.known().get(&digest) {
            return known;
        }
        let closed = |error: tokio::sync::AcquireError| LoadError::Host(error.to_string());
        let _turn = self.compiling.acquire().await.map_err(closed)?;
        // Whoever held the turn before may have loaded the same component.
        if let Some(known) = self.known().get(&digest) {
            return known;
        }
        let loaded = self.load_unknown(digest, component).await;
        self.known().remember(digest, &loaded);
        loaded
    }

    async fn load_unknown(&self, digest: Digest, component: Vec<u8>) -> Result<Module, LoadError> {
        let component = blocking(move || inspect(&component).map(|()| component)).await?;
        let artifact = OwnArtifact(self.compiler.compile(&component).await?);
        drop(component);
        let runtime = Arc::clone(&self.runtime);
        let module = blocking(move || runtime.load(digest, &artifact)).await?;
        // Some shapes are compared only when the component is started.
        match module.try_start().await {
            Ok(()) => Ok(module),
            Err(fault) => Err(start_error(fault)),
        }
    }

    /// Nothing that changes what is known can panic half way, so a poisoned lock is as good as any.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Known {
    modules: Recent<Module>,
    refusals: Recent<(Instant, LoadError)>,
}

impl Known {
    fn get(&mut self, digest: &Digest) -> Option<Result<Module, LoadError>> {
        if let Some(module) = self.modules.get(digest) {
            return Some(Ok(module.clone()));
        }
        let (since, error) = self.refusals.get(digest)?;
        let is_believed = match Lasts::of(error) {
            Lasts::Always => true,
            Lasts::For(lasts) => since.elapsed() < lasts,
            Lasts::NotAtAll => false,
        };
        is_believed.then(|| Err(error.clone()))
    }

    fn remember(&mut self, digest: Digest, loaded: &Result<Module, LoadError>) {
        match loaded {
            Ok(module) => {
                self.modules.put(digest, module.clone());
                while self.modules.len() > MODULES_MAX || self.code_bytes() > MODULES_MAX_BYTES {
                    self.modules.drop_oldest();
                }
            }
            Err(error) if Lasts::of(error) == Lasts::NotAtAll => {}
            Err(error) => {
                self.refusals.put(digest, (Instant::now(), error.clone()));
                if self.refusals.len() > REFUSALS_MAX {
                    self.refusals.drop_oldest();
                }
            }
        }
    }

    fn code_bytes(&self) -> usize {
        self.modules.values().map(Module::artifact_bytes).sum()
    }
}

/// Entries in the order of their last use, the oldest first. A few hundred at most, so a walk is as quick as a map.
struct Recent<V>(Vec<(Digest, V)>);

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Recent<V> {
    fn get(&mut self, digest: &Digest) -> Option<&V> {
        let place = self.0.iter().position(|(known, _)| known == digest)?;
        let entry = self.0.remove(place);
        self.0.push(entry);
        self.0.last().map(|(_, value)| value)
    }

    fn put(&mut self, digest: Digest, value: V) {
        self.remove(&digest);
        self.0.push((digest, value));
    }

    fn remove(&mut self, digest: &Digest) {
        self.0.retain(|(known, _)| known != digest);
    }

    fn drop_oldest(&mut self) {
        if !self.0.is_empty() {
            self.0.remove(0);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn digests(&self) -> impl Iterator<Item = Digest> {
        self.0.iter().map(|(digest, _)| *digest)
    }

    fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(LoadError::Host(error.to_string())),
    }
}

fn start_error(fault: Fault) -> LoadError {
    match fault {
        Fault::Instantiate(reason) => LoadError::Contract(reason),
        Fault::Trap { .. }
        | Fault::OutOfFuel
        | Fault::Timeout
        | Fault::Memory
        | Fault::TooMuchData
        | Fault::Output { .. }
        | Fault::Host(_) => LoadError::Start(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let digests = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        let mut recent = Recent::default();
        for (place, digest) in digests.iter().enumerate() {
            recent.put(*digest, place);
        }
        assert_eq!(recent.get(&digests[0]), Some(&0));
        recent.drop_oldest();
        assert_eq!(recent.get(&digests[1]), None);
        recent.put(digests[0], 7);
        assert_eq!(recent.len(), 2);
        assert_eq!(recent.get(&digests[0]), Some(&7));
    }
}
