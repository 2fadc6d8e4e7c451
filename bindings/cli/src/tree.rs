//! The spans of a trace as a tree.

use std::collections::HashMap;

use mlflow_trace_core::client::Span;

/// A span, and where it stands.
pub(crate) struct Node<'a> {
    pub(crate) span: &'a Span,
    /// For each level above whether more follows there, and for its own.
    pub(crate) more: Vec<bool>,
}

/// The spans in the order of a tree, siblings by their start. One whose parent is not there is a root, and so is the
/// first of a circle.
pub(crate) fn nodes(spans: &[Span]) -> Vec<Node<'_>> {
    let ids: Vec<String> = spans.iter().map(Span::span_id).collect();
    let places: HashMap<&str, usize> = ids.iter().map(String::as_str).zip(0..).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (place, span) in spans.iter().enumerate() {
        let parent = span.parent_id();
        match parent.and_then(|id| places.get(id.as_str())) {
            Some(parent) if *parent != place => children[*parent].push(place),
            _ => roots.push(place),
        }
    }
    let by_start = |list: &mut Vec<usize>| list.sort_by_key(|place| spans[*place].start_time_ns);
    children.iter_mut().for_each(by_start);
    by_start(&mut roots);
    let mut seen = vec![false; spans.len()];
    let mut nodes = Vec::with_capacity(spans.len());
    walk(spans, &children, &roots, &mut seen, &mut nodes);
    for place in 0..spans.len() {
        if !seen[place] {
            walk(spans, &children, &[place], &mut seen, &mut nodes);
        }
    }
    nodes
}

/// Not recursive: a trace may be ten thousand deep.
fn walk<'a>(
    spans: &'a [Span],
    children: &[Vec<usize>],
    roots: &[usize],
    seen: &mut [bool],
    nodes: &mut Vec<Node<'a>>,
) {
    let level = |places: &[usize], above: &[bool]| -> Vec<(usize, Vec<bool>)> {
        let last = places.len().saturating_sub(1);
        let level = places.iter().enumerate().rev();
        level
            .map(|(at, place)| (*place, [above, &[at < last]].concat()))
            .collect()
    };
    let mut stack = level(roots, &[]);
    while let Some((place, more)) = stack.pop() {
        if std::mem::replace(&mut seen[place], true) {
            continue;
        }
        stack.extend(level(&children[place], &more));
        nodes.push(Node {
            span: &spans[place],
            more,
        });
    }
}
