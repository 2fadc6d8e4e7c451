//! Who and what recorded a trace: the metadata that MLflow derives from the process, read once in each.

use crate::export::http::credentials;
use crate::pipeline::fork::ForkCell;

/// `mlflow.user` where no user name was configured: the account of this process.
pub(crate) fn user() -> &'static str {
    static USER: ForkCell<String> = ForkCell::new();
    USER.get_or_init(|| {
        ["LOGNAME", "USER", "LNAME", "USERNAME"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .or_else(account)
            .unwrap_or_default()
    })
}

/// `mlflow.user` where options name no user but `~/.mlflow/credentials` does.
pub(crate) fn login() -> Option<&'static str> {
    static LOGIN: ForkCell<Option<String>> = ForkCell::new();
    LOGIN.get_or_init(credentials::login).as_deref()
}

/// The account name from the system's user list, for daemons that run without the variables.
fn account() -> Option<String> {
    let uid = std::fs::read_to_string("/proc/self/status")
        .ok()?
        .lines()
        .find_map(|line| {
            line.strip_prefix("Uid:")?
                .split_whitespace()
                .next()
                .map(str::to_owned)
        })?;
    std::fs::read_to_string("/etc/passwd")
        .ok()?
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
}

/// `mlflow.source.name` where none was configured: the program's path as it was started.
pub(crate) fn program() -> &'static str {
    static PROGRAM: ForkCell<String> = ForkCell::new();
    PROGRAM.get_or_init(|| {
        std::env::args_os()
            .next()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_are_known_here() {
        assert!(!super::user().is_empty());
        assert!(!super::program().is_empty());
    }
}
