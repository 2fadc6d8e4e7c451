//! Places inside attributes: a subset of JSONPath (RFC 9535), followed while a value is walked.
//!
//! Names in dots or brackets, positions, wildcards and descendants are all that is understood: what
//! selects without looking ahead, so that no tree of a value has to be built. Paths are relative to the
//! object of a span's attributes; `inputs` and `outputs` are short for those of MLflow.

use crate::mlflow::keys;

mod parse;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selector {
    Name(String),
    Index(usize),
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    /// Below at any depth (`..`), not only directly.
    descendant: bool,
    selector: Selector,
}

/// The paths of `redact.paths`.
pub(super) struct Paths(Vec<Vec<Segment>>);

/// Where a value stands on the paths that lead through it: path and number of segments behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Vec<(usize, usize)>);

/// From a container to one of its values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl Selector {
    fn selects(&self, step: Step<'_>) -> bool {
        match (self, step) {
            (Selector::Any, _) => true,
            (Selector::Name(name), Step::Name(key)) => name == key,
            (Selector::Index(index), Step::Index(at)) => *index == at,
            _ => false,
        }
    }
}

impl Place {
    /// Whether no path leads on from here.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, other: Place) {
        for state in other.0 {
            self.put(state);
        }
    }

    fn put(&mut self, state: (usize, usize)) {
        if !self.0.contains(&state) {
            self.0.push(state);
        }
    }
}

impl Paths {
    /// Paths separated by commas; none for the empty text.
    pub(super) fn parse(list: &str) -> Result<Paths, String> {
        let mut paths = Vec::new();
        for path in parse::paths(list)? {
            let (root, rest) = match path.split_first() {
                Some((root, rest)) if !root.descendant => (&root.selector, rest),
                _ => return Err(NO_ROOT.to_owned()),
            };
            match root {
                Selector::Name(name) if name == "inputs" => {
                    paths.push(under(keys::SPAN_INPUTS, rest))
                }
                Selector::Name(name) if name == "outputs" => {
                    paths.push(under(keys::SPAN_OUTPUTS, rest));
                }
                Selector::Name(name) if name == "attributes" && !rest.is_empty() => {
                    paths.extend(readings(rest));
                }
                _ => return Err(NO_ROOT.to_owned()),
            }
        }
        Ok(Paths(paths))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A path without segments, which `parse` never makes: the first step panics.
    #[cfg(test)]
    pub(super) fn broken() -> Paths {
        Paths(vec![Vec::new()])
    }

    /// The object of a span's attributes.
    pub(super) fn root(&self) -> Place {
        Place((0..self.0.len()).map(|path| (path, 0)).collect())
    }

    /// Where a step leads, and whether a path ends there.
    pub(super) fn step(&self, from: &Place, step: Step<'_>) -> (Place, bool) {
        let mut to = Place::default();
        let mut ends = false;
        for &(path, behind) in &from.0 {
            let segment = &self.0[path][behind];
            if segment.descendant {
                to.put((path, behind));
            }
            if !segment.selector.selects(step) {
                continue;
            }
            if behind + 1 == self.0[path].len() {
                ends = true;
            } else {
                to.put((path, behind + 1));
            }
        }
        (to, ends)
    }

    /// Whether a value below `place` may be selected when these are all the names it contains.
    pub(super) fn may_select(&self, place: &Place, contains: impl Fn(&str) -> bool) -> bool {
        place.0.iter().any(|&(path, behind)| {
            self.0[path][behind..]
                .iter()
                .all(|segment| match &segment.selector {
                    Selector::Name(name) => contains(name),
                    Selector::Index(_) | Selector::Any => true,
                })
        })
    }
}

const NO_ROOT: &str = "a path begins with inputs, outputs or an attribute such as attributes.user";

fn child(name: &str) -> Segment {
    Segment {
        descendant: false,
        selector: Selector::Name(name.to_owned()),
    }
}

fn under(attribute: &str, rest: &[Segment]) -> Vec<Segment> {
    let mut path = vec![child(attribute)];
    path.extend_from_slice(rest);
    path
}

/// `user.email` is a member of the attribute `user` and an attribute by itself.
fn readings(path: &[Segment]) -> Vec<Vec<Segment>> {
    let mut readings = vec![path.to_vec()];
    let mut attribute = String::new();
    for (index, segment) in path.iter().enumerate() {
        let (Selector::Name(name), false) = (&segment.selector, segment.descendant) else {
            break;
        };
        if index > 0 {
            attribute.push('.');
        }
        attribute.push_str(name);
        if index > 0 {
            readings.push(under(&attribute, &path[index + 1..]));
        }
    }
    readings
}

/// What is wrong with a value of `redact.paths`.
pub(crate) fn check(list: &str) -> Option<String> {
    match Paths::parse(list) {
        Ok(paths) if paths.is_empty() => Some("holds no path".to_owned()),
        Ok(_) => None,
        Err(problem) => Some(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(path: &str, steps: &[Step<'_>]) -> bool {
        let paths = Paths::parse(path).unwrap();
        let mut place = paths.root();
        let mut selected = false;
        for step in steps {
            (place, selected) = paths.step(&place, *step);
        }
        selected
    }

    #[test]
    fn paths_select_what_they_say() {
        use Step::{Index, Name};
        let inputs = Name(keys::SPAN_INPUTS);
        for (path, steps) in [
            ("inputs", &[inputs][..]),
            ("$.outputs", &[Name(keys::SPAN_OUTPUTS)]),
            ("inputs.a[1]", &[inputs, Name("a"), Index(1)]),
            ("inputs[*].b", &[inputs, Index(7), Name("b")]),
            ("inputs.*.b", &[inputs, Name("x"), Name("b")]),
            ("inputs..b", &[inputs, Name("b")]),
            ("inputs..b", &[inputs, Index(0), Name("x"), Name("b")]),
            ("inputs..a..a", &[inputs, Name("a"), Name("a"), Name("a")]),
            ("$['inputs']['a.b']", &[inputs, Name("a.b")]),
            ("attributes.user.email", &[Name("user.email")]),
            ("attributes.user.email", &[Name("user"), Name("email")]),
            ("attributes.a.b.c[0]", &[Name("a.b"), Name("c"), Index(0)]),
            ("attributes[*].x", &[Name("anything"), Name("x")]),
            ("outputs, inputs.x", &[inputs, Name("x")]),
        ] {
            assert!(selects(path, steps), "{path} {steps:?}");
        }
        for (path, steps) in [
            ("inputs.a", &[inputs, Name("A")][..]),
            ("inputs.a", &[inputs, Name("b"), Name("a")]),
            ("inputs.a", &[inputs, Name("a"), Name("a")]),
            ("inputs[1]", &[inputs, Index(0)]),
            ("inputs[1]", &[inputs, Name("1")]),
            ("inputs", &[Name("inputs")]),
            ("attributes['user.email']", &[Name("user"), Name("email")]),
        ] {
            assert!(!selects(path, steps), "{path} {steps:?}");
        }
    }

    #[test]
    fn roots_are_checked() {
        for list in ["attributes", "messages[0]", "$", "$..password", "*", ","] {
            assert!(check(list).is_some(), "{list}");
        }
    }
}
