//! Files that only their owner may read: written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file of the data folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {act} {}", path.display())]
pub struct FileError {
    pub act: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn at<'a>(act: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
        move |source| FileError { act, path: path.to_owned(), source }
    }
}

/// Replaces `path` by `bytes`, mode 0600. A reader, and a crash at any moment, sees the old file or the new one. A file that
/// says the same already is left, which needs no room on the disk.
///
/// # Errors
/// When the folder cannot be created or written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_private_folder(folder)?;
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(FileError::at("protect", path));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = folder.join(name);
    write_synced(&fresh, bytes).map_err(FileError::at("write", &fresh))?;
    fs::rename(&fresh, path).map_err(FileError::at("replace", path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::at("sync", folder))
}

/// The text of `path`, or none when it does not exist. Whatever its mode was (a copy made by hand, say), from now on
/// only its owner may read it.
///
/// # Errors
/// When it exists but cannot be read or protected.
pub fn read_private(path: &Path) -> Result<Option<String>, FileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at("read", path)(error)),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(FileError::at("protect", path))?;
    Ok(Some(text))
}

fn create_private_folder(folder: &Path) -> Result<(), FileError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(FileError::at("create", folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(FileError::at("protect", folder))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode above holds for a new file only; one left over by a crash may have been tampered with.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/token");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_private(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);

        // Nothing can be written beside it any more.
        fs::create_dir(path.with_file_name("token.new")).unwrap();
        write_private(&path, b"two").unwrap();
        assert!(write_private(&path, b"three").is_err());
    }

    #[test]
    fn an_absent_file_is_not_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_private(&folder.path().join("none")).unwrap().is_none());
    }
}
