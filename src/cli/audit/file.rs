//! A file that is there whole or not at all: it is written beside its place, and then renamed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Result, Write};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A file beside `path` that nobody else uses and that vanishes unless it is kept; `None` for a device or a pipe, which cannot be
/// replaced.
fn beside(path: &Path) -> Result<Option<NamedTempFile>> {
    if path.exists() && !path.is_file() {
        return if path.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(None) };
    }
    let mut start = OsString::from(".");
    start.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
    start.push(".");
    let folder = path.parent().unwrap_or(Path::new(""));
    // Made here, so that it has the rights of any new file and not of a secret one.
    Builder::new().prefix(&start).make_in(folder, |path| File::create_new(path)).map(Some)
}

/// Whether a file can be made where `path` is to be.
pub(super) fn try_to_write(path: &Path) -> Result<()> {
    beside(path).map(drop)
}

/// There is the whole file then, or the one before.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let Some(mut file) = beside(path)? else { return std::fs::write(path, text) };
    file.as_file_mut().write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|refused| refused.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(write_whole(&folder.path().join("none/report.html"), "x").is_err());
        assert!(write_whole(folder.path(), "x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
