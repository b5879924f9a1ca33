//! The hand-over: every file of the volume to a member that stays.

use std::collections::{BTreeMap, HashMap};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::peer::Peer;
use crate::volume::{StoredFile, Total, Volume, total};

/// After how many files a line of progress is printed.
const PROGRESS_EVERY: usize = 10;

/// Hands every file of `volume` to one of `peers` and answers what the peers then hold of it.
///
/// It may be stopped anywhere and begun again, with other peers too: a file that some peer holds is left where it is, and none
/// is taken from the volume. When it succeeds, each file was in the list that a peer read from its disk after the last
/// hand-over. Fails where a peer does not answer, or holds another file of the same name. Sleeps for `pause` after each file.
pub(crate) fn run(volume: &Volume, peers: &[Peer], pause: Duration) -> Result<Total> {
    let files = volume.files()?;
    let held = held_by(peers)?;
    println!("{} files to hand over, {} peers", files.len(), peers.len());
    let mut moved = 0;
    for (number, file) in files.iter().enumerate() {
        if holder(&held, file)?.is_none() {
            let peer = receiver(peers, &file.name)?;
            peer.put(file, &volume.read(&file.name)?)?;
            moved += 1;
            thread::sleep(pause);
        }
        if (number + 1) % PROGRESS_EVERY == 0 {
            println!("{} of {} files are handed over", number + 1, files.len());
        }
    }
    println!("{moved} files moved, {} were there before", files.len() - moved);
    prove(volume, peers, &files)
}

/// What each file's name stands for at the peers.
type Held = HashMap<String, Vec<(String, String)>>;

fn held_by(peers: &[Peer]) -> Result<Held> {
    let mut held = Held::new();
    for peer in peers {
        for file in peer.list()? {
            held.entry(file.name).or_default().push((peer.name.clone(), file.sha256));
        }
    }
    Ok(held)
}

/// The peer that holds `file`, if one does. Fails where a peer holds another file of its name.
fn holder<'a>(held: &'a Held, file: &StoredFile) -> Result<Option<&'a str>> {
    let holders = held.get(&file.name).map_or(&[][..], Vec::as_slice);
    if let Some((peer, _)) = holders.iter().find(|(_, sha256)| *sha256 != file.sha256) {
        bail!("{peer} holds another file {}", file.name);
    }
    Ok(holders.first().map(|(peer, _)| peer.as_str()))
}

/// Whom a file goes to: names are spread evenly, and the same name goes to the same peer while the peers are the same.
fn receiver<'a>(peers: &'a [Peer], name: &str) -> Result<&'a Peer> {
    let spread = Sha256::digest(name).iter().fold(0, |sum: usize, byte| sum + usize::from(*byte));
    spread.checked_rem(peers.len()).map(|place| &peers[place]).context("there is no peer")
}

/// Asks the peers what they hold now, and sums up from their answers alone.
fn prove(volume: &Volume, peers: &[Peer], files: &[StoredFile]) -> Result<Total> {
    let held = held_by(peers)?;
    let mut arrived = BTreeMap::new();
    for file in files {
        let Some(peer) = holder(&held, file)? else {
            bail!("no peer holds {} after the hand-over", file.name);
        };
        arrived.insert(file.clone(), peer);
    }
    let lines: String = arrived.iter().map(|(file, peer)| format!("{file} {peer}\n")).collect();
    volume.note_handed_over(&lines)?;
    Ok(total(&arrived.into_keys().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::testing::member;
    use crate::volume::Stored;

    struct Scene {
        leaver: Volume,
        peers: Vec<Peer>,
        folders: Vec<tempfile::TempDir>,
    }

    fn scene() -> Scene {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let leaver = Volume::open(folders[2].path()).unwrap();
        leaver.fill(40, 1000, "shards-2").unwrap();
        let peers =
            vec![member("shards-0", folders[0].path()), member("shards-1", folders[1].path())];
        Scene { leaver, peers, folders }
    }

    #[test]
    fn every_file_arrives_and_both_peers_get_some() {
        let scene = scene();
        let before = total(&scene.leaver.files().unwrap());
        assert_eq!(run(&scene.leaver, &scene.peers, Duration::ZERO).unwrap(), before);
        let lists: Vec<_> = scene.peers.iter().map(|peer| peer.list().unwrap().len()).collect();
        assert_eq!(lists.iter().sum::<usize>(), 40);
        assert!(lists.iter().all(|count| *count > 5), "{lists:?}");
        assert_eq!(total(&scene.leaver.files().unwrap()), before, "the leaver lost files");
    }

    #[test]
    fn a_second_attempt_goes_on_even_with_other_peers() {
        let scene = scene();
        let early = scene.leaver.files().unwrap()[7].clone();
        let content = scene.leaver.read(&early.name).unwrap();
        scene.peers[0].put(&early, &content).unwrap();
        scene.peers[1].put(&early, &content).unwrap();
        let before = total(&scene.leaver.files().unwrap());
        assert_eq!(run(&scene.leaver, &scene.peers[1..], Duration::ZERO).unwrap(), before);
        assert_eq!(run(&scene.leaver, &scene.peers, Duration::ZERO).unwrap(), before);
        assert_eq!(scene.peers[0].list().unwrap().len(), 1);
    }

    #[test]
    fn another_file_of_the_same_name_stops_the_drain() {
        let scene = scene();
        let peer = Volume::open(scene.folders[1].path()).unwrap();
        assert_eq!(peer.store("shards-2-00003", b"other").unwrap(), Stored::Held);
        let problem = run(&scene.leaver, &scene.peers, Duration::ZERO).unwrap_err();
        assert_eq!(problem.to_string(), "shards-1 holds another file shards-2-00003");
    }

    #[test]
    fn nobody_to_hand_over_to_is_a_failure() {
        assert!(run(&scene().leaver, &[], Duration::ZERO).is_err());
    }
}
