//! What comes of a scene, in words.

use std::fmt::Write as _;

use tidegate_core::{
    Action, Outcome, Plan, Question, Record, Step, TimeMs, action::Target, proof::Propagation,
};

/// What was asked and what is planned, one line each.
pub(crate) fn render(questions: &[Question], plan: &Plan) -> String {
    let asked: Vec<String> = questions
        .iter()
        .map(|question| match question {
            Question::Render(ordinal) => format!("render {ordinal}"),
            Question::Judge(ordinal) => format!("judge {ordinal}"),
        })
        .collect();
    let mut lines = Vec::new();
    if !asked.is_empty() {
        lines.push(format!("asks: {}", asked.join(", ")));
    }
    if let Some(step) = &plan.on_set {
        push_step(&mut lines, "set", step);
    }
    for (ordinal, steps) in &plan.steps {
        for step in steps {
            push_step(&mut lines, &ordinal.to_string(), step);
        }
    }
    for report in &plan.reports {
        let place = report.ordinal.map_or_else(|| "set".to_owned(), |ordinal| ordinal.to_string());
        let (severity, code) = (report.reason.severity(), report.reason.code());
        lines.push(format!("{place}: {severity:?} {code}: {}", report.reason));
    }
    if let Some(at) = plan.wake_at {
        lines.push(format!("wakes at {}", time(at)));
    }
    if plan.look_closer {
        lines.push("looks closer".to_owned());
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The lines that differ, with those around them.
pub(crate) fn diff(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_tail, new_tail) = (&old[before..], &new[before..]);
    let pairs = old_tail.iter().rev().zip(new_tail.iter().rev());
    let after = pairs.take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    let mut push = |sign: char, lines: &[&str]| {
        for line in lines {
            let _ = writeln!(text, "  {sign} {line}");
        }
    };
    push(' ', &old[..before]);
    push('-', &old_tail[..old_tail.len() - after]);
    push('+', &new_tail[..new_tail.len() - after]);
    push(' ', &old_tail[old_tail.len() - after..]);
    text
}

fn push_step(lines: &mut Vec<String>, place: &str, step: &Step) {
    lines.push(format!("{place}: {}", action(&step.action)));
    if let Some(change) = &step.change {
        let (severity, code) = (change.severity(), change.code());
        lines.push(format!("   then {severity:?} {code}: {change}"));
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Enrol { claim, anchor: None } => format!("enrol claim {}", object(claim)),
        Action::Enrol { claim, anchor: Some(uid) } => {
            format!("enrol claim {} and anchor it to namespace {uid}", object(claim))
        }
        Action::Note { claim, record } => {
            format!("note on claim {}: {}", object(claim), note(record))
        }
        Action::CreatePod { body } => {
            let claims = body.claims.iter();
            let claims: Vec<String> = claims.map(|(name, uid)| format!("{name}={uid}")).collect();
            format!("create the drain pod, claims {}, owner {}", claims.join(" "), body.owner)
        }
        Action::Seal(pod) => format!("seal pod {}", object(pod)),
        Action::GiveBack(pod) => {
            format!("say on the seal of pod {} that it is given back", object(pod))
        }
        Action::Fence(claim) => format!("fence claim {}", object(claim)),
        Action::DeleteClaim(claim) => {
            let how = match claim.propagation() {
                Propagation::Background => "in the background",
                Propagation::Foreground => "in the foreground",
            };
            let (name, uid, version) = (claim.name(), claim.uid(), claim.resource_version());
            format!(
                "delete claim {name} (uid {uid}, version {version}) {how}, proven by pod uid {}",
                claim.pod_uid()
            )
        }
        Action::Unseal { pod, outcome } => {
            let outcome = match outcome {
                Outcome::Drained { at } => format!("drained at {}", time(*at)),
                Outcome::GivenBack => "given back".to_owned(),
            };
            format!("unseal pod {}, {outcome}", object(pod))
        }
        Action::DeletePod(pod) => format!("delete pod {}", object(pod)),
        Action::Hold(set) => format!("hold set {}", object(set)),
        Action::LetGo(set) => format!("let go of set {}", object(set)),
        Action::DeleteMember(member) => format!("delete member {}", object(member)),
        Action::Touch => "touch the set".to_owned(),
    }
}

fn object(target: &Target) -> String {
    let Target { name, uid, resource_version } = target;
    format!("{name} (uid {uid}, version {resource_version})")
}

fn note(record: &Record) -> String {
    let Record { set_uid, generation, attempt, not_before, state, state_at, hold } = record;
    let mut text = format!("set {set_uid}, generation {generation}, attempt {attempt}");
    if let Some(at) = not_before {
        let _ = write!(text, ", not before {}", time(*at));
    }
    if !state.is_empty() {
        let _ = write!(text, ", state {state:?}");
    }
    if let Some(at) = state_at {
        let _ = write!(text, " of {}", time(*at));
    }
    if let Some(hold) = hold {
        let _ = write!(text, ", held: {}", hold.why);
    }
    text
}

fn time(at: TimeMs) -> String {
    match (at.0 / 1000, at.0 % 1000) {
        (secs, 0) => format!("{secs}s"),
        (_, _) => format!("{}ms", at.0),
    }
}
