// @ts-check
// What the page shows, and what may be asked of it. The data is the text of #data: see `mod.rs`, which writes it.

/**
 * @typedef {{ name: string, time: number, attributes: Record<string, unknown> }} SpanEvent time: ns after the trace began
 * @typedef {{ trace: string, span: string }} SpanLink
 * @typedef {object} Span
 * @property {string} id
 * @property {string | null} parent
 * @property {string} name
 * @property {string} type
 * @property {string} status OK, ERROR or UNSET
 * @property {string} message
 * @property {number} start ns after the trace began
 * @property {number | null} duration ns; null while it has not ended
 * @property {unknown} inputs
 * @property {unknown} outputs
 * @property {Record<string, unknown>} attributes
 * @property {SpanEvent[]} events
 * @property {SpanLink[]} links
 * @typedef {object} Trace
 * @property {string} id
 * @property {string} name
 * @property {string} state
 * @property {string} time RFC 3339
 * @property {number | null} duration ns
 * @property {Record<string, string>} tags
 * @property {Record<string, string>} metadata
 * @property {Record<string, unknown>[]} assessments
 * @property {Span[]} spans
 */

/** A span in its tree. */
class SpanNode {
  /** @param {Span} span */
  constructor(span) {
    this.span = span;
    /** @type {SpanNode | null} */
    this.parent = null;
    /** @type {SpanNode[]} */
    this.children = [];
    this.depth = 0;
    this.isFolded = false;
    /** @type {string | null} lower case, made when it is first searched */
    this.text = null;
  }

  get hasFailed() {
    return this.span.status === 'ERROR';
  }

  /** @param {string} wanted in lower case */
  contains(wanted) {
    const { id, name, type, message, inputs, outputs, attributes, events } = this.span;
    this.text ??= JSON.stringify([
      id,
      name,
      type,
      message,
      inputs,
      outputs,
      attributes,
      events,
    ]).toLowerCase();
    return this.text.includes(wanted);
  }
}

/** The spans of a trace as a tree; those whose parent is not among them are roots. */
class Tree {
  /** @param {Trace} trace */
  constructor(trace) {
    this.trace = trace;
    /** @type {Map<string, SpanNode>} */
    this.byId = new Map();
    for (const span of trace.spans) {
      this.byId.set(span.id, new SpanNode(span));
    }
    /** @type {SpanNode[]} */
    this.roots = [];
    for (const node of this.byId.values()) {
      const parent = node.span.parent === null ? undefined : this.byId.get(node.span.parent);
      if (parent === undefined || parent === node) {
        this.roots.push(node);
      } else {
        node.parent = parent;
        parent.children.push(node);
      }
    }
    /** @type {SpanNode[]} every node, parents before children, by start */
    this.nodes = [];
    this.#order();
    const ends = trace.spans.map((span) => span.start + (span.duration ?? 0));
    /** ns from the start of the trace to its last end */
    this.length = Math.max(
      1,
      trace.duration ?? 0,
      ends.reduce((last, end) => Math.max(last, end), 0),
    );
  }

  #order() {
    /** @param {SpanNode} one @param {SpanNode} other */
    const byStart = (one, other) => one.span.start - other.span.start;
    /** @type {Set<SpanNode>} */
    const seen = new Set();
    // Not recursive: a trace may be ten thousand deep.
    /** @param {SpanNode[]} roots */
    const walk = (roots) => {
      const stack = roots.toSorted(byStart).reverse();
      for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
        if (seen.has(node)) {
          continue;
        }
        seen.add(node);
        node.depth = node.parent === null ? 0 : node.parent.depth + 1;
        this.nodes.push(node);
        stack.push(...node.children.sort(byStart).toReversed());
      }
    };
    walk(this.roots);
    for (const node of this.byId.values()) {
      if (!seen.has(node)) {
        // Parents in a circle: it has to be cut somewhere.
        node.parent?.children.splice(node.parent.children.indexOf(node), 1);
        node.parent = null;
        this.roots.push(node);
        walk([node]);
      }
    }
  }

  /** The nodes that are not within a folded one. */
  visible() {
    /** @type {SpanNode[]} */
    const shown = [];
    let hiddenBelow = Infinity;
    for (const node of this.nodes) {
      if (node.depth > hiddenBelow) {
        continue;
      }
      hiddenBelow = node.isFolded ? node.depth : Infinity;
      shown.push(node);
    }
    return shown;
  }

  /** Unfolds whatever hides a node. @param {SpanNode} node */
  reveal(node) {
    for (let above = node.parent; above !== null; above = above.parent) {
      above.isFolded = false;
    }
  }

  types() {
    return [...new Set(this.trace.spans.map((span) => span.type))].sort();
  }

  /** The nodes that fit; `null` when nothing is asked for. @param {{ text: string, type: string, errors: boolean }} filter */
  matches({ text, type, errors }) {
    const wanted = text.trim().toLowerCase();
    if (wanted === '' && type === '' && !errors) {
      return null;
    }
    return new Set(
      this.nodes.filter(
        (node) =>
          (!errors || node.hasFailed) &&
          (type === '' || node.span.type === type) &&
          (wanted === '' || node.contains(wanted)),
      ),
    );
  }
}

/** A time in the unit that suits it. @param {number | null} nanoseconds */
function time(nanoseconds) {
  if (nanoseconds === null) {
    return 'not ended';
  }
  const units = /** @type {const} */ ([
    ['min', 60e9],
    ['s', 1e9],
    ['ms', 1e6],
    ['µs', 1e3],
  ]);
  for (const [unit, length] of units) {
    if (Math.abs(nanoseconds) >= length) {
      const amount = nanoseconds / length;
      return `${amount.toFixed(amount >= 100 ? 0 : amount >= 10 ? 1 : 2)} ${unit}`;
    }
  }
  return `${nanoseconds} ns`;
}

/** An element with what it contains. @param {string} name @param {Record<string, string>} [attributes] @param {...(Element | Text | string)} content */
function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  made.append(...content);
  return made;
}

/** The element of the page with this id. @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no #${id}`);
  }
  return found;
}
