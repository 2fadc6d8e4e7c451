// @ts-check
/// <reference path="model.js" />
/// <reference path="waterfall.js" />
/// <reference path="detail.js" />

/** The page: which trace and span are chosen, and what the keys and controls do. */
class Page {
  /** @param {Trace[]} traces */
  constructor(traces) {
    this.traces = traces;
    this.place = 0;
    /** @type {Tree} */
    this.tree = new Tree(Page.NONE);
    this.detail = new Detail((id) => this.#follow(id));
    this.waterfall = new Waterfall((node) => this.#chosen(node));
    this.query = /** @type {HTMLInputElement} */ (byId('query'));
    this.type = /** @type {HTMLSelectElement} */ (byId('type'));
    this.errors = /** @type {HTMLInputElement} */ (byId('errors'));
    this.choice = /** @type {HTMLSelectElement} */ (byId('trace'));
    this.#listen();
    const options = traces.map((trace, place) =>
      element('option', { value: String(place) }, `${trace.name || trace.id} · ${trace.time}`),
    );
    this.choice.replaceChildren(...options);
    byId('choice').hidden = traces.length < 2;
    const [id, span] = decodeURIComponent(location.hash.slice(1)).split('/');
    const wanted = traces.findIndex((trace) => trace.id === id);
    this.open(Math.max(0, wanted), span);
  }

  /** @type {Trace} */
  static NONE = {
    id: '',
    name: 'No traces',
    state: '',
    time: '',
    duration: null,
    tags: {},
    metadata: {},
    assessments: [],
    spans: [],
  };

  /** @param {number} place @param {string} [span] */
  open(place, span) {
    this.place = place;
    const trace = this.traces[place] ?? Page.NONE;
    this.tree = new Tree(trace);
    this.choice.value = String(place);
    this.#summarise(trace);
    const types = this.tree.types().map((type) => element('option', { value: type }, type));
    this.type.replaceChildren(element('option', { value: '' }, 'all types'), ...types);
    this.waterfall.show(this.tree);
    this.detail.showNothing(this.tree);
    this.filter();
    const first = this.tree.byId.get(span ?? '') ?? this.tree.nodes[0];
    if (first !== undefined) {
      this.waterfall.choose(first);
    }
  }

  filter() {
    const text = this.query.value;
    const matches = this.tree.matches({ text, type: this.type.value, errors: this.errors.checked });
    this.waterfall.matches = matches;
    const count = this.tree.nodes.length.toLocaleString();
    byId('found').textContent =
      matches === null ? `${count} spans` : `${matches.size.toLocaleString()} of ${count}`;
    this.waterfall.draw();
  }

  /** @param {Trace} trace */
  #summarise(trace) {
    byId('name').textContent = trace.name || trace.id;
    document.title = `${trace.name || trace.id} · trace`;
    const state = byId('state');
    state.textContent = trace.state;
    state.className = `badge ${trace.state}`;
    state.hidden = trace.state === '';
    /** @type {Record<string, string>} */
    const facts = { Trace: trace.id, Time: trace.time, Duration: time(trace.duration) };
    const usage = trace.metadata['mlflow.trace.tokenUsage'];
    if (usage !== undefined) {
      facts['Tokens'] = tokensOf(usage);
    }
    for (const [key, title] of Object.entries({
      'mlflow.trace.session': 'Session',
      'mlflow.trace.user': 'User',
    })) {
      const value = trace.metadata[key];
      if (value !== undefined) {
        facts[title] = value;
      }
    }
    const entries = Object.entries(facts).map(([key, value]) =>
      element('div', {}, element('dt', {}, key), element('dd', {}, value)),
    );
    byId('summary').replaceChildren(...entries);
  }

  /** @param {SpanNode} node */
  #chosen(node) {
    this.detail.show(node, this.tree.trace);
    history.replaceState(null, '', `#${encodeURIComponent(`${this.tree.trace.id}/${node.span.id}`)}`);
  }

