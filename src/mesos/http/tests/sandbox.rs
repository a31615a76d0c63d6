//! Files of agents over HTTP: their ends, while they grow, and when they are rotated or gone.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;

use super::*;
use crate::mesos::wire::ExecutorId;

/// An agent with one sandbox.
struct Agent {
    folder: TempDir,
    process: Process,
    files: AgentFiles,
    _fleet: Fleet,
}

impl Agent {
    async fn start(env: &Env) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let (master, fleet) = cluster(env);
        let process = Process::leading(env, &master, |front| front.with_sandboxes(folder.path())).await;
        let files = AgentFiles::new(env, &HttpConfig::new(vec![process.url()]));
        let agent = Agent { folder, process, files, _fleet: fleet };
        std::fs::create_dir_all(agent.path("stdout").parent().unwrap()).unwrap();
        agent
    }

    fn path(&self, file: &str) -> PathBuf {
        let path = sandbox_path(&FrameworkId::new("F"), &ExecutorId::new("web.1"), file);
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn file(&self, file: &str) -> AgentFile {
        let path = sandbox_path(&FrameworkId::new("F"), &ExecutorId::new("web.1"), file);
        self.files.file(&self.process.address.to_string(), path).unwrap()
    }
}

async fn text(stream: BoxStream<'static, std::io::Result<Bytes>>) -> String {
    let whole = stream.try_fold(Vec::new(), async |mut whole, piece| {
        whole.extend_from_slice(&piece);
        Ok(whole)
    });
    String::from_utf8(tokio::time::timeout(PATIENCE, whole).await.expect("the file ends").unwrap()).unwrap()
}

/// Reads until so much has come.
async fn next_text(stream: &mut BoxStream<'static, std::io::Result<Bytes>>, length: usize) -> String {
    let mut read = Vec::new();
    while read.len() < length {
        let piece = tokio::time::timeout(PATIENCE, stream.next()).await.expect("more comes");
        read.extend_from_slice(&piece.expect("the stream goes on").unwrap());
    }
    String::from_utf8(read).unwrap()
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let file = std::fs::File::options().create(true).append(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_file_is_read_whole_and_from_any_of_its_last_lines() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    // Several pieces of 64 KiB, so that lines lie across their borders.
    let lines: Vec<String> = (0..20_000).map(|number| format!("line {number} of the log\n")).collect();
    std::fs::write(agent.path("stdout"), lines.concat()).unwrap();
    assert_eq!(text(agent.file("stdout").tail(None, None).await.unwrap()).await, lines.concat());
    for count in [0, 1, 2, 2_500, 19_999, 20_000, 30_000] {
        let last = lines[lines.len().saturating_sub(count)..].concat();
        let read = text(agent.file("stdout").tail(Some(count as u64), None).await.unwrap()).await;
        assert!(read == last, "the last {count}: {} and not {} bytes", read.len(), last.len());
    }
    // The last line may have no end yet; bytes need not be text.
    std::fs::write(agent.path("stderr"), b"a\n\nb\n\xff").unwrap();
    let mut tail = agent.file("stderr").tail(Some(3), None).await.unwrap();
    assert_eq!(tail.next().await.unwrap().unwrap(), Bytes::from_static(b"\nb\n\xff"));
}

#[tokio::test]
async fn what_was_rotated_away_is_read_as_far_as_lines_are_missing() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    for (file, text) in
        [("stdout", "5\n6\n"), ("stdout.1", "3\n4\n"), ("stdout.2", "1\n2\n"), ("stdout.4", "-1\n")]
    {
        std::fs::write(agent.path(file), text).unwrap();
    }
    let last = async |lines: Option<u64>| text(agent.file("stdout").tail(lines, None).await.unwrap()).await;
    assert_eq!(last(None).await, "1\n2\n3\n4\n5\n6\n");
    assert_eq!((last(Some(0)).await, last(Some(2)).await), (String::new(), "5\n6\n".to_owned()));
    assert_eq!(
        (last(Some(3)).await, last(Some(4)).await),
        ("4\n5\n6\n".to_owned(), "3\n4\n5\n6\n".to_owned())
    );
    assert_eq!((last(Some(5)).await, last(Some(9)).await), ("2\n3\n4\n5\n6\n".to_owned(), last(None).await));
    // The present one has just been begun.
    std::fs::write(agent.path("stdout"), "").unwrap();
    assert_eq!(last(Some(1)).await, "4\n");
}

