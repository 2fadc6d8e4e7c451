//! Where traces go. Destinations are interned for the life of the process: there are few, every trace
//! names one, and a reference count would be passed between the host's threads and the exporter's.

use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// Where a trace goes; fixed when its root starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination {
    pub(crate) experiment: Experiment,
    pub(crate) workspace: Option<String>,
}

/// An experiment as it was configured. Names are resolved by the exporter, never by the caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Experiment {
    Id(String),
    Name(String),
}

/// Swapped as a whole and never locked, so that a fork's child finds it whole.
static INTERNED: ArcSwapOption<Vec<&'static Destination>> = ArcSwapOption::const_empty();

static NOWHERE: Destination = Destination {
    experiment: Experiment::Id(String::new()),
    workspace: None,
};

/// The number of a destination, the same for equal ones.
pub(crate) fn intern(destination: Destination) -> u32 {
    let mut leaked: Option<&'static Destination> = None;
    let mut number = 0;
    INTERNED.rcu(|interned| {
        let mut list = interned.as_deref().cloned().unwrap_or_default();
        let known = list.iter().position(|known| **known == destination);
        number = known.unwrap_or_else(|| {
            let own = leaked.get_or_insert_with(|| Box::leak(Box::new(destination.clone())));
            list.push(own);
            list.len() - 1
        });
        Some(Arc::new(list))
    });
    number as u32
}

/// The destination that [`intern`] gave this number to.
pub(crate) fn by_number(number: u32) -> &'static Destination {
    let interned = INTERNED.load();
    let found = interned.as_ref().and_then(|list| list.get(number as usize));
    found.copied().unwrap_or(&NOWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_destinations_share_a_number() {
        let destination = |id: &str| Destination {
            experiment: Experiment::Id(id.into()),
            workspace: Some("interned".into()),
        };
        let (one, two) = (intern(destination("1")), intern(destination("2")));
        assert_ne!(one, two);
        assert_eq!(intern(destination("1")), one);
        assert_eq!(*by_number(two), destination("2"));
    }
}
