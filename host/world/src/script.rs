//! Scripted scenarios: what is known of the real Kubernetes, written once as text, so that the same script is played in the world and on a real
//! control plane and must agree line by line.
//!
//! A script is a file of lines. What follows `#` is for people. Its verbs:
//!
//! | line | what is done, or must be so |
//! | --- | --- |
//! | `given CLAIMS whenScaled whenDeleted` | a set whose ordinal 1 runs on so many claims, all wanted; each fate `Retain` or `Delete` |
//! | `anchor` | the claims get their namespace as an owner |
//! | `scale N`, `start above`, `start zero`, `retain whenScaled whenDeleted` | a person edits the set |
//! | `delete-set background\|foreground\|orphan` | a person deletes the set |
//! | `hold`, `let-go` | a finalizer is put on the set, or taken off |
//! | `evict`, `delete-pod` | befalls the pod of ordinal 1 |
//! | `drain-pod`, `drain-pod nowhere`, `drain-pod unowned` | a drain pod of the member's name, owned by the first claim; one that no node can take; one without an owner, whose labels are none of the set's |
//! | `lookalike` | a pod of the member's name, without an owner, that looks as if the set had made it |
//! | `stranger` | a pod of another name that uses the claims, and runs |
//! | `end` | the drain pod's process ends by itself with exit code 0 |
//! | `seal`, `unseal`, `touch` | as the host would, in the version of this moment |
//! | `rests` | the set's controller has tried so often in vain that its next try of itself is far |
//! | `remember NAME TEMPLATE` | the claim's identity and version of this moment get a name |
//! | `delete-claim TEMPLATE background\|foreground [at NAME]` | a DELETE with preconditions, of this moment or as remembered |
//! | `settle` | everybody but people and hosts does what there is to do, until nothing happens |
//! | `await WHAT…` | the same, up to the moment at which it is so |
//! | `see WHAT…` | it is so |
//!
//! | what is awaited or seen | |
//! | --- | --- |
//! | `pod none`, `pod WORD…` | `member`, `drain`, `left-behind` (a member without a set), `running`, `succeeded`, `unscheduled`, `terminating`, `disrupted` |
//! | `claim TEMPLATE none\|there\|terminating` | |
//! | `claim TEMPLATE same\|fresh\|unchanged NAME` | the identity is that which was remembered; it is another; the version is the same, too |
//! | `claim TEMPLATE owned nobody`, `claim TEMPLATE owned WORD…` | exactly by `set`, `pod`, `namespace` |
//! | `set none\|there\|terminating` | |
//!
//! A line that asks something of the API server may end with `-> ok`, `-> conflict`, `-> invalid` or `-> not-found`; without it, `ok` is meant.

use std::collections::BTreeMap;
use std::fmt;

use crate::{
    Rules, canon, cluster,
    objects::{
        BackOff, Cascade, Claim, Deletion, Fate, Kind, Marks, NO_SET, Phase, Pod, Start, World,
    },
    people,
    sight::TEMPLATES,
    write::{ClaimRef, PodRef, Refusal, SetRef, Write, apply},
};

/// The place of the ordinal that every script is about.
const SEAT: usize = 0;
/// How many deeds it takes Kubernetes at most to come to rest.
const DEEDS_MAX: usize = 100;

/// A line that does not do or show what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The line's number, from 1.
    pub line: usize,
    /// What the line says, and what is so instead.
    pub what: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Disagreement {}

/// Plays a script in the world.
///
/// # Errors
/// The first line that the world does not agree with, or that is not understood.
pub fn play(text: &str) -> Result<(), Disagreement> {
    let mut stage: Option<Stage> = None;
    for (at, line) in text.lines().enumerate() {
        let said = line.split('#').next().unwrap_or_default().trim();
        let words: Vec<&str> = said.split_whitespace().collect();
        let disagrees =
            |what: String| Disagreement { line: at + 1, what: format!("{said}: {what}") };
        match (words.as_slice(), &mut stage) {
            ([], _) => {}
            (["given", rest @ ..], _) => stage = Some(Stage::given(rest).map_err(disagrees)?),
            (_, None) => return Err(disagrees("a script begins with `given`".to_owned())),
            (words, Some(stage)) => stage.play(words).map_err(disagrees)?,
        }
    }
    Ok(())
}

