//! Who takes data over the network, and says of each file what was taken: a member of a set, or a pod outside of it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::site::Site;

/// The name of its pod.
const NAME: &str = "receiver";

/// Where receivers listen.
pub(crate) const PORT: u16 = 7000;

/// How often a file is handed over before that has failed.
const TRIES_MAX: u32 = 10;

/// How long one try may take, in seconds: a receiver whose pod is gone does not even refuse.
const TRY_SECS: u32 = 5;

/// A script's line that goes on beside the lines after it: receives files into a folder, each by the program [`take`], which is `$1` of the script.
pub(crate) fn listen() -> String {
    format!("nc -ll -p {PORT} -e sh -c \"$1\" &")
}

/// The program that receives one file into a folder: a line with its name and its sha256, its contents in base64, and a line with a dot. What does
/// not match its sum is not kept.
pub(crate) fn take(folder: &str) -> String {
    format!(
        r#"read -r name sum
part=$(mktemp {folder}/.XXXXXX)
sed -n '/^[.]$/q;p' | base64 -d > "$part"
if [ "$(sha256sum < "$part")" = "$sum  -" ]; then mv "$part" "{folder}/$name" && echo "taken $sum"; fi"#
    )
}

/// A script's function that hands over the file `$1` under the name `$2`, and succeeds when the receiver at this address says that it took those very
/// bytes. A receiver that many ask at once lets some of them wait, and is asked again.
pub(crate) fn hand_over(address: &str) -> String {
    format!(
        r#"hand_over() {{
  sum=$(sha256sum < "$1"); sum=${{sum%% *}}
  for try in $(seq {TRIES_MAX}); do
    answer=$({{ echo "$2 $sum"; base64 "$1"; echo .; }} | timeout {TRY_SECS} nc {address} {PORT})
    [ "$answer" = "taken $sum" ] && return 0
    sleep 1
  done
  return 1
}}"#
    )
}

/// A pod outside of every set, for the data of a set that leaves nobody behind.
pub(crate) struct Receiver<'a> {
    site: &'a Site<'a>,
    address: String,
}

impl<'a> Receiver<'a> {
    /// Makes the pod, and waits until it listens.
    pub(crate) fn start(site: &'a Site<'a>) -> Result<Self> {
        let serve = format!("trap 'exit 0' TERM; nc -ll -p {PORT} -e sh -c \"$1\" & wait");
        let pod = json!({
            "metadata": { "name": NAME },
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": NAME,
                    "image": "docker.io/library/box:1",
                    "command": ["sh", "-c", serve, NAME, take("/received")],
                    "volumeMounts": [{ "name": "received", "mountPath": "/received" }],
                    "readinessProbe": { "tcpSocket": { "port": PORT }, "periodSeconds": 1 },
                }],
                "volumes": [{ "name": "received", "emptyDir": {} }],
            },
        });
        site.world.api.create(&site.path("v1", "pods", ""), &pod)?;
        let pod = site.eventually_pod("the receiver listens", NAME, is_ready)?;
        let address = pod["status"]["podIP"].as_str().context("the receiver has no address")?;
        Ok(Self { site, address: address.to_owned() })
    }

    /// A script's [`hand_over`] to this receiver.
    pub(crate) fn hand_over(&self) -> String {
        hand_over(&self.address)
    }

    /// The sha256 of everything that it took, by name.
    pub(crate) fn took(&self) -> Result<BTreeMap<String, String>> {
        let sums = self.site.sh(NAME, "cd /received; sha256sum -- * 2> /dev/null || true")?;
        let named = |line: &str| {
            let (sum, name) = line.split_once("  ").context("a line without a name")?;
            Ok((name.to_owned(), sum.to_owned()))
        };
        sums.lines().map(named).collect()
    }
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["ready"] == true
}
