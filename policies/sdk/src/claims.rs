//! Whether every claim has a place in the drain pod.

use crate::PodTemplate;

/// Holds where every claim template in `claims` is mounted by a container of the drain pod or given up in `discard`: the host refuses a pod
/// that leaves any.
///
/// # Errors
/// A sentence that names the first one that is neither.
pub fn check_mounts<'a>(
    template: &PodTemplate,
    claims: impl IntoIterator<Item = &'a str>,
    discard: &[String],
) -> Result<(), String> {
    let lost = |claim: &&str| !template.mounts(claim) && !discard.iter().any(|one| one == claim);
    match claims.into_iter().find(lost) {
        None => Ok(()),
        Some(claim) => Err(format!(
            "no container mounts the claim template `{claim}`: mount it, or, if it holds nothing worth moving, name \
             it in `discard`"
        )),
    }
}

/// Holds where `discard` names nothing but claim templates of the set.
///
/// # Errors
/// A sentence that names the first one that the set does not have, and those that it has.
pub fn check_discard(discard: &[String], claims: &[&str]) -> Result<(), String> {
    match discard.iter().find(|one| !claims.contains(&one.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(format!(
            "`discard` names `{unknown}`, and the claim templates of the set are {}",
            crate::template::quoted(claims)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> PodTemplate {
        let text = r#"{"spec": {
            "initContainers": [{"name": "a", "volumeDevices": [{"name": "raw", "devicePath": "/dev/raw"}]}],
            "containers": [{"name": "b", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
        }}"#;
        PodTemplate::parse(text).expect("the template is right")
    }

    #[test]
    fn a_claim_that_nobody_mounts_is_named_unless_it_is_given_up() {
        assert_eq!(check_mounts(&template(), ["data", "raw"], &[]), Ok(()));
        let lost = check_mounts(&template(), ["data", "logs", "cache"], &["logs".to_owned()]);
        assert!(lost.expect_err("it is lost").contains("`cache`"));
    }

    #[test]
    fn a_misspelt_claim_is_named_with_those_that_there_are() {
        assert_eq!(check_discard(&["logs".to_owned()], &["data", "logs"]), Ok(()));
        assert_eq!(
            check_discard(&["lgos".to_owned()], &["data", "logs"]),
            Err("`discard` names `lgos`, and the claim templates of the set are `data`, `logs`"
                .to_owned())
        );
    }
}
