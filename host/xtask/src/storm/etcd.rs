//! etcd's own history through its JSON gateway: every write, in order, none left out, whatever the API server shows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::past::{Entry, Kind};
use super::story::Stories;
use crate::progress::say;

/// Where the API server keeps its objects, and the first key after them.
const KEYS: (&str, &str) = ("/registry/", "/registry0");

/// How long a question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Follows the history from its first revision, on a thread of its own, until etcd ends.
///
/// # Errors
/// Where etcd does not answer.
pub(super) fn follow(at: SocketAddr, stories: Arc<Stories>) -> Result<()> {
    let (key, range_end) = (STANDARD.encode(KEYS.0), STANDARD.encode(KEYS.1));
    let wanted = json!({ "key": key, "range_end": range_end, "start_revision": "1" });
    let answer = post(at, "/v3/watch", &json!({ "create_request": wanted }), None)?;
    let read = move || {
        for line in answer.lines() {
            // The connection breaks where etcd is ended, which is how a storm ends.
            let Ok(line) = line else { return };
            if let Err(error) = take_in(&line, &stories) {
                say(format_args!("etcd's history cannot be read: {error:#}"));
                return;
            }
        }
    };
    thread::Builder::new().name("history".to_owned()).spawn(read)?;
    Ok(())
}

/// The revision that etcd is at.
///
/// # Errors
/// Where etcd does not answer.
pub(super) fn revision(at: SocketAddr) -> Result<u64> {
    let asked = json!({ "key": STANDARD.encode(KEYS.0), "count_only": true });
    let mut text = String::new();
    post(at, "/v3/kv/range", &asked, Some(ANSWER_WITHIN))?.read_to_string(&mut text)?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("reading {text}"))?;
    number(&answer["header"]["revision"])
}

/// Asks by HTTP/1.0, so that the answer comes as it is, without chunks, until the connection is closed.
fn post(
    at: SocketAddr,
    path: &str,
    body: &Value,
    within: Option<Duration>,
) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect_timeout(&at, ANSWER_WITHIN).context("reaching etcd")?;
    stream.set_read_timeout(within)?;
    let body = body.to_string();
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    ensure!(line.split(' ').nth(1) == Some("200"), "etcd answers {path} with {}", line.trim());
    while !line.trim().is_empty() {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok(answer)
}

fn take_in(line: &str, stories: &Stories) -> Result<()> {
    let message: Value = serde_json::from_str(line)?;
    let result = &message["result"];
    ensure!(result.is_object() && result["canceled"] != true, "etcd says {line}");
    for event in result["events"].as_array().into_iter().flatten() {
        let kv = &event["kv"];
        let revision = number(&kv["mod_revision"])?;
        let key = String::from_utf8(decoded(&kv["key"])?)?;
        if let Some((kind, namespace, name)) = object_of(&key)
            && stories.is_heard(namespace)
        {
            let object = match event["type"].as_str() {
                Some("DELETE") => None,
                Some(_) | None => Some(Arc::new(object(&kv["value"], revision)?)),
            };
            stories.tell(namespace, Entry { revision, kind, name: name.to_owned(), object });
        }
        stories.reached(revision);
    }
    Ok(())
}

/// The object of a key such as `/registry/pods/shop/web-0`, where it is one that is looked at.
fn object_of(key: &str) -> Option<(Kind, &str, &str)> {
    let mut parts = key.strip_prefix(KEYS.0)?.split('/');
    let kind = match parts.next()? {
        "pods" => Kind::Pod,
        "persistentvolumeclaims" => Kind::Claim,
        "statefulsets" => Kind::Set,
        "events" => Kind::Event,
        "serviceaccounts" => Kind::Account,
        _ => return None,
    };
    Some((kind, parts.next()?, parts.next()?))
}

/// Without what nobody asks for: who last wrote which field is a third of an object.
fn object(value: &Value, revision: u64) -> Result<Value> {
    let mut object: Value =
        serde_json::from_slice(&decoded(value)?).context("an object that is not kept as JSON")?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        // It is not kept: the revision is it.
        metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
    }
    Ok(object)
}

fn decoded(value: &Value) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(value.as_str().unwrap_or_default())?)
}

/// The gateway writes numbers of 64 bits as texts.
fn number(value: &Value) -> Result<u64> {
    let text = value.as_str().context("etcd gives no revision")?;
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::past::{get, text};

    #[test]
    fn keys_are_objects_of_their_namespace() {
        let found = object_of("/registry/pods/storm-1/web-0");
        assert_eq!(found, Some((Kind::Pod, "storm-1", "web-0")));
        assert_eq!(object_of("/registry/minions/stand-in-0"), None);
        assert_eq!(object_of("/registry/persistentvolumes/pv-1"), None);
    }

    #[test]
    fn a_write_and_a_removal_are_told() {
        let stories = Stories::new();
        let story = stories.listen("storm-1");
        let key = STANDARD.encode("/registry/pods/storm-1/web-0");
        let pod = STANDARD.encode(r#"{"metadata":{"uid":"u","managedFields":[]}}"#);
        let line = |event: Value| json!({ "result": { "events": [event] } }).to_string();
        let put = json!({ "kv": { "key": key, "mod_revision": "7", "value": pod } });
        take_in(&line(put), &stories).unwrap();
        let live = story.live();
        let pod = get(&live, Kind::Pod, "web-0").unwrap();
        assert_eq!(text(pod, "/metadata/resourceVersion"), "7");
        assert!(pod["metadata"]["managedFields"].is_null());
        let delete = json!({ "type": "DELETE", "kv": { "key": key, "mod_revision": "9" } });
        take_in(&line(delete), &stories).unwrap();
        assert!(story.live().is_empty());
        assert_eq!(story.past().entries.len(), 2);
        take_in(&json!({ "error": "gone" }).to_string(), &stories).unwrap_err();
    }
}
