// @ts-check
/// <reference path="messages.js" />
/// <reference path="model.js" />

/** What is known of one span. */
class Detail {
  /** Longer texts are shown in part until they are asked for. */
  static LONGEST = 20_000;

  /** @param {(id: string) => void} onSpan follows a link within the trace */
  constructor(onSpan) {
    this.place = byId('detail');
    this.onSpan = onSpan;
    /** What the user closed stays closed. @type {Set<string>} */
    this.closed = new Set();
  }

  /** @param {Tree} tree */
  showNothing(tree) {
    const text = tree.nodes.length === 0 ? 'This trace has no spans.' : 'Choose a span.';
    this.place.replaceChildren(element('p', { class: 'empty' }, text), ...this.#trace(tree.trace));
  }

  /** @param {SpanNode} node @param {Trace} trace */
  show(node, trace) {
    const { span } = node;
    const facts = {
      'Span id': span.id,
      Start: `+${time(span.start)}`,
      Duration: time(span.duration),
      Children: String(node.children.length),
      ...this.#model(span),
    };
    const state = element('span', { class: `badge ${span.status}` }, span.status);
    const parts = [
      element('h2', {}, span.name),
      element('p', {}, state, ` ${span.type} ${span.message}`),
      this.#facts(facts),
      this.#value('Inputs', span.inputs),
      this.#value('Outputs', span.outputs),
      this.#usage(span),
      this.#attributes('Attributes', span.attributes),
      this.#events(span),
      this.#links(span),
    ];
    if (node.parent === null) {
      parts.push(...this.#trace(trace));
    }
    this.place.replaceChildren(...parts.filter((part) => part !== null));
    this.place.scrollTop = 0;
  }

  /** @param {Trace} trace */
  #trace(trace) {
    return [
      this.#attributes('Tags', trace.tags),
      this.#attributes('Metadata', trace.metadata),
      trace.assessments.length === 0 ? null : this.#value('Assessments', trace.assessments),
    ].filter((part) => part !== null);
  }

  /** @param {string} title @param {...Element} content */
  #section(title, ...content) {
    const section = element('details', {}, element('summary', {}, element('h3', {}, title)), ...content);
    section.toggleAttribute('open', !this.closed.has(title));
    section.addEventListener('toggle', () => {
      if (section.hasAttribute('open')) {
        this.closed.delete(title);
      } else {
        this.closed.add(title);
      }
    });
    return section;
  }

  /** @param {Record<string, unknown>} facts */
  #facts(facts) {
    const entries = Object.entries(facts).flatMap(([key, value]) => [
      element('dt', {}, key),
      element('dd', {}, typeof value === 'string' ? value : JSON.stringify(value, null, 1)),
    ]);
    return element('dl', { class: 'facts' }, ...entries);
  }

  /** @param {string} title @param {Record<string, unknown>} attributes */
  #attributes(title, attributes) {
    return Object.keys(attributes).length === 0 ? null : this.#section(title, this.#facts(attributes));
  }

  /** @param {string} title @param {unknown} value */
  #value(title, value) {
    if (value === null || value === undefined) {
      return null;
    }
    const messages = this.#messages(value);
    const text = this.#text(value);
    const whole = messages.length === 0 ? text : element('details', {}, element('summary', {}, 'JSON'), text);
    return this.#section(title, ...messages, whole);
  }

  /** @param {unknown} value */
  #text(value) {
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
    const shown = element('pre', { tabindex: '0' }, text.slice(0, Detail.LONGEST));
    if (text.length > Detail.LONGEST) {
      const rest = element(
        'button',
        { type: 'button' },
        `Show all ${text.length.toLocaleString()} characters`,
      );
      rest.addEventListener('click', () => shown.replaceChildren(text), { once: true });
      shown.append(element('br'), rest);
    }
    return shown;
  }

  /** What the messages of a chat say, each call of a tool below the texts. @param {unknown} value */
  #messages(value) {
    return messagesOf(value).flatMap((message) => {
      const said = saidBy(message);
      if (said === undefined) return [];
      const texts = said.texts.map((text) => element('p', {}, text.slice(0, Detail.LONGEST)));
      const calls = said.calls.map((call) =>
        element('p', {}, element('code', {}, call.slice(0, Detail.LONGEST))),
      );
      return [element('div', { class: 'message' }, element('b', {}, said.role), ...texts, ...calls)];
    });
  }

  /** @param {Span} span */
  #model(span) {
    const { 'mlflow.llm.model': model, 'mlflow.chat.tokenUsage': usage } = span.attributes;
    const isKnown = typeof usage === 'object' && usage !== null;
    return {
      ...(typeof model === 'string' && { Model: model }),
      ...(isKnown && { Tokens: tokens(/** @type {Record<string, unknown>} */ (usage)) }),
    };
  }

  /** @param {Span} span */
  #usage(span) {
    const keys = { 'mlflow.chat.tokenUsage': 'Tokens', 'mlflow.llm.cost': 'Cost' };
    const parts = Object.entries(keys).flatMap(([key, title]) => {
      const usage = span.attributes[key];
      return typeof usage === 'object' && usage !== null
        ? [this.#section(title, this.#facts(/** @type {Record<string, unknown>} */ (usage)))]
        : [];
    });
    return parts.length === 0 ? null : element('div', {}, ...parts);
  }

  /** @param {Span} span */
  #events(span) {
    const events = span.events.map((event) =>
      element(
        'div',
        { class: 'message' },
        element('b', {}, `${event.name} +${time(event.time)}`),
        ...Object.entries(event.attributes).map(([key, value]) =>
          element('div', {}, element('b', {}, key), this.#text(value)),
        ),
      ),
    );
    return events.length === 0 ? null : this.#section(`Events (${events.length})`, ...events);
  }

  /** @param {Span} span */
  #links(span) {
    const links = span.links.map((link) => {
      const follow = element('button', { type: 'button' }, `${link.trace} ${link.span}`);
      follow.addEventListener('click', () => this.onSpan(link.span));
      return follow;
    });
    return links.length === 0 ? null : this.#section('Links', ...links);
  }
}
