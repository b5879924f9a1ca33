//! The scripts of `tidegate-world` played on an API server, line by line: what the world is said to do is what Kubernetes does, or whatever else
//! claims to be one.
//!
//! The script's ordinal is the second of a set `web`, whose first member stands for everybody beside whom it all happens.

mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use kube::Client;
use serde_json::{Value, json};
use tidegate_world::script::Disagreement;

use scene::{Answer, Owner, Scene};

/// What a script needs besides the API server.
pub trait Ground {
    /// What the specification of every pod has besides, so that the node takes it.
    fn pod_fields(&self) -> Value;

    /// Ends the container of a pod that runs, with exit code 0.
    ///
    /// # Errors
    /// Where the node has no such pod, or it does not run.
    fn end(&self, namespace: &str, pod: &str) -> Result<()>;

    /// Waits until the controllers have done in this namespace what there is to do.
    ///
    /// # Errors
    /// Where they do not come to rest.
    fn settle(&self, namespace: &str) -> Result<()>;

    /// How long something may take to be so that is to be so.
    fn patience(&self) -> Duration;

    /// Waits until the set's controller, which was told of the set at that moment and has tried in vain ever since, will not try again for a while
    /// unless the set is changed. One that rests after its first try is not waited for.
    ///
    /// # Errors
    /// Where it does not come to that.
    fn rests(&self, _namespace: &str, _told_at: Instant) -> Result<()> {
        Ok(())
    }
}

/// A claim as it was at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remembered {
    uid: String,
    version: String,
}

struct Player<'a> {
    ground: &'a dyn Ground,
    scene: Scene,
    remembered: BTreeMap<String, Remembered>,
    /// When something was last asked of the API server.
    asked_at: Instant,
    /// What was seen since everything settled, which must still be so when it settles once more.
    settled: Option<Vec<(usize, String)>>,
}

/// Plays a script in a namespace, which is made for it and deleted after it.
///
/// # Errors
/// The first line that is not so, or that is not understood.
pub fn play(
    client: Client,
    ground: &dyn Ground,
    namespace: &str,
    text: &str,
) -> Result<(), Disagreement> {
    let scene = Scene::make(client, namespace);
    let scene = scene.map_err(|error| Disagreement { line: 0, what: format!("{error:#}") })?;
    let mut player = Player {
        ground,
        scene,
        remembered: BTreeMap::new(),
        asked_at: Instant::now(),
        settled: None,
    };
    for (at, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or_default().trim();
        if !said.is_empty() {
            let played = player.line(at + 1, said);
            played.map_err(|error| Disagreement {
                line: at + 1,
                what: format!("{said}: {error:#}"),
            })?;
        }
    }
    let lasts = player.is_still_so();
    lasts.map_err(|error| Disagreement {
        line: text.lines().count(),
        what: format!("at the end: {error:#}"),
    })
}