#[tokio::test]
async fn who_reads_an_old_file_is_not_led_astray_by_another_rotation() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    let old = "old\n".repeat(40_000);
    std::fs::write(agent.path("stdout.1"), &old).unwrap();
    std::fs::write(agent.path("stdout"), "new\n").unwrap();
    let mut tail = agent.file("stdout").tail(None, None).await.unwrap();
    let mut read = next_text(&mut tail, 1).await;
    std::fs::rename(agent.path("stdout.1"), agent.path("stdout.2")).unwrap();
    std::fs::rename(agent.path("stdout"), agent.path("stdout.1")).unwrap();
    std::fs::write(agent.path("stdout"), "").unwrap();
    read += &text(tail).await;
    assert!(
        read == old + "new\n",
        "{} bytes, the last {:?}",
        read.len(),
        &read[read.len().saturating_sub(20)..]
    );
}

#[tokio::test]
async fn who_follows_misses_nothing_when_the_file_is_rotated_and_stops_with_its_writer() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    let (path, rotated) = (agent.path("stdout"), agent.path("stdout.1"));
    append(&path, "one\ntwo\n");
    let ended = Arc::new(AtomicBool::new(false));
    let has_ended: HasEnded = {
        let ended = ended.clone();
        Arc::new(move || ended.load(Ordering::Relaxed))
    };
    let mut tail = agent.file("stdout").tail(Some(1), Some(has_ended)).await.unwrap();
    assert_eq!(next_text(&mut tail, 4).await, "two\n");
    append(&path, "three\n");
    assert_eq!(next_text(&mut tail, 6).await, "three\n");
    // Whatever of it is seen first.
    append(&path, "four\n");
    std::fs::rename(&path, &rotated).unwrap();
    append(&path, "five\n");
    assert_eq!(next_text(&mut tail, 10).await, "four\nfive\n");
    append(&path, "six\n");
    ended.store(true, Ordering::Relaxed);
    assert_eq!(text(tail).await, "six\n");
}

fn rotate(agent: &Agent, kept: u32) {
    let name = |number: u32| if number == 0 { "stdout".to_owned() } else { format!("stdout.{number}") };
    for number in (0..kept).rev() {
        std::fs::rename(agent.path(&name(number)), agent.path(&name(number + 1))).ok();
    }
}

fn lines(file: u32, count: u32) -> String {
    (0..count).map(|number| format!("line {number} of file {file}\n")).collect()
}

#[tokio::test]
async fn who_is_slower_than_the_writer_misses_nothing_as_long_as_it_is_there() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    let over: HasEnded = Arc::new(|| true);
    for rotations in 1..=3 {
        for number in 1..=3 {
            std::fs::remove_file(agent.path(&format!("stdout.{number}"))).ok();
        }
        std::fs::write(agent.path("stdout"), lines(0, 10_000)).unwrap();
        let mut tail = agent.file("stdout").tail(Some(9_000), Some(over.clone())).await.unwrap();
        let mut read = next_text(&mut tail, 1).await;
        // Each is longer than the one before, so that nothing seems to be shorter than it was.
        for file in 1..=rotations {
            rotate(&agent, 3);
            std::fs::write(agent.path("stdout"), lines(file, 10_000 + 1000 * file)).unwrap();
        }
        read += &text(tail).await;
        let all: String = (0..=rotations).map(|file| lines(file, 10_000 + 1000 * file)).collect();
        let wanted = &all[all.find("line 1000 ").unwrap()..];
        assert!(read == wanted, "{rotations}: {} bytes, not {}", read.len(), wanted.len());
    }
}

#[tokio::test]
async fn what_was_removed_before_it_could_be_read_is_told() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    std::fs::write(agent.path("stdout"), lines(0, 10_000)).unwrap();
    let over: HasEnded = Arc::new(|| true);
    let mut tail = agent.file("stdout").tail(None, Some(over)).await.unwrap();
    let begun = next_text(&mut tail, 1).await;
    for file in 1..=4 {
        rotate(&agent, 2);
        std::fs::write(agent.path("stdout"), lines(file, 11_000)).unwrap();
    }
    let rest = text(tail).await;
    let separator = if begun.ends_with('\n') { "" } else { "\n" };
    let wanted = format!(
        "{separator}… output was lost here\n{}{}{}",
        lines(2, 11_000),
        lines(3, 11_000),
        lines(4, 11_000)
    );
    assert!(rest == wanted, "{} bytes, not {}: {:?}", rest.len(), wanted.len(), &rest[..80]);
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let env = Env::system().unwrap();
    let agent = Agent::start(&env).await;
    let absent = agent.file("stdout").tail(None, None).await.map(|_| ()).unwrap_err();
    assert!(matches!(absent, FileError::Absent { .. }), "{absent}");
    assert!(absent.to_string().ends_with("has no file /frameworks/F/executors/web.1/runs/latest/stdout"));
    append(&agent.path("stdout"), "one\n");
    let file = agent.file("stdout");
    let address = agent.process.die().await;
    let gone = file.tail(None, None).await.map(|_| ()).unwrap_err();
    assert!(matches!(gone, FileError::Unreachable { .. }), "{gone}");
    let words = format!("the agent at {address} does not answer: ");
    assert!(gone.to_string().starts_with(&words), "{gone}");
}
