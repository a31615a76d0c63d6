//! The files of tasks, as agents serve them: `/files/browse`, `/files/read`, `/files/download`, and LIST_FILES and READ_FILE of the
//! operator's API.
//!
//! Some paths are said to be some folders. Nothing but those folders is reached, wherever links in them lead to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::reply::{self, Reply};
use crate::env::Env;

/// The most that is read at once, in bytes.
const PIECE: u64 = 64 << 10;
pub(super) const REALM: &str = "mesos-agent-readonly";

/// What is asked of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Browse,
    /// Absent offset: its size alone.
    Read {
        offset: Option<u64>,
        length: u64,
    },
    Download,
}

/// What there is at a path.
#[derive(Debug)]
pub(super) enum Found {
    Listing(Vec<Entry>),
    Piece { size: u64, offset: u64, data: Vec<u8> },
    Whole { name: String, data: Vec<u8> },
}

/// Status and text of a refusal.
pub(super) type Refused = (StatusCode, String);

/// A path as clients name it, and the folder that it stands for.
pub(super) type Root = (PathBuf, PathBuf);

/// GET of `/files/` and what follows in `what`.
pub(super) async fn get(env: &Env, roots: Vec<Root>, request: &Request<Incoming>, what: &str) -> Reply {
    let asked = query(request.uri().query().unwrap_or_default());
    let field = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let wish = match what {
        "browse" => Ok(Wish::Browse),
        "read" => read_wish(field("offset"), field("length")),
        "download" => Ok(Wish::Download),
        "debug" => return reply::json(&roots.iter().map(shown).collect::<Value>()),
        _ => return reply::text(StatusCode::NOT_FOUND, "404 Not Found."),
    };
    let Some(path) = field("path").filter(|path| !path.is_empty()) else {
        return reply::text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n");
    };
    let found = match wish {
        Ok(wish) => find(env, roots, path, wish).await,
        Err(text) => Err((StatusCode::BAD_REQUEST, text)),
    };
    match found {
        Ok(Found::Listing(listing)) => reply::json(&listing.iter().map(Entry::told).collect()),
        Ok(Found::Piece { offset, data, .. }) => {
            reply::json(&json!({"data": String::from_utf8_lossy(&data), "offset": offset}))
        }
        Ok(Found::Whole { name, data }) => {
            let mut reply = reply::bytes(data);
            let headers = reply.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let name = reply::value(&format!("attachment; filename={}", name.escape_default()));
            headers.insert(header::CONTENT_DISPOSITION, name);
            reply
        }
        Err((status, text)) if what == "download" && text.is_empty() => reply::text(status, "404 Not Found."),
        Err((status, text)) => reply::text(status, &text),
    }
}

fn shown((path, folder): &Root) -> (String, Value) {
    (path.display().to_string(), json!(folder.display().to_string()))
}

/// READ_FILE and LIST_FILES; none for any other call.
pub(super) async fn call(env: &Env, roots: Vec<Root>, call: &Value) -> Option<Reply> {
    let kind = call["type"].as_str()?;
    let (asked, wish) = match kind {
        "LIST_FILES" => (&call["list_files"], Wish::Browse),
        "READ_FILE" => {
            let asked = &call["read_file"];
            let length = asked["length"].as_u64().unwrap_or(PIECE);
            (asked, Wish::Read { offset: Some(asked["offset"].as_u64().unwrap_or_default()), length })
        }
        _ => return None,
    };
    let field = kind.to_ascii_lowercase();
    let Some(path) = asked["path"].as_str() else {
        let text = format!("Failed to validate Call: Expecting '{field}.path' to be present");
        return Some(reply::text(StatusCode::BAD_REQUEST, &text));
    };
    Some(match find(env, roots, path, wish).await {
        Ok(Found::Piece { size, data, .. }) => {
            reply::json(&json!({"type": kind, field: {"size": size, "data": STANDARD.encode(data)}}))
        }
        Ok(Found::Listing(listing)) => {
            let infos: Vec<Value> = listing.iter().map(Entry::info).collect();
            reply::json(&json!({"type": kind, field: {"file_infos": infos}}))
        }
        Ok(Found::Whole { .. }) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "no piece of a file"),
        Err((status, text)) => reply::text(status, &text),
    })
}

async fn find(env: &Env, roots: Vec<Root>, path: &str, wish: Wish) -> Result<Found, Refused> {
    let path = path.to_owned();
    let looked = env.run_blocking(move || look(&roots, &path, &wish)).await;
    looked.unwrap_or_else(|_| Err((StatusCode::INTERNAL_SERVER_ERROR, "failed to look\n".to_owned())))
}

