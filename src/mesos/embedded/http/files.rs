//! The files of tasks, as agents serve them: `/files/browse`, `/files/read`, `/files/download`, and READ_FILE of the operator's API.
//!
//! All agents of an embedded cluster are at the master's address, and their sandboxes in one folder: the path of a sandbox
//! names framework and executor. Nothing but that folder is reached.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Front;
use super::reply::{self, Reply};

/// The most that is read at once, in bytes.
const PIECE: u64 = 64 << 10;
const REALM: &str = "mesos-agent-readonly";

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
    Listing(Value),
    Piece { size: u64, offset: u64, data: Vec<u8> },
    Whole { name: String, data: Vec<u8> },
}

/// Status and text of a refusal.
pub(super) type Refused = (StatusCode, String);

impl Front {
    /// GET below `/files`.
    pub(super) async fn files(&self, request: &Request<Incoming>, what: &str) -> Reply {
        if let Err(reply) = self.authenticate(request.headers(), REALM) {
            return *reply;
        }
        let asked = query(request.uri().query().unwrap_or_default());
        let field = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let wish = match what {
            "browse" => Ok(Wish::Browse),
            "read" => read_wish(field("offset"), field("length")),
            "download" => Ok(Wish::Download),
            _ => return reply::text(StatusCode::NOT_FOUND, "404 Not Found."),
        };
        let Some(path) = field("path").filter(|path| !path.is_empty()) else {
            return reply::text(StatusCode::BAD_REQUEST, "Expecting 'path=value' in query.\n");
        };
        let found = match wish {
            Ok(wish) => self.find(path, wish).await,
            Err(text) => Err((StatusCode::BAD_REQUEST, text)),
        };
        match found {
            Ok(Found::Listing(listing)) => reply::json(&listing),
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
            Err((status, text)) => reply::text(status, &text),
        }
    }

    /// READ_FILE.
    pub(super) async fn read_file(&self, call: &Value) -> Reply {
        let asked = &call["read_file"];
        let path = asked["path"].as_str().unwrap_or_default();
        let length = asked["length"].as_u64().unwrap_or(PIECE);
        let wish = Wish::Read { offset: Some(asked["offset"].as_u64().unwrap_or_default()), length };
        match self.find(path, wish).await {
            Ok(Found::Piece { size, data, .. }) => reply::json(&json!({
                "type": "READ_FILE",
                "read_file": {"size": size, "data": STANDARD.encode(data)},
            })),
            Ok(_) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "no piece of a file"),
            Err((status, text)) => reply::text(status, &text),
        }
    }

    async fn find(&self, path: &str, wish: Wish) -> Result<Found, Refused> {
        let absent = (StatusCode::NOT_FOUND, String::new());
        let Some(root) = self.sandboxes.as_deref().map(Path::to_owned) else { return Err(absent) };
        let path = path.to_owned();
        let looked = self.env.run_blocking(move || look(&root, &path, &wish)).await;
        looked.unwrap_or(Err(absent))
    }
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

/// What stands at `path` below `root`.
fn look(root: &Path, path: &str, wish: &Wish) -> Result<Found, Refused> {
    let place =
        below(root, path).ok_or_else(|| (StatusCode::BAD_REQUEST, format!("'{path}' is inaccessible.\n")))?;
    let metadata = fs::metadata(&place).map_err(|_| (StatusCode::NOT_FOUND, String::new()))?;
    let failed = |error: io::Error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    match wish {
        Wish::Browse if metadata.is_dir() => listing(&place, path).map_err(failed),
        Wish::Browse => Ok(Found::Listing(json!([entry(path, &metadata)]))),
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

/// The place that a path names, if that is below `root`.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let mut parts = Path::new(path).components();
    let is_rooted = parts.next() == Some(Component::RootDir);
    let rest: PathBuf = parts.clone().collect();
    (is_rooted && parts.all(|part| matches!(part, Component::Normal(_)))).then(|| root.join(rest))
}

fn listing(folder: &Path, path: &str) -> io::Result<Found> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let path = format!("{}/{}", path.trim_end_matches('/'), file.file_name().to_string_lossy());
        let entry = entry(&path, &file.metadata()?);
        entries.push((path, entry));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Found::Listing(entries.into_iter().map(|(_, entry)| entry).collect()))
}

fn entry(path: &str, metadata: &Metadata) -> Value {
    json!({
        "path": path,
        "size": metadata.len(),
        "mtime": metadata.mtime() as f64,
        "mode": mode(metadata.mode()),
        "nlink": metadata.nlink(),
        "uid": metadata.uid().to_string(),
        "gid": metadata.gid().to_string(),
    })
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
fn query(text: &str) -> Vec<(String, String)> {
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

    #[test]
    fn only_what_lies_below_the_folder_is_reached() {
        let root = Path::new("/sandboxes");
        assert_eq!(below(root, "/a/b").as_deref(), Some(Path::new("/sandboxes/a/b")));
        for path in ["/a/../../etc/passwd", "a", "", "/..", "../a"] {
            assert_eq!(below(root, path), None, "{path}");
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
            match look(root.path(), path, &wish)? {
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
        let Ok(Found::Listing(listing)) = look(root.path(), "/run", &Wish::Browse) else { panic!() };
        assert_eq!((&listing[0]["path"], &listing[0]["size"]), (&json!("/run/stdout"), &json!(36)));
        assert_eq!(listing[0]["mode"], "-rw-r--r--");
    }

    #[test]
    fn queries_are_decoded() {
        let pairs = query("path=%2Ffiles%2Fa+b%zz&offset=1&x");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("path", "/files/a b%zz"), pair("offset", "1"), pair("x", "")]);
    }
}
