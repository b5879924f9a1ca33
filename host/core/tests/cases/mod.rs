//! Golden cases as a person writes and reads them.
//!
//! A file begins with prose: what it shows and why. Scenes follow, each with a title (`## …`), what is seen, what the policies
//! answered, and after `->` what comes of it. A scene begins with the world of the scene before it, and says only what is different;
//! `afresh` begins with an empty one.

mod read;
mod render;

use std::{collections::BTreeMap, ops::Range, path::Path};

use tidegate_core::{Answer, Ordinal, Seen, TimeMs};

pub(crate) use render::{diff, render};

/// One file.
pub(crate) struct Case {
    lines: Vec<String>,
    /// Its scenes, in order.
    pub(crate) scenes: Vec<Scene>,
}

/// One pass.
pub(crate) struct Scene {
    /// The file and line of the title, and the title.
    pub(crate) title: String,
    /// What is seen.
    pub(crate) seen: Seen,
    /// What the policies answered.
    pub(crate) answers: BTreeMap<Ordinal, Answer>,
    /// What time it is.
    pub(crate) now: TimeMs,
    /// The lines of the file that hold what is expected.
    expected: Range<usize>,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// What cannot be understood, with file and line.
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self, String> {
        let file =
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let scenes = read::scenes(&file, &lines)?;
        Ok(Self { lines, scenes })
    }

    /// What the file expects of a scene.
    pub(crate) fn expected(&self, scene: &Scene) -> String {
        let lines = self.lines.get(scene.expected.clone()).unwrap_or_default();
        lines
            .iter()
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// The file with what is expected of each scene replaced.
    pub(crate) fn rewritten(&self, outcomes: &[String]) -> String {
        let mut text = String::new();
        let mut from = 0;
        for (scene, outcome) in self.scenes.iter().zip(outcomes) {
            for line in self.lines.get(from..scene.expected.start).unwrap_or_default() {
                text.push_str(line);
                text.push('\n');
            }
            text.push_str(outcome);
            text.push('\n');
            from = scene.expected.end;
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}
