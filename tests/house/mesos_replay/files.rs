//! The files of tasks, asked of an agent over HTTP as they were: the same files stand where they stood. How old they are, whose they
//! are, and how large a folder is differs by nature.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tenure::env::Env;
use tenure::mesos::embedded::executors::{Executors, ExecutorsConfig};
use tenure::mesos::embedded::http::AgentFront;
use tenure::mesos::embedded::launcher::{Launcher, reports};
use tenure::mesos::wire::AgentId;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::transport::{Difference, request_text};
use super::wire::{Answer, Wire};

/// Asks what the recording asked of its agent, and tells what differs, by the id of the request.
pub(crate) async fn differences(records: Vec<Value>) -> Vec<Difference> {
    let env = Env::system().unwrap();
    let disk = tempfile::tempdir().unwrap();
    let work_dir = disk.path().canonicalize().unwrap();
    let then = Then::of(&records);
    then.lay_out(&records, &work_dir);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sink, _reports) = reports();
    let executors = Executors::new(&env, ExecutorsConfig::new(work_dir.clone(), address, "agent1"), sink);
    executors.registered(&then.agent).await;
    let stop = CancellationToken::new();
    env.spawn("agent", AgentFront::new(&env, executors).serve(listener, stop.clone()));

    let mut found = Vec::new();
    for record in records.iter().filter(|it| it["dir"] == ">" && it["conn"] == "operator-agent1") {
        let is_answer = |it: &&Value| it["dir"] == "<" && it["id"] == record["id"];
        let answer = records.iter().find(is_answer).expect("a request without an answer");
        let now = work_dir.display().to_string();
        let sent = request_text(record).replace(&then.work_dir, &now);
        let mut wire = Wire::of(TcpStream::connect(address).await.unwrap());
        wire.send(&sent).await;
        let theirs = Answer::recorded(answer);
        let ours = wire.answer(&theirs, false).await.with_trees(by_nature).to_string();
        let (theirs, ours) = (theirs.with_trees(by_nature).to_string(), ours.replace(&now, &then.work_dir));
        if theirs != ours {
            let text = format!("> {sent}\n--- Mesos\n{theirs}\n--- ours\n{ours}");
            found.push(Difference { subject: record["id"].to_string(), text });
        }
    }
    stop.cancel();
    found
}

/// The agent of the recording.
struct Then {
    agent: AgentId,
    work_dir: String,
    /// The names of runs that are asked for, by executor.
    runs: BTreeMap<String, String>,
}

impl Then {
    fn of(records: &[Value]) -> Then {
        let is_debug =
            |it: &&Value| it["dir"] == "<" && it["body"].as_object().is_some_and(|it| it.len() > 3);
        let roots = records.iter().filter(is_debug).filter_map(|it| it["body"].as_object()).next().unwrap();
        let (mut agent, mut work, mut runs) = (AgentId::default(), String::new(), BTreeMap::new());
        for (path, place) in roots {
            let place = place.as_str().unwrap();
            if let (Some(rest), Some((work_dir, below))) =
                (path.strip_prefix("/frameworks/"), place.split_once("/slaves/"))
            {
                let executor = rest.split('/').nth(2).unwrap();
                runs.insert(executor.to_owned(), place.rsplit('/').next().unwrap().to_owned());
                agent = AgentId::new(below.split('/').next().unwrap());
                work_dir.clone_into(&mut work);
            }
        }
        Then { agent, work_dir: work, runs }
    }

    /// Makes all files that are listed.
    fn lay_out(&self, records: &[Value], work_dir: &Path) {
        let listed =
            records.iter().filter(|it| it["dir"] == "<").filter_map(|it| it["body"].as_array()).flatten();
        let mut made = BTreeSet::new();
        for entry in listed {
            let path = entry["path"].as_str().unwrap();
            let Some(rest) = path.strip_prefix("/frameworks/") else { continue };
            if !made.insert(path) {
                continue;
            }
            let executor = rest.split('/').nth(2).unwrap();
            let runs = work_dir
                .join(format!("slaves/{}/frameworks", self.agent))
                .join(rest.split_once("/latest/").unwrap().0);
            let run = runs.join(&self.runs[executor]);
            if !run.exists() {
                fs::create_dir_all(&run).unwrap();
                symlink(&run, runs.join("latest")).unwrap();
            }
            let place = run.join(rest.split_once("/latest/").unwrap().1);
            let is_folder = entry["mode"].as_str().unwrap().starts_with('d');
            if is_folder {
                fs::create_dir_all(&place).unwrap();
            } else {
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                let size = usize::try_from(entry["size"].as_u64().unwrap()).unwrap();
                fs::write(&place, content(records, path, size)).unwrap();
            }
            let mode = if is_folder { 0o755 } else { 0o644 };
            fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// What stood in a file, as far as the recording tells: where nothing was read of it, as many bytes.
fn content(records: &[Value], path: &str, size: usize) -> Vec<u8> {
    let asked = records.iter().filter(|it| it["dir"] == ">" && it.to_string().contains(path));
    for record in asked {
        let answer = records.iter().find(|it| it["dir"] == "<" && it["id"] == record["id"]).unwrap();
        let body = &answer["body"];
        let text = body["data"].as_str().map(|text| text.as_bytes().to_vec());
        let read = body["read_file"]["data"].as_str().map(|data| STANDARD.decode(data).unwrap());
        let data = answer["body_text"].as_str().map(|text| text.as_bytes().to_vec()).or(text).or(read);
        let Some(data) = data.filter(|data| !data.is_empty()) else { continue };
        if data.starts_with(b"line 1 of") {
            let lines = (1..).map(|number| format!("line {number} of the log\n").into_bytes());
            return lines.flatten().take(size).collect();
        }
        if data.len() == size {
            return data;
        }
    }
    vec![b'.'; size]
}

/// Takes out what differs by nature.
fn by_nature(tree: &mut Value) {
    match tree {
        Value::Array(list) => list.iter_mut().for_each(by_nature),
        Value::Object(fields) => {
            if fields.contains_key("mtime") {
                let is_folder = fields["mode"].as_str().is_some_and(|mode| mode.starts_with('d'))
                    || fields["mode"].as_u64().is_some_and(|mode| mode & 0o40_000 != 0);
                ["mtime", "uid", "gid"].iter().for_each(|it| drop(fields.remove(*it)));
                if is_folder {
                    ["size", "nlink"].iter().for_each(|it| drop(fields.remove(*it)));
                }
            }
            fields.values_mut().for_each(by_nature);
        }
        _ => {}
    }
}
