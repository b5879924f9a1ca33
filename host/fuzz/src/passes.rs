//! What the watches show of one set, and what its policy answers: `{"set": {}, "claims": [], "pods": [], "answers": {}, …}`. Whatever it is, there is a
//! plan, the independent check accepts it, every write is right by the objects themselves, and what does not go on says why.

mod deeds;
mod scene;
mod told;
mod words;

use std::collections::BTreeMap;

use tidegate::objects::SetObject;
use tidegate_core::{Answer, Ordinal, Plan, Seen, View, check::check, plan::plan, questions};

use scene::Scene;
pub use words::WORDS;

/// One pass over the set, and one over every set that is gone and has left a drain pod behind, each by every way of looking.
pub fn holds(bytes: &[u8]) {
    let Some(scene) = Scene::read(bytes) else {
        return;
    };
    told::by_status(&scene);
    for (object, is_gone) in scene.subjects() {
        for view in [View::Live, View::LiveInOrder] {
            let Some(seen) = scene.seen(&object, is_gone, view) else {
                return;
            };
            pass(&scene, &object, &seen);
        }
        glance(&scene, &object, is_gone);
    }
}

fn pass(scene: &Scene, object: &SetObject, seen: &Seen) {
    let (answers, plan) = planned(scene, object, seen);
    if let Err(violation) = check(seen, &answers, &plan) {
        panic!("{violation}\n{plan:#?}\n{answers:#?}\n{seen:#?}");
    }
    assert_eq!(
        planned(scene, object, seen),
        (answers.clone(), plan.clone()),
        "a plan is a function"
    );
    if scene.is_sound() {
        deeds::are_right(scene, seen, &answers, &plan);
    }
    told::of_what_waits(seen, &plan);
}

/// What the watches show decides whether there is a pass at all: where they show no work, a reading of the same finds none.
fn glance(scene: &Scene, object: &SetObject, is_gone: bool) {
    let Some(mut cached) = scene.seen(object, is_gone, View::Cached) else {
        return;
    };
    cached.set.namespace_uid = None;
    let idle = plan(&cached, &BTreeMap::new(), scene.now);
    if !idle.is_idle() || !questions(&cached, scene.now).is_empty() {
        return;
    }
    for view in [View::Live, View::LiveInOrder] {
        if let Some(live) = scene.seen(object, is_gone, view) {
            let (_, plan) = planned(scene, object, &live);
            let writes = plan.on_set.is_some() || !plan.steps.is_empty();
            assert!(!writes, "the watches show no work, and there is some: {plan:#?}");
        }
    }
}

fn planned(scene: &Scene, object: &SetObject, seen: &Seen) -> (BTreeMap<Ordinal, Answer>, Plan) {
    let answers: BTreeMap<Ordinal, Answer> = questions(seen, scene.now)
        .into_iter()
        .map(|question| (question.ordinal(), scene.answer(object, seen, question)))
        .collect();
    let plan = plan(seen, &answers, scene.now);
    (answers, plan)
}