struct Stage {
    rules: Rules,
    world: World,
    remembered: BTreeMap<String, ClaimRef>,
    /// Whether the drain pod asks for a node that is not there.
    nowhere: bool,
}

impl Stage {
    fn given(words: &[&str]) -> Result<Self, String> {
        let [claims, when_scaled, when_deleted] = words else {
            return Err("say how many claims, whenScaled and whenDeleted".to_owned());
        };
        let claims = claims.parse().map_err(|_| "how many claims?".to_owned())?;
        let rules = Rules { claims, hosts: 0, ..Rules::default() };
        let (scaled, deleted) = (fate(when_scaled)?, fate(when_deleted)?);
        let world = rules.beginnings().into_iter().find(|world| {
            world.set.as_ref().is_some_and(|set| {
                (set.when_scaled, set.when_deleted, set.replicas) == (scaled, deleted, 1)
            })
        });
        let world = world.ok_or("there is no such beginning")?;
        Ok(Self { rules, world, remembered: BTreeMap::new(), nowhere: false })
    }

    fn play(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["settle"] => self.settle(|_| false).map(|_| ()),
            ["await", what @ ..] => {
                let found = self.settle(|world| shows(world, what) == Some(true))?;
                if found {
                    Ok(())
                } else {
                    Err(format!("it never was: {:?}", self.world.places[SEAT]))
                }
            }
            ["see", "claim", template, how @ ("same" | "fresh" | "unchanged"), name] => {
                let now = self.claim_ref(template)?;
                let then = self.named(name)?;
                let is_so = match *how {
                    "same" => now.uid == then.uid,
                    "fresh" => now.uid != then.uid,
                    _ => now == then,
                };
                if is_so { Ok(()) } else { Err("it is not".to_owned()) }
            }
            ["see", what @ ..] => match shows(&self.world, what) {
                Some(true) => Ok(()),
                Some(false) => Err(format!("it is not: {:?}", self.world.places[SEAT])),
                None => Err("what should be seen is not understood".to_owned()),
            },
            ["remember", name, template] => {
                let claim = self.claim_ref(template)?;
                self.remembered.insert((*name).to_owned(), claim);
                // A request that never arrives, so that the world gives nobody else the numbers that are remembered.
                self.world.late.push(Write::Fence(claim));
                Ok(())
            }
            _ => self.ask(words),
        }
    }

    /// What asks something of the API server, and its answer.
    fn ask(&mut self, words: &[&str]) -> Result<(), String> {
        let (asked, expected) = match words {
            [asked @ .., "->", expected] => (asked, *expected),
            asked => (asked, "ok"),
        };
        let answer = match self.asks(asked)? {
            Ok(()) => "ok",
            Err(Refusal::Conflict) => "conflict",
            Err(Refusal::Invalid) => "invalid",
            Err(Refusal::NotFound) => "not-found",
        };
        if answer == expected { Ok(()) } else { Err(format!("the answer is {answer}")) }
    }

    fn asks(&mut self, words: &[&str]) -> Result<Result<(), Refusal>, String> {
        let write = match words {
            ["seal"] => Write::Seal(self.pod_ref()?),
            ["unseal"] => Write::Unseal { pod: self.pod_ref()?, drained: true },
            ["touch"] => {
                let set = self.world.set.as_ref().map_or(0, |set| set.uid);
                Write::Touch { set, free: Default::default() }
            }
            ["drain-pod", rest @ ..] => {
                self.nowhere = rest == ["nowhere"];
                let mut marks = self.marks();
                if rest == ["unowned"] {
                    marks.claims = Default::default();
                }
                Write::CreatePod { seat: SEAT, marks }
            }
            ["hold"] => Write::Hold(self.set_ref()?),
            ["let-go"] => Write::LetGo(self.set_ref()?),
            ["delete-claim", template, how] => {
                Write::DeleteClaim { claim: self.claim_ref(template)?, deletion: cascade(how)? }
            }
            ["delete-claim", _, how, "at", name] => {
                Write::DeleteClaim { claim: self.named(name)?, deletion: cascade(how)? }
            }
            _ => {
                self.deed(words)?;
                return Ok(Ok(()));
            }
        };
        Ok(apply(&mut self.world, &write, None))
    }

    fn deed(&mut self, words: &[&str]) -> Result<(), String> {
        let deed = match words {
            ["anchor"] => {
                for claim in self.world.places[SEAT].claims.iter_mut().flatten() {
                    claim.anchored = true;
                    claim.changed();
                }
                return Ok(());
            }
            ["lookalike"] => {
                let uid = canon::fresh_pod(&mut self.world, SEAT);
                let place = &mut self.world.places[SEAT];
                place.pod = Some(Pod::created(uid, Kind::Member { set: NO_SET }));
                return Ok(());
            }
            // The world's controller tries once more after each change, and rests.
            ["rests"] => return Ok(()),
            ["end"] => {
                cluster::act(&mut self.world, &self.rules, cluster::Deed::Succeeds(SEAT));
                return Ok(());
            }
            ["scale", replicas] => {
                people::Deed::Scale(replicas.parse().map_err(|_| "scale to what?".to_owned())?)
            }
            ["start", "above"] => people::Deed::MoveStart(Start::Above),
            ["start", "zero"] => people::Deed::MoveStart(Start::Zero),
            ["retain", when_scaled, when_deleted] => people::Deed::Retain {
                when_scaled: fate(when_scaled)?,
                when_deleted: fate(when_deleted)?,
            },
            ["delete-set", "background"] => people::Deed::DeleteSet(Cascade::Background),
            ["delete-set", "foreground"] => people::Deed::DeleteSet(Cascade::Foreground),
            ["delete-set", "orphan"] => people::Deed::DeleteSet(Cascade::Orphan),
            ["stranger"] => people::Deed::StrangerComes(SEAT),
            ["evict"] => people::Deed::Evict(SEAT),
            ["delete-pod"] => people::Deed::DeletePod(SEAT),
            _ => return Err("the line is not understood".to_owned()),
        };
        people::act(&mut self.world, &self.rules, deed);
        Ok(())
    }

    /// Whether the moment came before everything was at rest.
    fn settle(&mut self, is_there: impl Fn(&World) -> bool) -> Result<bool, String> {
        for _ in 0..DEEDS_MAX {
            if is_there(&self.world) {
                return Ok(true);
            }
            let deeds = cluster::deeds(&self.world, &self.rules);
            let Some(deed) = deeds.into_iter().find(|deed| self.is_due(*deed)) else {
                return Ok(false);
            };
            cluster::act(&mut self.world, &self.rules, deed);
        }
        Err("Kubernetes does not come to rest".to_owned())
    }

    fn is_due(&self, deed: cluster::Deed) -> bool {
        let place = &self.world.places[SEAT];
        match deed {
            // A script says itself when a drain ends.
            cluster::Deed::Succeeds(_) => false,
            cluster::Deed::Starts(_) => {
                let is_drain = place.pod.as_ref().and_then(Pod::marks).is_some();
                !(is_drain && self.nowhere)
            }
            cluster::Deed::MakesMember(_) => place.back_off != BackOff::Rests,
            cluster::Deed::DeletesMember(_)
            | cluster::Deed::Stops(_)
            | cluster::Deed::PodGoes(_)
            | cluster::Deed::CollectsPod(_)
            | cluster::Deed::CollectsClaim(..)
            | cluster::Deed::StrikesOwners(..)
            | cluster::Deed::ClaimGoes(..)
            | cluster::Deed::OwnsClaims(_)
            | cluster::Deed::OrphansMember(_)
            | cluster::Deed::AdoptsMember(_)
            | cluster::Deed::SetGoes => true,
        }
    }

    fn marks(&self) -> Marks {
        let (set, generation) =
            self.world.set.as_ref().map_or((0, 0), |set| (set.uid, set.generation));
        let uid = |claim: &Option<Claim>| claim.as_ref().map(|claim| claim.uid);
        let claims = self.world.places[SEAT].claims.each_ref().map(uid);
        Marks { set, generation, attempt: 1, claims }
    }

    fn set_ref(&self) -> Result<SetRef, String> {
        let set = self.world.set.as_ref().ok_or("there is no set")?;
        Ok(SetRef { uid: set.uid, version: set.version })
    }

    fn pod_ref(&self) -> Result<PodRef, String> {
        let pod = self.world.places[SEAT].pod.as_ref().ok_or("there is no pod")?;
        Ok(PodRef { seat: SEAT, uid: pod.uid, version: pod.version })
    }

    fn claim_ref(&self, template: &str) -> Result<ClaimRef, String> {
        let template = template_of(template).ok_or("there is no such template")?;
        let claim = self.world.places[SEAT].claims[template].as_ref();
        let claim = claim.ok_or("there is no such claim")?;
        Ok(ClaimRef { seat: SEAT, template, uid: claim.uid, version: claim.version })
    }

    fn named(&self, name: &str) -> Result<ClaimRef, String> {
        self.remembered.get(name).copied().ok_or_else(|| format!("nothing is remembered as {name}"))
    }
}

