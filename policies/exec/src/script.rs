//! How a script of the config is run: it proves by itself that it came to its end.

/// The line of the termination message that says that the data is safe elsewhere.
pub(crate) const DRAINED: &str = "tidegate: drained";

/// The file from which the kubelet takes the termination message.
pub(crate) const MESSAGE_PATH: &str = "/dev/termination-log";

/// The command that runs a script with arguments and writes the message after it has ended with 0.
///
/// The script runs in the background, because a shell that is process 1 hears SIGTERM only while it waits. A pod that is told to
/// stop ends with 143 and without the message, even where the script itself would end with 0 on SIGTERM.
pub(crate) fn command(script: &str) -> [String; 5] {
    let wrapper = verbatim(&wrapper(MESSAGE_PATH));
    ["/bin/sh".to_owned(), "-c".to_owned(), wrapper, "tidegate".to_owned(), verbatim(script)]
}

fn wrapper(message_path: &str) -> String {
    format!(
        "trap 'kill -TERM \"$work\" 2>/dev/null; wait \"$work\"; exit 143' TERM INT\n\
         script=$1\n\
         shift\n\
         /bin/sh -c \"$script\" script \"$@\" &\n\
         work=$!\n\
         wait \"$work\"\n\
         code=$?\n\
         if [ \"$code\" -eq 0 ]; then echo '{DRAINED}' >{message_path} || code=1; fi\n\
         exit \"$code\"\n"
    )
}

/// Kubernetes replaces `$(NAME)` in a command, and takes `$$` for one `$`. The shell is to have both as they were written.
fn verbatim(word: &str) -> String {
    let mut escaped = String::new();
    for piece in word.split_inclusive('$') {
        escaped.push_str(piece);
        if piece.ends_with('$') {
            escaped.push('$');
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};
    use std::{env, fs, process, thread};

    fn shell(message_path: &str, script: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &wrapper(message_path), "tidegate", script]);
        shell
    }

    struct Run {
        child: Child,
        message: PathBuf,
    }

    impl Run {
        fn of(test: &str, script: &str, args: &[&str]) -> Self {
            let message = env::temp_dir().join(format!("tidegate-{}-{test}", process::id()));
            let _ = fs::remove_file(&message);
            let path = message.to_str().expect("the path is text");
            let child = shell(path, script).args(args).spawn().expect("there is a shell");
            Self { child, message }
        }

        fn end(mut self) -> (Option<i32>, Option<String>) {
            let status = self.child.wait().expect("the shell ends");
            let message = fs::read_to_string(&self.message).ok();
            let _ = fs::remove_file(&self.message);
            (status.code(), message)
        }
    }

    #[test]
    fn kubernetes_hands_the_script_on_as_it_was_written() {
        let command = command("tar c . >/tmp/$$ && send $(hostname)");
        assert_eq!(command[4], "tar c . >/tmp/$$$$ && send $$(hostname)");
        assert!(command[2].contains("trap 'kill -TERM \"$$work\""), "{}", command[2]);
    }

    #[test]
    fn success_leaves_the_message() {
        let run = Run::of("success", r#"[ "$1 $#" = "a b 2" ]"#, &["a b", "c"]);
        assert_eq!(run.end(), (Some(0), Some("tidegate: drained\n".to_owned())));
    }

    #[test]
    fn failure_keeps_its_code_and_leaves_none() {
        assert_eq!(Run::of("failure", "exit 3", &[]).end(), (Some(3), None));
    }

    #[test]
    fn a_message_that_cannot_be_written_is_no_success() {
        let status = shell("/nonexistent/message", "true").status().expect("there is a shell");
        assert_eq!(status.code(), Some(1));
    }

    #[test]
    fn a_script_that_ends_with_0_on_sigterm_leaves_no_message() {
        let ready = env::temp_dir().join(format!("tidegate-{}-ready", process::id()));
        let script =
            format!("trap 'exit 0' TERM; touch {}; while :; do sleep 0.05; done", ready.display());
        let run = Run::of("sigterm", &script, &[]);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !ready.exists() {
            assert!(Instant::now() < deadline, "the script did not start");
            thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_file(&ready);
        let killed = Command::new("kill").args(["-TERM", &run.child.id().to_string()]).status();
        assert!(killed.expect("there is a kill").success());
        assert_eq!(run.end(), (Some(143), None));
    }
}