impl Player<'_> {
    fn line(&mut self, number: usize, said: &str) -> Result<()> {
        let words: Vec<&str> = said.split_whitespace().collect();
        let sees = words.first() == Some(&"see");
        if !sees {
            self.is_still_so()?;
        }
        self.play(&words)?;
        match (&mut self.settled, words.as_slice()) {
            (settled, ["settle"]) => *settled = Some(Vec::new()),
            (Some(seen), _) if sees => seen.push((number, said.to_owned())),
            (Some(_) | None, _) => {}
        }
        Ok(())
    }

    /// Has everything settle once more, and looks whether what was seen is still so: it may have been seen before a controller came to it.
    fn is_still_so(&mut self) -> Result<()> {
        let seen = self.settled.take().unwrap_or_default();
        if seen.is_empty() {
            return Ok(());
        }
        self.ground.settle(self.scene.namespace())?;
        for (number, said) in seen {
            let words: Vec<&str> = said.split_whitespace().skip(1).collect();
            self.sees(&words)?.map_err(|what| {
                anyhow!("what line {number} says did not last: {said}: there is instead: {what}")
            })?;
        }
        Ok(())
    }

    fn play(&mut self, words: &[&str]) -> Result<()> {
        match words {
            ["given", claims, when_scaled, when_deleted] => {
                let claims = claims.parse().context("how many claims?")?;
                self.scene.given(claims, (when_scaled, when_deleted), &self.ground.pod_fields())?;
                self.eventually(|player| player.scene.has_begun(claims))?;
                self.ground.settle(self.scene.namespace())
            }
            ["settle"] => self.ground.settle(self.scene.namespace()),
            ["await", what @ ..] => self.scene.was(what, self.ground.patience()),
            ["remember", name, template] => {
                let remembered = self.claim(template)?;
                self.remembered.insert((*name).to_owned(), remembered);
                Ok(())
            }
            // What is seen at once after a request is its answer, and is not waited for.
            ["see", what @ ..] if self.settled.is_none() => {
                self.sees(what)?.map_err(|seen| anyhow!("there is instead: {seen}"))
            }
            ["see", what @ ..] => self.eventually(|player| player.sees(what)),
            ["rests"] => self.ground.rests(self.scene.namespace(), self.asked_at),
            ["stranger"] => {
                self.scene.stranger(&self.ground.pod_fields())?;
                self.eventually(|player| player.scene.stranger_runs())
            }
            ["end"] => {
                let (ground, namespace) = (self.ground, self.scene.namespace().to_owned());
                self.eventually(|_| match ground.end(&namespace, scene::MEMBER) {
                    Ok(()) => Ok(Ok(())),
                    Err(error) => Ok(Err(format!("{error:#}"))),
                })?;
                // The node tells of it a moment later.
                self.eventually(|player| player.scene.shows(&["pod", "succeeded"]))
            }
            _ => self.ask(words),
        }
    }

    /// Whether it is so; what is there instead, where it is not.
    fn sees(&self, what: &[&str]) -> Result<Result<(), String>> {
        let ["claim", template, how @ ("same" | "fresh" | "unchanged"), name] = what else {
            return self.scene.shows(what);
        };
        let then = self.named(name)?;
        let Some(claim) = self.scene.claim(template)? else {
            return Ok(Err("there is no such claim".to_owned()));
        };
        let is = remembered(&claim);
        let is_so = match *how {
            "same" => is.uid == then.uid,
            "fresh" => is.uid != then.uid,
            _ => is == *then,
        };
        Ok(if is_so { Ok(()) } else { Err(format!("{is:?}, and then it was {then:?}")) })
    }

    /// What asks something of the API server, and its answer.
    fn ask(&mut self, words: &[&str]) -> Result<()> {
        let (asked, expected) = match words {
            [asked @ .., "->", expected] => (asked, *expected),
            asked => (asked, "ok"),
        };
        self.scene.mark();
        self.asked_at = Instant::now();
        let answer = self.asks(asked)?;
        let word = match answer.code {
            200..300 => "ok",
            404 => "not-found",
            409 => "conflict",
            422 => "invalid",
            _ => "unexpected",
        };
        if word == expected {
            return Ok(());
        }
        bail!("the answer is {word}: {} {}", answer.code, answer.message)
    }

    fn asks(&self, words: &[&str]) -> Result<Answer> {
        let scene = &self.scene;
        let metadata = |fields: Value| json!({ "metadata": fields });
        match words {
            ["anchor"] => scene.anchor(),
            ["scale", seats] => {
                // The first member is beside the point, and stays.
                let replicas = seats.parse::<u32>().context("scale to what?")? + 1;
                scene.change_set("", &json!({ "spec": { "replicas": replicas } }))
            }
            ["start", "above"] => {
                scene.change_set("", &json!({ "spec": { "ordinals": { "start": scene::ABOVE } } }))
            }
            ["start", "zero"] => {
                scene.change_set("", &json!({ "spec": { "ordinals": { "start": 0 } } }))
            }
            ["touch"] => {
                let note = json!({ "annotations": { "example.org/touched": "yes" } });
                scene.change_set("/status", &metadata(note))
            }
            ["retain", when_scaled, when_deleted] => {
                let policy = json!({ "whenScaled": when_scaled, "whenDeleted": when_deleted });
                let spec = json!({ "persistentVolumeClaimRetentionPolicy": policy });
                scene.change_set("", &json!({ "spec": spec }))
            }
            ["hold"] => scene.change_set("", &metadata(json!({ "finalizers": [scene::HOLD] }))),
            ["let-go"] => {
                let gone = json!({ "$deleteFromPrimitiveList/finalizers": [scene::HOLD] });
                scene.change_set("", &metadata(gone))
            }
            ["delete-set", how] => scene.delete_set(propagation(how)?),
            ["evict"] => scene.evict(),
            ["delete-pod"] => scene.delete_pod(),
            ["drain-pod"] => scene.drain_pod(Owner::Claim, &self.ground.pod_fields()),
            ["drain-pod", "unowned"] => scene.drain_pod(Owner::Nobody, &self.ground.pod_fields()),
            ["drain-pod", "nowhere"] => {
                let fields = json!({ "nodeSelector": { "example.org/nowhere": "yes" } });
                scene.drain_pod(Owner::Claim, &fields)
            }
            ["lookalike"] => scene.lookalike(&self.ground.pod_fields()),
            ["seal"] => scene.change_pod(&json!({ "finalizers": [scene::SEAL] })),
            ["unseal"] => {
                scene.change_pod(&json!({ "$deleteFromPrimitiveList/finalizers": [scene::SEAL] }))
            }
            ["delete-claim", template, how] => {
                self.delete_claim(template, how, &self.claim(template)?)
            }
            ["delete-claim", template, how, "at", name] => {
                self.delete_claim(template, how, self.named(name)?)
            }
            _ => bail!("the line is not understood"),
        }
    }

    fn delete_claim(&self, template: &str, how: &str, claim: &Remembered) -> Result<Answer> {
        let options = json!({
            "propagationPolicy": propagation(how)?,
            "preconditions": { "uid": claim.uid, "resourceVersion": claim.version },
        });
        self.scene.delete_claim(template, &options)
    }

    fn claim(&self, template: &str) -> Result<Remembered> {
        let claim = self.scene.claim(template)?.context("there is no such claim")?;
        Ok(remembered(&claim))
    }

    fn named(&self, name: &str) -> Result<&Remembered> {
        self.remembered.get(name).with_context(|| format!("nothing is remembered as {name}"))
    }

    /// Looks until it is so, for as long as the ground may take.
    fn eventually(&self, look: impl Fn(&Self) -> Result<Result<(), String>>) -> Result<()> {
        scene::eventually(self.ground.patience(), || look(self)).map_err(|seen| anyhow!("{seen:#}"))
    }
}

fn remembered(claim: &Value) -> Remembered {
    let text = |field: &str| claim["metadata"][field].as_str().unwrap_or_default().to_owned();
    Remembered { uid: text("uid"), version: text("resourceVersion") }
}

fn propagation(how: &str) -> Result<&'static str> {
    match how {
        "background" => Ok("Background"),
        "foreground" => Ok("Foreground"),
        "orphan" => Ok("Orphan"),
        _ => bail!("in the background, in the foreground, or orphaned?"),
    }
}
