//! The scripts of `tidegate-world` played on an API server, line by line: what the world is said to do is what Kubernetes does, or whatever else
//! claims to be one.
//!
//! The script's ordinal is the second of a set `web`, whose first member stands for everybody beside whom it all happens.

mod scene;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use kube::Client;
use serde_json::{Value, json};
use tidegate_world::script::Disagreement;

use scene::{Answer, Scene};

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
    let mut player = Player { ground, scene, remembered: BTreeMap::new() };
    for (at, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = said.split_whitespace().collect();
        if !words.is_empty() {
            let played = player.play(&words);
            played.map_err(|error| Disagreement {
                line: at + 1,
                what: format!("{said}: {error:#}"),
            })?;
        }
    }
    Ok(())
}

impl Player<'_> {
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
            ["see", "claim", template, how @ ("same" | "fresh"), name] => {
                let is_same = self.claim(template)?.uid == self.named(name)?.uid;
                if is_same == (*how == "same") { Ok(()) } else { bail!("it is not") }
            }
            ["see", what @ ..] => self.eventually(|player| player.scene.shows(what)),
            ["end"] => {
                let (ground, namespace) = (self.ground, self.scene.namespace().to_owned());
                self.eventually(|_| match ground.end(&namespace, scene::MEMBER) {
                    Ok(()) => Ok(Ok(())),
                    Err(error) => Ok(Err(format!("{error:#}"))),
                })
            }
            _ => self.ask(words),
        }
    }

    /// What asks something of the API server, and its answer.
    fn ask(&mut self, words: &[&str]) -> Result<()> {
        let (asked, expected) = match words {
            [asked @ .., "->", expected] => (asked, *expected),
            asked => (asked, "ok"),
        };
        self.scene.mark();
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
            ["delete-set"] => scene.delete_set(),
            ["evict"] => scene.evict(),
            ["delete-pod"] => scene.delete_pod(),
            ["drain-pod"] => scene.drain_pod(&self.ground.pod_fields()),
            ["drain-pod", "nowhere"] => {
                scene.drain_pod(&json!({ "nodeSelector": { "example.org/nowhere": "yes" } }))
            }
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
        let propagation = match how {
            "background" => "Background",
            "foreground" => "Foreground",
            _ => bail!("in the background or in the foreground?"),
        };
        let options = json!({
            "propagationPolicy": propagation,
            "preconditions": { "uid": claim.uid, "resourceVersion": claim.version },
        });
        self.scene.delete_claim(template, &options)
    }

    fn claim(&self, template: &str) -> Result<Remembered> {
        let claim = self.scene.claim(template)?.context("there is no such claim")?;
        let text = |field: &str| claim["metadata"][field].as_str().unwrap_or_default().to_owned();
        Ok(Remembered { uid: text("uid"), version: text("resourceVersion") })
    }

    fn named(&self, name: &str) -> Result<&Remembered> {
        self.remembered.get(name).with_context(|| format!("nothing is remembered as {name}"))
    }

    /// Looks until it is so, for as long as the ground may take.
    fn eventually(&self, look: impl Fn(&Self) -> Result<Result<(), String>>) -> Result<()> {
        scene::eventually(self.ground.patience(), || look(self)).map_err(|seen| anyhow!("{seen:#}"))
    }
}
