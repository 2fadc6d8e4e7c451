//! Names whose values are taken out: `password, *token*`.

use regex::Regex;

/// The names of `redact.keys` as one expression.
pub(super) struct Keys(Regex);

impl Keys {
    /// `None` for the empty text.
    pub(super) fn parse(list: &str) -> Result<Option<Keys>, String> {
        if list.is_empty() {
            return Ok(None);
        }
        let mut names = Vec::new();
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            // Lists in a host's own notation would be taken for names that nothing has.
            if let Some(sign) = name
                .chars()
                .find(|c| "\"'[](){}".contains(*c) || c.is_control())
            {
                return Err(format!(
                    "'{name}' contains {sign:?}; expected names separated by commas, with * for any characters"
                ));
            }
            let parts: Vec<String> = name.split('*').map(regex::escape).collect();
            names.push(parts.join(".*"));
        }
        if names.is_empty() {
            return Err("names no key".to_owned());
        }
        let expression = format!(r"(?is)\A(?:{})\z", names.join("|"));
        let regex = Regex::new(&expression).map_err(|_| "the list is too long".to_owned())?;
        Ok(Some(Keys(regex)))
    }

    pub(super) fn matches(&self, key: &str) -> bool {
        self.0.is_match(key)
    }
}

/// What is wrong with a value of `redact.keys`.
pub(crate) fn check(list: &str) -> Option<String> {
    Keys::parse(list).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_in_any_case_and_stars_stand_for_anything() {
        let keys = Keys::parse(" password, *token*,api.key,,x-*-id ")
            .unwrap()
            .unwrap();
        for key in [
            "password",
            "PassWord",
            "token",
            "access_TOKEN_2",
            "api.key",
            "X-a\nb-Id",
        ] {
            assert!(keys.matches(key), "{key}");
        }
        for key in ["passwords", "my password", "apiXkey", "x-id", ""] {
            assert!(!keys.matches(key), "{key}");
        }
    }

    #[test]
    fn lists_that_name_nothing_are_refused() {
        assert!(Keys::parse("").unwrap().is_none());
        for list in [" , ", ",", "['a', 'b']", "[\"a\"]", "('a',)", "a\nb"] {
            assert!(check(list).is_some(), "{list}");
        }
    }
}
