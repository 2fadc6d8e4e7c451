//! Credentials in files: MLflow's, and the profiles of Databricks. Both are in the format of Python's `configparser`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::secret::Secret;

/// A section: values by key in lower case.
type Section = HashMap<String, Secret>;

/// A file of sections.
pub(super) struct Ini(HashMap<String, Section>);

impl Ini {
    /// Reads what it can of a file; one that does not exist holds nothing.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read(path).map(Zeroizing::new).unwrap_or_default();
        Ini::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut sections: HashMap<String, Section> = HashMap::new();
        let mut section = None;
        let mut key: Option<String> = None;
        for line in text.trim_start_matches('\u{feff}').lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with(char::is_whitespace)
                && let (Some(values), Some(key)) = (section_of(&mut sections, &section), &key)
                && let Some(value) = values.get_mut(key)
            {
                *value = Secret::new(format!("{}\n{trimmed}", value.expose()));
                continue;
            }
            if let Some(name) = trimmed
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
            {
                sections.entry(name.0.to_owned()).or_default();
                section = Some(name.0.to_owned());
                key = None;
                continue;
            }
            let Some((name, value)) = trimmed.split_once(['=', ':']) else {
                continue;
            };
            let name = name.trim().to_lowercase();
            if let Some(values) = section_of(&mut sections, &section) {
                values.insert(name.clone(), Secret::new(value.trim()));
                key = Some(name);
            }
        }
        Ini(sections)
    }

    pub(super) fn has(&self, section: &str) -> bool {
        self.0.contains_key(section)
    }

    /// A value that is not empty.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Secret> {
        let value = self.0.get(section)?.get(key)?;
        (!value.is_empty()).then_some(value)
    }
}

fn section_of<'a>(
    sections: &'a mut HashMap<String, Section>,
    name: &Option<String>,
) -> Option<&'a mut Section> {
    sections.get_mut(name.as_ref()?)
}

/// User name and password of `~/.mlflow/credentials`, each as far as it is there. MLflow reads the file with
/// interpolation, where `%%` stands for `%`, and takes what the section lacks from `DEFAULT`.
pub(super) fn mlflow(path: &Path) -> (Option<Secret>, Option<Secret>) {
    let ini = Ini::read(path);
    if !ini.has("mlflow") {
        return (None, None);
    }
    let value = |key| {
        let value = ini.get("mlflow", key).or_else(|| ini.get("DEFAULT", key))?;
        Some(Secret::new(value.expose().replace("%%", "%")))
    };
    (
        value("mlflow_tracking_username"),
        value("mlflow_tracking_password"),
    )
}

/// Where MLflow's client keeps credentials.
pub(super) fn mlflow_file() -> PathBuf {
    at_home(".mlflow/credentials")
}

/// The user name of `~/.mlflow/credentials`.
pub(crate) fn login() -> Option<String> {
    let (user, _) = mlflow(&mlflow_file());
    user.map(|user| user.expose().to_owned())
}

/// A path in the home directory of the process's user.
pub(super) fn at_home(path: impl AsRef<Path>) -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_configparser_reads_them() {
        let ini = Ini::parse(
            "\u{feff}stray = 1\n# comment\n[DEFAULT]\nhost: https://a\n\n[My Profile]\n; comment\n Token = dapi=1 ; 2 \n\
             empty =\nlong = one\n  two\nno value\n[other\n",
        );
        let get = |section: &str, key: &str| ini.get(section, key).map(|v| v.expose().to_owned());
        assert_eq!(get("DEFAULT", "host").as_deref(), Some("https://a"));
        assert_eq!(get("My Profile", "token").as_deref(), Some("dapi=1 ; 2"));
        assert_eq!(get("My Profile", "empty"), None);
        assert_eq!(get("My Profile", "long").as_deref(), Some("one\ntwo"));
        assert!(ini.has("My Profile") && !ini.has("other"));
    }

    #[test]
    fn a_file_that_is_not_there_holds_nothing() {
        assert_eq!(mlflow(Path::new("/no/such/file")), (None, None));
    }
}
