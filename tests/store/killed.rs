//! `kill -9` of a process that writes to the embedded store, at moments of its own choosing: nothing answered is lost.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tenure::env::Env;
use tenure::store::Store;
use tenure::store::embedded::{EmbeddedOptions, EmbeddedStore};

use crate::conformance::{commit, put};

/// Set for the process that is to be killed: the folder of its store.
const FOLDER: &str = "TENURE_TEST_KILLED_FOLDER";
const WRITERS: usize = 4;

async fn open(folder: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(&Env::system().unwrap(), folder, EmbeddedOptions::default()).await.unwrap()
}

/// Not a test by itself: what [`what_a_killed_process_was_answered_is_there`] starts and kills. Several writers count
/// upwards for ever; each number is printed once it has been answered.
#[tokio::test]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store: Arc<dyn Store> = open(Path::new(&folder)).await;
    let first = store.revision().await.unwrap();
    let writers = (0..WRITERS).map(async |writer| {
        for n in first.. {
            let key = format!("/t/{writer}");
            commit(&store, [put(&key, &n.to_string()), put("/t/last", &key)]).await;
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nanswered {writer} {n}").unwrap();
            out.flush().unwrap();
        }
    });
    futures::future::join_all(writers).await;
}

#[tokio::test]
async fn what_a_killed_process_was_answered_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered = [None; WRITERS];
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::writes_until_it_is_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Somewhere else in the middle of things each time.
        take_in(
            lines.by_ref().filter(|line| line.starts_with("answered")).take(20 + 37 * round),
            &mut answered,
        );
        child.kill().unwrap();
        child.wait().unwrap();
        take_in(lines, &mut answered);

        let store = open(folder.path()).await;
        for (writer, last) in answered.iter().enumerate() {
            let record = store.get(&format!("/t/{writer}")).await.unwrap().unwrap();
            let stored: u64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
            assert!(Some(stored) >= *last, "writer {writer} was answered {last:?}, but {stored} is stored");
        }
        let last = store.get("/t/last").await.unwrap().unwrap();
        let writer = store.get(std::str::from_utf8(&last.value).unwrap()).await.unwrap().unwrap();
        assert_eq!(writer.revision, last.revision, "a transaction is there wholly");
        assert_eq!(last.revision, store.revision().await.unwrap());
        store.close().await.unwrap();
    }
    assert!(answered.iter().all(Option::is_some));
}

fn take_in(lines: impl Iterator<Item = String>, answered: &mut [Option<u64>; WRITERS]) {
    for line in lines {
        let mut words = line.split(' ').skip(1).filter_map(|word| word.parse::<u64>().ok());
        if let (Some(writer), Some(n)) = (words.next(), words.next()) {
            answered[usize::try_from(writer).unwrap()] = Some(n);
        }
    }
}