fn read_wish(offset: Option<&str>, length: Option<&str>) -> Result<Wish, String> {
    let number = |name: &str, text: &str| {
        let parsed = text.parse::<i64>();
        parsed.map_err(|_| format!("Failed to parse {name}: Failed to convert '{text}' to number.\n"))
    };
    let offset = offset.map(|text| number("offset", text)).transpose()?.unwrap_or(-1);
    if offset < -1 {
        return Err(format!("Negative offset provided: {offset}.\n"));
    }
    let length = length.map(|text| number("length", text)).transpose()?;
    if let Some(length) = length.filter(|length| *length < -1) {
        return Err(format!("Negative length provided: {length}.\n"));
    }
    let length = length.and_then(|length| u64::try_from(length).ok()).unwrap_or(PIECE);
    Ok(Wish::Read { offset: u64::try_from(offset).ok(), length })
}

/// What stands at `path` below one of the roots.
fn look(roots: &[Root], path: &str, wish: &Wish) -> Result<Found, Refused> {
    let place = place(roots, path)?;
    let metadata = fs::metadata(&place).map_err(|_| absent())?;
    let failed = |error: io::Error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    match wish {
        Wish::Browse if metadata.is_dir() => listing(&place, path).map_err(failed),
        Wish::Browse => Ok(Found::Listing(vec![Entry { path: path.to_owned(), metadata }])),
        Wish::Read { .. } | Wish::Download if metadata.is_dir() => {
            Err((StatusCode::BAD_REQUEST, "Cannot read a directory.\n".to_owned()))
        }
        Wish::Read { offset, length } => piece(&place, *offset, *length).map_err(failed),
        Wish::Download => {
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Found::Whole { name, data: fs::read(&place).map_err(failed)? })
        }
    }
}

fn absent() -> Refused {
    (StatusCode::NOT_FOUND, String::new())
}

/// The place that a path names, if that is below a root, and stays there when links are followed.
fn place(roots: &[Root], path: &str) -> Result<PathBuf, Refused> {
    let inaccessible = || (StatusCode::BAD_REQUEST, format!("'{path}' is inaccessible.\n"));
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::RootDir);
    if !Path::new(path).components().all(is_plain) {
        return Err(inaccessible());
    }
    let below = |(prefix, folder): &Root| {
        Path::new(path).strip_prefix(prefix).ok().map(|rest| (folder.clone(), folder.join(rest)))
    };
    let (folder, place) = roots.iter().find_map(below).ok_or_else(absent)?;
    let (folder, place) = (fs::canonicalize(folder), fs::canonicalize(place));
    let (folder, place) = (folder.map_err(|_| absent())?, place.map_err(|_| absent())?);
    if place.starts_with(folder) { Ok(place) } else { Err(inaccessible()) }
}

fn listing(folder: &Path, path: &str) -> io::Result<Found> {
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let path = format!("{}/{}", path.trim_end_matches('/'), file.file_name().to_string_lossy());
        entries.push(Entry { path, metadata: file.metadata()? });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Found::Listing(entries))
}

/// One file of a listing.
#[derive(Debug)]
pub(super) struct Entry {
    path: String,
    metadata: Metadata,
}

impl Entry {
    /// As `/files/browse` tells it.
    fn told(&self) -> Value {
        let metadata = &self.metadata;
        json!({
            "path": self.path,
            "size": metadata.len(),
            "mtime": metadata.mtime() as f64,
            "mode": mode(metadata.mode()),
            "nlink": metadata.nlink(),
            "uid": metadata.uid().to_string(),
            "gid": metadata.gid().to_string(),
        })
    }

    /// As LIST_FILES tells it.
    fn info(&self) -> Value {
        let metadata = &self.metadata;
        json!({
            "path": self.path,
            "size": metadata.len(),
            "mtime": {"nanoseconds": metadata.mtime().saturating_mul(1_000_000_000)},
            "mode": metadata.mode(),
            "nlink": metadata.nlink(),
            "uid": metadata.uid().to_string(),
            "gid": metadata.gid().to_string(),
        })
    }
}

/// As `ls` shows it.
fn mode(mode: u32) -> String {
    let kind = if mode & 0o170_000 == 0o040_000 { 'd' } else { '-' };
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    std::iter::once(kind).chain(bits.map(|(bit, c)| if mode >> bit & 1 == 1 { c } else { '-' })).collect()
}

