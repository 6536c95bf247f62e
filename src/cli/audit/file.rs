//! A file that is there whole or not at all: it is written beside its place, and then renamed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Result, Write};
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
pub(super) fn write_whole(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Some(file) = beside(path)? else {
        let mut out = BufWriter::new(File::options().write(true).truncate(true).open(path)?);
        write(&mut out)?;
        return out.flush();
    };
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    let file = out.into_inner()?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|refused| refused.error)
}

/// A file without a name, which vanishes with the process, for what is to be in `path`: on the same disk, which is there to hold it.
pub(super) fn without_name(path: Option<&Path>) -> Result<File> {
    match path.filter(|path| !path.exists() || path.is_file()) {
        Some(path) => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            tempfile::tempfile_in(folder.unwrap_or(Path::new(".")))
        }
        None => tempfile::tempfile(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let write = |path: &Path, text: &str| write_whole(path, |out| out.write_all(text.as_bytes()));
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        let half = |out: &mut dyn Write| out.write_all(b"three").and(Err(ErrorKind::Other.into()));
        assert!(write_whole(&path, half).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(write(&folder.path().join("none/report.html"), "x").is_err());
        assert!(write(folder.path(), "x").is_err());
        write(Path::new("/dev/null"), "x").unwrap();
        without_name(Some(&path)).unwrap().write_all(b"x").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }
}