/// Whether it is so; nothing where it is not understood.
fn shows(world: &World, what: &[&str]) -> Option<bool> {
    let place = &world.places[SEAT];
    match what {
        ["pod", "none"] => Some(place.pod.is_none()),
        ["pod", words @ ..] => words
            .iter()
            .try_fold(true, |so_far, word| Some(pod_is(place.pod.as_ref(), word)? && so_far)),
        ["set", how] => Some(match *how {
            "none" => world.set.is_none(),
            "there" => world.set.as_ref().is_some_and(|set| set.going.is_none()),
            "terminating" => world.set.as_ref().is_some_and(|set| set.going.is_some()),
            _ => return None,
        }),
        ["claim", template, "owned", owners @ ..] => {
            let claim = place.claims.get(template_of(template)?)?.as_ref();
            Some(claim.is_some_and(|claim| owners_of(claim) == owners))
        }
        ["claim", template, how] => {
            let claim = place.claims.get(template_of(template)?)?.as_ref();
            Some(match *how {
                "none" => claim.is_none(),
                "there" => claim.is_some_and(|claim| !claim.is_terminating()),
                "terminating" => claim.is_some_and(Claim::is_terminating),
                _ => return None,
            })
        }
        _ => None,
    }
}

fn pod_is(pod: Option<&Pod>, word: &str) -> Option<bool> {
    let is = |holds: fn(&Pod) -> bool| Some(pod.is_some_and(holds));
    match word {
        "member" => is(|pod| matches!(pod.kind, Kind::Member { set } if set != NO_SET)),
        "left-behind" => is(|pod| pod.kind == Kind::Member { set: NO_SET }),
        "drain" => is(|pod| matches!(pod.kind, Kind::Drain(_))),
        "unscheduled" => is(|pod| pod.phase == Phase::Unscheduled),
        "running" => is(|pod| pod.phase == Phase::Running),
        "succeeded" => is(|pod| pod.phase == Phase::Succeeded),
        "terminating" => is(|pod| pod.terminating),
        "disrupted" => is(|pod| pod.disrupted),
        _ => None,
    }
}

/// Who owns the claim, in the words and the order of a script.
fn owners_of(claim: &Claim) -> Vec<&'static str> {
    let owners = [
        claim.owner_set.map(|_| "set"),
        claim.owner_pod.map(|_| "pod"),
        claim.anchored.then_some("namespace"),
    ];
    let owners: Vec<&str> = owners.into_iter().flatten().collect();
    if owners.is_empty() { vec!["nobody"] } else { owners }
}

fn template_of(name: &str) -> Option<usize> {
    TEMPLATES.iter().position(|template| *template == name)
}

fn cascade(word: &str) -> Result<Deletion, String> {
    match word {
        "background" => Ok(Deletion::Background),
        "foreground" => Ok(Deletion::Foreground),
        _ => Err("in the background or in the foreground?".to_owned()),
    }
}

fn fate(word: &str) -> Result<Fate, String> {
    match word {
        "Retain" => Ok(Fate::Retain),
        "Delete" => Ok(Fate::Delete),
        _ => Err("Retain or Delete?".to_owned()),
    }
}