fn piece(place: &Path, offset: Option<u64>, length: u64) -> io::Result<Found> {
    let mut file = File::open(place)?;
    let size = file.metadata()?.len();
    let Some(offset) = offset.filter(|_| length > 0) else {
        return Ok(Found::Piece { size, offset: size, data: Vec::new() });
    };
    let mut data = Vec::new();
    if offset < size {
        file.seek(SeekFrom::Start(offset))?;
        file.take(length.min(PIECE)).read_to_end(&mut data)?;
    }
    Ok(Found::Piece { size, offset, data })
}

/// The fields of a query, decoded.
pub(super) fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|it| u8::from_str_radix(it, 16).ok());
        match (byte, first) {
            (Some(byte), _) => bytes.push(byte),
            (None, b'+') => bytes.push(b' '),
            (None, first) => bytes.push(*first),
        }
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(root: &Path) -> [Root; 1] {
        [(PathBuf::from("/"), root.to_owned())]
    }

    #[test]
    fn only_what_lies_below_the_folders_is_reached() {
        let disk = tempfile::tempdir().unwrap();
        let (work, outside) = (disk.path().join("work"), disk.path().join("outside"));
        fs::create_dir_all(work.join("run/sub")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(&outside, work.join("run/away")).unwrap();
        std::os::unix::fs::symlink(work.join("run"), work.join("latest")).unwrap();
        let roots = [(PathBuf::from("/frameworks"), work.clone()), (work.clone(), work.clone())];
        let real = fs::canonicalize(&work).unwrap();
        assert_eq!(place(&roots, "/frameworks/run/sub"), Ok(real.join("run/sub")));
        assert_eq!(place(&roots, "/frameworks/latest/sub"), Ok(real.join("run/sub")));
        assert_eq!(place(&roots, &work.join("run").to_string_lossy()), Ok(real.join("run")));
        for path in ["/frameworks/run/away/secret", "/frameworks/run/../../outside/secret", "/frameworks/.."]
        {
            let refused = (StatusCode::BAD_REQUEST, format!("'{path}' is inaccessible.\n"));
            assert_eq!(place(&roots, path), Err(refused));
        }
        for path in ["/elsewhere", "frameworks/run", "", "/frameworks/none"] {
            assert_eq!(place(&roots, path), Err(absent()), "{path}");
        }
    }

    #[test]
    fn files_are_read_and_refused_as_in_the_recording() {
        // Of 33-sandbox-files.
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/stdout"), "line 1 of the log\nline 2 of the log\n").unwrap();
        let read = |path: &str, offset: &str, length: Option<&str>| {
            let wish = read_wish((!offset.is_empty()).then_some(offset), length)
                .map_err(|text| (StatusCode::BAD_REQUEST, text))?;
            match look(&at(root.path()), path, &wish)? {
                Found::Piece { size, offset, data } => Ok((size, offset, String::from_utf8(data).unwrap())),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(read("/run/stdout", "-1", None), Ok((36, 36, String::new())));
        assert_eq!(read("/run/stdout", "", None), Ok((36, 36, String::new())));
        assert_eq!(read("/run/stdout", "5", Some("20")), Ok((36, 5, "1 of the log\nline 2 ".to_owned())));
        assert_eq!(read("/run/stdout", "99", Some("10")), Ok((36, 99, String::new())));
        assert_eq!(read("/run/stdout", "", Some("0")), Ok((36, 36, String::new())));
        let bad = |text: &str| Err((StatusCode::BAD_REQUEST, text.to_owned()));
        assert_eq!(read("/run/stdout", "-2", None), bad("Negative offset provided: -2.\n"));
        assert_eq!(read("/run/stdout", "0", Some("-5")), bad("Negative length provided: -5.\n"));
        let number = "Failed to parse offset: Failed to convert 'x' to number.\n";
        assert_eq!(read("/run/stdout", "x", None), bad(number));
        assert_eq!(read("/run", "0", None), bad("Cannot read a directory.\n"));
        assert_eq!(read("/nosuch", "0", None), Err((StatusCode::NOT_FOUND, String::new())));
        let Ok(Found::Listing(listing)) = look(&at(root.path()), "/run", &Wish::Browse) else { panic!() };
        let told = listing[0].told();
        assert_eq!((&told["path"], &told["size"]), (&json!("/run/stdout"), &json!(36)));
        assert_eq!((&told["mode"], &listing[0].info()["mode"]), (&json!("-rw-r--r--"), &json!(0o100_644)));
    }

    #[test]
    fn queries_are_decoded() {
        let pairs = query("path=%2Ffiles%2Fa+b%zz&offset=1&x");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("path", "/files/a b%zz"), pair("offset", "1"), pair("x", "")]);
    }
}