  /** @param {string} id */
  #follow(id) {
    const place = this.traces.findIndex((trace) => trace.spans.some((span) => span.id === id));
    if (place === this.place) {
      const node = this.tree.byId.get(id);
      if (node !== undefined) {
        this.waterfall.choose(node);
      }
    } else if (place >= 0) {
      this.open(place, id);
    }
  }

  #listen() {
    this.query.addEventListener('input', () => this.filter());
    this.type.addEventListener('change', () => this.filter());
    this.errors.addEventListener('change', () => this.filter());
    this.choice.addEventListener('change', () => this.open(Number(this.choice.value)));
    byId('expand').addEventListener('click', () => this.waterfall.foldAll(false));
    byId('collapse').addEventListener('click', () => this.waterfall.foldAll(true));
    byId('theme').addEventListener('click', () => this.#turnLight());
    byId('keys').addEventListener('click', () => this.#help());
    document.addEventListener('keydown', (event) => this.#key(event));
    const divider = byId('divider');
    divider.addEventListener('pointerdown', (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener('pointermove', (event) => {
      if (divider.hasPointerCapture(event.pointerId)) {
        this.#widen(document.body.clientWidth - event.clientX);
      }
    });
    divider.addEventListener('keydown', (event) => {
      const by = { ArrowLeft: 40, ArrowRight: -40 }[event.key];
      if (by !== undefined) {
        event.stopPropagation();
        this.#widen(byId('detail').clientWidth + by);
      }
    });
  }

  /** @param {number} width of the details, in pixels */
  #widen(width) {
    const most = document.body.clientWidth - 320;
    document.documentElement.style.setProperty('--detail', `${Math.max(240, Math.min(width, most))}px`);
  }

  #turnLight() {
    const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
    const root = document.documentElement;
    const theme = root.dataset['theme'] ?? (isDark ? 'dark' : 'light');
    root.dataset['theme'] = theme === 'dark' ? 'light' : 'dark';
  }

  #help() {
    /** @type {HTMLDialogElement} */ (byId('help')).showModal();
  }

  /** @param {1 | -1} direction */
  #seek(direction) {
    const { matches } = this.waterfall;
    if (matches !== null) {
      this.waterfall.seek((node) => matches.has(node), direction);
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) {
      return;
    }
    if (event.target === this.query) {
      if (event.key === 'Enter') {
        this.#seek(event.shiftKey ? -1 : 1);
      } else if (event.key === 'Escape') {
        this.query.value = '';
        this.filter();
        this.waterfall.rows.focus();
      }
      return;
    }
    const isControl =
      event.target instanceof HTMLElement && event.target.closest('select, input, pre, summary') !== null;
    const { waterfall } = this;
    const page = Math.max(1, Math.floor(waterfall.rows.clientHeight / Waterfall.ROW) - 1);
    /** @type {Record<string, () => void>} */
    const moves = {
      ArrowDown: () => waterfall.move(1),
      ArrowUp: () => waterfall.move(-1),
      PageDown: () => waterfall.move(page),
      PageUp: () => waterfall.move(-page),
      Home: () => waterfall.move(-Infinity),
      End: () => waterfall.move(Infinity),
      ArrowRight: () => waterfall.fold(false),
      ArrowLeft: () => waterfall.fold(true),
    };
    /** @type {Record<string, () => void>} */
    const letters = {
      n: () => this.#seek(1),
      p: () => this.#seek(-1),
      e: () => waterfall.seek((node) => node.hasFailed, 1),
      '/': () => this.query.select(),
      '?': () => this.#help(),
      t: () => this.#turnLight(),
      '[': () => this.#turn(-1),
      ']': () => this.#turn(1),
    };
    const action = letters[event.key] ?? (isControl ? undefined : moves[event.key]);
    if (action !== undefined) {
      event.preventDefault();
      action();
    }
  }

  /** @param {number} by */
  #turn(by) {
    const place = this.place + by;
    if (place >= 0 && place < this.traces.length) {
      this.open(place);
    }
  }
}

/** Token usage as MLflow's metadata has it: JSON text. @param {string} usage */
function tokensOf(usage) {
  try {
    return tokens(JSON.parse(usage));
  } catch {
    return usage;
  }
}

new Page(JSON.parse(byId('data').textContent ?? '[]'));
