// @ts-check
/// <reference path="model.js" />

/** The rows of the spans. Only those in view are elements: a trace may have tens of thousands. */
class Waterfall {
  static ROW = 28;
  /** Rows above and below those in view. */
  static SPARE = 8;

  /** @param {(node: SpanNode) => void} onChoice */
  constructor(onChoice) {
    this.rows = byId('rows');
    this.space = byId('space');
    this.scale = byId('scale');
    this.onChoice = onChoice;
    /** @type {Tree | null} */
    this.tree = null;
    /** @type {SpanNode[]} */
    this.visible = [];
    /** @type {Map<SpanNode, number>} */
    this.places = new Map();
    /** @type {Set<SpanNode> | null} */
    this.matches = null;
    /** @type {SpanNode | null} */
    this.chosen = null;
    let isAsked = false;
    const later = () => {
      if (!isAsked) {
        isAsked = true;
        requestAnimationFrame(() => {
          isAsked = false;
          this.draw();
        });
      }
    };
    this.rows.addEventListener('scroll', later, { passive: true });
    new ResizeObserver(later).observe(this.rows);
    this.rows.addEventListener('click', (event) => this.#click(event));
  }

  /** @param {Tree} tree */
  show(tree) {
    this.tree = tree;
    this.matches = null;
    this.chosen = null;
    this.rows.scrollTop = 0;
    this.#drawScale(tree.length);
    this.arrange();
  }

  /** After something was folded or unfolded. */
  arrange() {
    this.visible = this.tree?.visible() ?? [];
    this.places = new Map(this.visible.map((node, place) => [node, place]));
    this.space.style.height = `${this.visible.length * Waterfall.ROW}px`;
    this.draw();
  }

  /** @param {SpanNode} node */
  choose(node) {
    if (!this.places.has(node)) {
      this.tree?.reveal(node);
      this.chosen = node;
      this.arrange();
    }
    this.chosen = node;
    const top = (this.places.get(node) ?? 0) * Waterfall.ROW;
    const height = this.rows.clientHeight;
    if (top < this.rows.scrollTop) {
      this.rows.scrollTop = top;
    } else if (top + Waterfall.ROW > this.rows.scrollTop + height) {
      this.rows.scrollTop = top + Waterfall.ROW - height;
    }
    this.draw();
    this.onChoice(node);
  }

  /** Chooses the row so many rows on. @param {number} by */
  move(by) {
    const place = this.chosen === null ? -1 : (this.places.get(this.chosen) ?? -1);
    const next = Math.min(this.visible.length - 1, Math.max(0, place + by));
    const node = this.visible[next];
    if (node !== undefined) {
      this.choose(node);
    }
  }

  /** @param {boolean} isFolded */
  fold(isFolded) {
    const node = this.chosen;
    if (node === null) {
      return;
    }
    if (node.children.length > 0 && node.isFolded !== isFolded) {
      node.isFolded = isFolded;
      this.arrange();
    } else if (isFolded && node.parent !== null) {
      this.choose(node.parent);
    } else if (!isFolded) {
      this.move(1);
    }
  }

  /** @param {boolean} isFolded */
  foldAll(isFolded) {
    for (const node of this.tree?.nodes ?? []) {
      node.isFolded = isFolded && node.children.length > 0;
    }
    this.arrange();
    if (this.chosen !== null && !this.places.has(this.chosen)) {
      let above = this.chosen;
      while (above.parent !== null) {
        above = above.parent;
      }
      this.choose(above);
    }
  }

  /** The next node that `fits`, folded or not, from the chosen one on, around the end. @param {(node: SpanNode) => boolean} fits @param {1 | -1} direction */
  seek(fits, direction) {
    const nodes = this.tree?.nodes ?? [];
    const from = this.chosen === null ? -1 : nodes.indexOf(this.chosen);
    for (let step = 1; step <= nodes.length; step += 1) {
      const node = nodes[(from + direction * step + 2 * nodes.length) % nodes.length];
      if (node !== undefined && fits(node)) {
        this.choose(node);
        return;
      }
    }
  }

  draw() {
    const { scrollTop, clientHeight } = this.rows;
    const first = Math.max(0, Math.floor(scrollTop / Waterfall.ROW) - Waterfall.SPARE);
    const last = Math.ceil((scrollTop + clientHeight) / Waterfall.ROW) + Waterfall.SPARE;
    const rows = this.visible.slice(first, last).map((node, index) => this.#row(node, first + index));
    this.space.replaceChildren(...rows);
    this.rows.setAttribute('aria-rowcount', String(this.visible.length));
    const chosen = this.chosen === null ? undefined : this.places.get(this.chosen);
    if (chosen === undefined) {
      this.rows.removeAttribute('aria-activedescendant');
    } else {
      this.rows.setAttribute('aria-activedescendant', `row-${chosen}`);
    }
  }

  /** @param {SpanNode} node @param {number} place */
  #row(node, place) {
    const { span } = node;
    const length = this.tree?.length ?? 1;
    const start = (span.start / length) * 100;
    const width = ((span.duration ?? length - span.start) / length) * 100;
    const bar = element('div', { class: 'bar' });
    bar.style.left = `min(${start}%, 100% - 2px)`;
    bar.style.width = `${Math.max(0, Math.min(width, 100 - start))}%`;
    const spent = element('span', { class: 'time' }, time(span.duration));
    if (start + width < 75) {
      spent.style.left = `${start + width}%`;
    } else if (start > 25) {
      spent.style.right = `${100 - start}%`;
    } else {
      spent.classList.add('over');
    }
    const mark = node.children.length === 0 ? '' : node.isFolded ? '▸' : '▾';
    const label = element(
      'div',
      { class: 'label', role: 'gridcell' },
      element('span', { class: 'fold' }, mark),
      element('span', { class: 'title', title: span.name }, span.name),
      element('span', { class: 'kind' }, span.type === 'UNKNOWN' ? '' : span.type),
    );
    label.style.paddingLeft = `${6 + Math.min(node.depth, 24) * 14}px`;
    const classes = ['row'];
    classes.push(...(node.hasFailed ? ['failed'] : []));
    classes.push(...(span.duration === null ? ['open'] : []));
    classes.push(...(node === this.chosen ? ['chosen'] : []));
    if (this.matches !== null) {
      classes.push(this.matches.has(node) ? 'match' : 'faded');
    }
    const row = element(
      'div',
      {
        class: classes.join(' '),
        id: `row-${place}`,
        role: 'row',
        'aria-level': String(node.depth + 1),
        'aria-rowindex': String(place + 1),
        'aria-selected': String(node === this.chosen),
        'data-span': span.id,
      },
      label,
      element('div', { class: 'lane', role: 'gridcell' }, bar, spent),
    );
    if (node.children.length > 0) {
      row.setAttribute('aria-expanded', String(!node.isFolded));
    }
    row.style.top = `${place * Waterfall.ROW}px`;
    row.style.setProperty('--hue', String(hue(span.type)));
    return row;
  }

  /** @param {number} length */
  #drawScale(length) {
    const marks = [0, 0.25, 0.5, 0.75].map((share) => {
      const mark = element('span', {}, share === 0 ? '0' : time(Math.round(length * share)));
      mark.style.left = `${share * 100}%`;
      return mark;
    });
    this.scale.replaceChildren(...marks);
  }

  /** @param {Event} event */
  #click(event) {
    const target = event.target instanceof Element ? event.target : null;
    const row = target?.closest('[data-span]');
    const node = this.tree?.byId.get(row?.getAttribute('data-span') ?? '');
    if (node === undefined) {
      return;
    }
    if (target?.classList.contains('fold') && node.children.length > 0) {
      node.isFolded = !node.isFolded;
      this.arrange();
    }
    this.choose(node);
  }
}

/** The colour of a span type: always the same for one. @param {string} type */
function hue(type) {
  const known = {
    LLM: 265,
    CHAT_MODEL: 265,
    TOOL: 32,
    RETRIEVER: 160,
    AGENT: 212,
    CHAIN: 190,
    EMBEDDING: 300,
  };
  const own = /** @type {Record<string, number>} */ (known)[type];
  return own ?? [...type].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 217);
}
