//! Shows a policy the config of a set before the set is drained by it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tidegate_core::{Settings, backoff};

use super::{Modules, book::Check};
use crate::{
    objects::SetObject,
    observe::settings_of,
    policy::{Fault, Module, wit::Proposal},
};

/// The longest pause before a check that could not be made is made again, in milliseconds.
const AGAIN_LONGEST_MS: u64 = 30_000;

/// How often in a row a check may not be made before whoever waits for it is told: the first time is often a set that changed meanwhile.
const TOLD_FROM: u32 = 3;

/// Checks until there is an answer, or until the set names something else.
pub(super) async fn check(modules: Modules, module: Module, check: Check) {
    let mut failures = 0;
    while modules.is_wanted(&check) {
        let trying = AssertUnwindSafe(try_once(&modules, &module, &check)).catch_unwind();
        let broken_off = |_| Err("checking it broke off by a mistake of the host".to_owned());
        match trying.await.unwrap_or_else(broken_off) {
            Ok(taken) => return modules.checked(&check, taken),
            Err(why) => {
                let (namespace, set) = &check.set;
                tracing::debug!(namespace, set, "a config was not checked: {why}");
                failures += 1;
                if failures >= TOLD_FROM {
                    modules.check_failed(&check, why);
                }
                let pause_ms = backoff::delay_ms(failures).min(AGAIN_LONGEST_MS);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }
}

/// Answers whether the policy takes the config.
///
/// # Errors
/// Why that is not known.
async fn try_once(
    modules: &Modules,
    module: &Module,
    check: &Check,
) -> Result<Result<(), String>, String> {
    let (namespace, name) = &check.set;
    let turn = modules.0.checks.take(namespace).await;
    let _turn = turn.map_err(|_| "too many of this namespace wait".to_owned())?;
    let set = modules.0.cluster.set(namespace, name).await.map_err(|error| error.to_string())?;
    let set = set.ok_or_else(|| "the set is not there".to_owned())?;
    let read: SetObject = serde_json::from_value(set.clone()).map_err(|error| error.to_string())?;
    let settings = settings_of(&read).filter(|settings| is_meant(check, &read, settings));
    let settings = settings.ok_or_else(|| "the set has changed meanwhile".to_owned())?;
    let proposal = Proposal {
        namespace: namespace.clone(),
        set_name: name.clone(),
        set: set.to_string(),
        config: settings.config,
        extra: Vec::new(),
    };
    let Some(called) = module.validate(proposal).await else {
        return Ok(Ok(()));
    };
    called.log.tell(namespace, name, module.digest());
    let digest = module.digest();
    match called.answer {
        Ok(answer) => Ok(answer.map_err(|why| format!("policy sha256:{digest}: {why}"))),
        // A machine with less to do may come to an answer.
        Err(fault @ (Fault::Host(_) | Fault::Timeout)) => Err(fault.to_string()),
        // The same arguments lead to the same again.
        Err(fault) => {
            Ok(Err(format!("policy sha256:{digest}, asked whether it takes it: {fault}")))
        }
    }
}

fn is_meant(check: &Check, read: &SetObject, settings: &Settings) -> bool {
    read.metadata.uid.as_ref() == Some(&check.uid)
        && settings.fingerprint() == check.named.fingerprint
}
