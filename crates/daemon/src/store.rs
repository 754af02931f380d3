//! Settings on disk: one file, 0600, replaced whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use hn_types::{DriverError, DriverErrorKind, StoredSettings};

/// The settings file of one state folder.
#[derive(Debug)]
pub struct SettingsFile {
    path: PathBuf,
}

/// What was found at the start.
#[derive(Debug)]
pub struct Loaded {
    /// The settings; default when there was no file or it was damaged.
    pub settings: StoredSettings,
    /// Where a damaged file was put, and what is wrong with it.
    pub damaged: Option<String>,
}

impl SettingsFile {
    /// The settings file in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join("settings.json") }
    }

    /// Reads the settings. A damaged file is put aside, never overwritten.
    pub fn load(&self) -> Result<Loaded, DriverError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let settings =
                    StoredSettings { version: StoredSettings::VERSION, ..StoredSettings::default() };
                return Ok(Loaded { settings, damaged: None });
            }
            Err(error) => return Err(self.error("read the settings", &error)),
        };
        let parsed = serde_json::from_slice::<StoredSettings>(&text)
            .map_err(|error| error.to_string())
            .and_then(|settings| match settings.version {
                StoredSettings::VERSION => Ok(settings),
                other => {
                    Err(format!("it has format {other}, this version knows {}", StoredSettings::VERSION))
                }
            });
        match parsed {
            Ok(settings) => Ok(Loaded { settings, damaged: None }),
            Err(cause) => {
                let aside = self.path.with_extension("json.damaged");
                fs::rename(&self.path, &aside)
                    .map_err(|error| self.error("put the settings aside", &error))?;
                let settings =
                    StoredSettings { version: StoredSettings::VERSION, ..StoredSettings::default() };
                Ok(Loaded { settings, damaged: Some(format!("{}: {cause}", aside.display())) })
            }
        }
    }

    /// Writes the settings; when this returns they are on disk, or the old ones still are.
    pub fn save(&self, settings: &StoredSettings) -> Result<(), DriverError> {
        let text = serde_json::to_vec_pretty(settings).map_err(|error| {
            DriverError::new(DriverErrorKind::Io, "save the settings", self.path.display(), error)
        })?;
        let new = self.path.with_extension("json.new");
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            // The rename itself is on disk only once the folder is.
            File::open(self.path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
        };
        write().map_err(|error| {
            // What was half written is of no use to anybody; the old file is untouched.
            let _ = fs::remove_file(&new);
            self.error("save the settings", &error)
                .with_remedy("make room on the disk or mount it writable, then try again")
        })
    }

    fn error(&self, op: &str, error: &std::io::Error) -> DriverError {
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let kind = if denied { DriverErrorKind::Denied } else { DriverErrorKind::Io };
        let made = DriverError::new(kind, op, self.path.display(), error);
        match error.raw_os_error() {
            Some(errno) => made.with_errno(errno),
            None => made,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use hn_types::Key;

    use super::*;

    #[test]
    fn settings_survive_and_nobody_else_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::new(folder.path());
        let mut settings = file.load().unwrap().settings;
        settings.primary_key = Some(Key::passphrase("correct horse".into()).unwrap());
        file.save(&settings).unwrap();
        assert_eq!(file.load().unwrap().settings, settings);
        let mode = fs::metadata(folder.path().join("settings.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        for text in ["{", "{\"version\":1,\"unknown\":0}", "{\"version\":99}"] {
            fs::write(&path, text).unwrap();
            let loaded = SettingsFile::new(folder.path()).load().unwrap();
            assert!(loaded.damaged.is_some(), "{text}");
            assert_eq!(fs::read_to_string(path.with_extension("json.damaged")).unwrap(), text);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_failed_save_keeps_the_old_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::new(folder.path());
        let settings = file.load().unwrap().settings;
        file.save(&settings).unwrap();
        fs::create_dir(folder.path().join("settings.json.new")).unwrap();
        let changed = StoredSettings { enabled: Some(false), ..settings.clone() };
        let error = file.save(&changed).unwrap_err();
        assert!(error.to_string().contains("settings.json"), "{error}");
        assert_eq!(file.load().unwrap().settings, settings);
    }
}
